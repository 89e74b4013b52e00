"""Photographs that a network is calibrated and compared on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import BadImageError
from copytrace.engine.read import Image, UndecodableError, decode_sizes, open_source


class PhotographSample:
    """Some photographs of several sources, evenly spread over them, as the networks will see them.

    sources: folders, uncompressed tars or text files of paths. most: how many are taken. sizes: of the networks' inputs. Those
    that cannot be read are passed over. Raises: SourceError; BadImageError when none is left.
    """

    def __init__(self, sources: Sequence[Path], most: int, sizes: Sequence[int]) -> None:
        images = [image for source in sources for image in open_source(source)]
        places = np.linspace(0, len(images) - 1, min(len(images), most)).round().astype(int)
        found = [pixels for place in places if (pixels := _decoded(images[place], sizes))]
        if not found:
            raise BadImageError(f"{', '.join(map(str, sources))}: no photographs that can be read")
        self._pixels = {size: np.stack([pixels[i] for pixels in found]) for i, size in enumerate(sizes)}

    def at(self, size: int) -> NDArray[np.uint8]:
        """uint8 [N, size, size, 3]."""
        return self._pixels[size]


def _decoded(image: Image, sizes: Sequence[int]) -> list[NDArray[np.uint8]] | None:
    try:
        return list(decode_sizes(image.read(), sizes)[0])
    except (UndecodableError, OSError):
        return None
