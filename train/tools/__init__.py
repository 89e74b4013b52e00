"""What is made by hand now and then: the attacks' contact sheet, the demo's photographs, the default model in torch."""
