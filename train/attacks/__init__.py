"""Attacks: edits that turn a photograph into a query, as people make them to slip past a detector.

Two sets: all of the table of ISC2021's second place (section 2.4), in ``table`` and ``chain``; and the wide set, some seventy
more and those, with the mixture for training, in ``wide``. One function each, in files by what they do. An attack takes uint8
RGB [H, W, 3] and a :class:`Draw`, and returns a new picture. Nothing but the draw's generator decides, so one seed gives one
picture (where the same fonts are), and nothing global is touched. ``contact_sheet.jpg`` shows them all; ``python -m
copytrace.train.tools.contact_sheet`` makes it.
"""

from .chain import CLASSES, attack_chain, attack_class, random_chain
from .draw import Attack, Draw, Pixels
from .table import ATTACKS

__all__ = ["ATTACKS", "CLASSES", "Attack", "Draw", "Pixels", "attack_chain", "attack_class", "random_chain"]
