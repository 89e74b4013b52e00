"""The run of a training: what is trained on what, the steps, the learning rate, checkpoints, the log, growing classes."""
