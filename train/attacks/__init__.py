"""Attacks: edits that turn a photograph into a query, as people make them to slip past a detector.

All of the table of ISC2021's second place (section 2.4), one function each, in families: ``geometry``, ``colour``,
``quality``, ``overlay``, ``frame``. An attack takes uint8 RGB [H, W, 3] and a :class:`Draw`, and returns a new picture. Nothing
but the draw's generator decides, so one seed gives one picture, and nothing global is touched. ``contact_sheet.jpg`` shows
them all; ``python -m copytrace.train.contact_sheet`` makes it.
"""

from .chain import CLASSES, attack_chain, attack_class, random_chain
from .draw import Attack, Draw, Pixels
from .table import ATTACKS

__all__ = ["ATTACKS", "CLASSES", "Attack", "Draw", "Pixels", "attack_chain", "attack_class", "random_chain"]
