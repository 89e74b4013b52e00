"""Who decoded the pixels that descriptors were made of; what says nothing of it was the CPU's.

Decoders that take many JPEGs at a time, as on a graphics card, give pixels that differ from the CPU's by fractions of a grey
level, and so descriptors that differ a little. They may be compared, and stand in one file; that they are mixed is said.
"""

from collections.abc import Iterable, Mapping

DECODER = "decoder"
"""The attribute of descriptor files; several names where a file was made of several."""
CPU = "cpu"
_SEPARATOR = ", "


def decoders_of(attributes: Mapping[str, object]) -> set[str]:
    """By the attributes of a file."""
    return set(str(attributes.get(DECODER, CPU)).split(_SEPARATOR))


def decoder_attribute(decoders: Iterable[str]) -> dict[str, str]:
    """The attribute of what these have decoded; none where that was the CPU alone."""
    names = sorted(set(decoders))
    return {} if names in ([], [CPU]) else {DECODER: _SEPARATOR.join(names)}


def mixed(decoders: Iterable[str]) -> str | None:
    """What is to be said of descriptors whose pixels several have decoded."""
    names = sorted(set(decoders))
    if len(names) < 2:
        return None
    return f"pixels were decoded by {' and by '.join(names)}, which differ by fractions of a grey level"
