"""Trains the detector of pasted photographs: scenes with known boxes, a small centre-point network, its loss, its run."""
