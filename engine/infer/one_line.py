"""What a runtime says, in one line."""


def one_line(error: Exception | str) -> str:
    """The text of an error without its line breaks; what it is called where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
