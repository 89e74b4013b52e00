"""Validation sets that choose between models: edits by other code than the attacks trained on, on photographs held back.

python -m copytrace.train.validation_sets PHOTOS [PHOTOS ...] -o DIR --kind wide|odd --seed 0
"""

from .held_back import held_back_for

__all__ = ["held_back_for"]
