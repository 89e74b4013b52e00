"""What is known of a picture without decoding it: pixels, bytes, and whether it is damaged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..read import DEFAULT_PIXEL_LIMIT, Source, UndecodableError, image_size


@dataclass(frozen=True, slots=True)
class Facts:
    """width, height: in pixels, upright; size: in bytes; None where the picture cannot be had."""

    width: int | None = None
    height: int | None = None
    size: int | None = None
    damaged: bool = False


def look_up(
    ids: Iterable[str], pictures: Source | None, damaged: Iterable[str], pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> Mapping[str, Facts]:
    """The facts of some images by id; each picture is read once."""
    bad = set(damaged)
    if pictures is None:
        return {name: Facts(damaged=name in bad) for name in ids}
    places = {name: place for place, name in enumerate(pictures.ids())}
    facts = {}
    for name in ids:
        width = height = size = None
        try:
            data = pictures[places[name]].read()
            size = len(data)
            width, height = image_size(data, pixel_limit=pixel_limit)
        except (KeyError, OSError, UndecodableError):
            pass  # not there, or no longer: what is known stays
        facts[name] = Facts(width, height, size, name in bad)
    return facts
