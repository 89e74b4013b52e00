"""Images given in a call: paths, encoded bytes or pixels become rows, or one result each."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set, Sized
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .embedder import Damaged, Float32, Output
from .errors import BadImageError, DamagedImageWarning
from .pipeline import Pipeline
from .read import Image, PixelImage, read_file
from .store import Slice

Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]
"""A path, an encoded image, or pixels uint8 (RGB [H, W, 3] or grey [H, W])."""

_ALLOWED = "a path, the bytes of an encoded image, or uint8 pixels (RGB [H, W, 3] or grey [H, W])"


@dataclass(frozen=True, slots=True)
class Embedded:
    """What became of one image: its row float32 [D], or the reason why it has none; and what is damaged about it."""

    row: Float32 | None
    reason: str | None = None
    damaged: str | None = None


def embed_images(
    pipeline: Pipeline, images: Picture | Iterable[Picture], output: Output, damaged: Damaged = "keep"
) -> Float32:
    """Several images, or a single one -> float32 [N, D], one row each, in the order given.

    damaged: "keep" embeds damaged images, with a DamagedImageWarning; with "skip" they cannot be used.
    Raises: BadImageError naming every image that cannot be used; ValueError for arrays that are not pixels; TypeError for
    anything else.
    """
    slices = list(_slices(pipeline, images, output, damaged))
    bad = sorted(f"{name}: {why}" for part in slices for name, why in part.items if why is not None)
    if bad:
        raise BadImageError("; ".join(bad))
    kept = sorted(f"{name}: {damage}" for part in slices for name, damage in part.damaged)
    if kept:
        warnings.warn("damaged: " + "; ".join(kept), DamagedImageWarning, stacklevel=3)
    return np.concatenate([np.empty((0, pipeline.embedder.dimension(output)), np.float32), *(s.rows for s in slices)])


def embed_each(
    pipeline: Pipeline, images: Picture | Iterable[Picture], output: Output, damaged: Damaged = "keep"
) -> list[Embedded]:
    """Several images, or a single one -> a result for each, in the order given.

    damaged: "keep" gives damaged images a row, "skip" a reason. Raises: ValueError for arrays that are not pixels; TypeError
    for anything else.
    """
    results: list[Embedded] = []
    for part in _slices(pipeline, images, output, damaged, by_place=True):
        rows, damages = iter(part.rows), dict(part.damaged)
        results += [Embedded(None if why else next(rows), why, damages.get(place)) for place, why in part.items]
    return results


def as_images(images: Picture | Iterable[Picture]) -> Iterator[Image | PixelImage]:
    """Several images, or a single one, each with its path or number as its id.

    Raises: ValueError for arrays that are not pixels; TypeError for anything else.
    """
    return (_named(index, picture) for index, picture in enumerate(_several(images)))


def _slices(
    pipeline: Pipeline,
    images: Picture | Iterable[Picture],
    output: Output,
    damaged: Damaged,
    *,
    by_place: bool = False,
) -> Iterator[Slice]:
    """Rows and reasons in order; by_place: images are called by their number instead of by path, which may come twice."""
    several = _several(images)
    count = len(several) if isinstance(several, Sized) else None
    named = as_images(several)
    items = (replace(image, id=str(index)) for index, image in enumerate(named)) if by_place else named
    return pipeline.embed(items, output, damaged=damaged, count=count)


def _several(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Several images as they are, a single one as a list of one. Raises: TypeError for what is neither."""
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OSU":  # pixels; arrays of text are paths
        return images if images.ndim == 4 else [images]
    if isinstance(images, Mapping | Set) or not isinstance(images, Iterable):
        raise TypeError(f"images must be {_ALLOWED}, or a sequence of these, not {type(images).__name__}")
    return images


def _named(index: int, picture: Picture) -> Image | PixelImage:
    """A picture with what it is called in reports. Raises: ValueError, TypeError for what is none."""
    if isinstance(picture, np.ndarray):
        return PixelImage(f"image {index}", _pixels(picture, index))
    if isinstance(picture, bytes | bytearray | memoryview):
        return Image(f"image {index}", lambda: bytes(picture))
    if isinstance(picture, str | os.PathLike):
        return Image(os.fspath(picture), partial(read_file, picture))
    raise TypeError(f"image {index} must be {_ALLOWED}, not {type(picture).__name__}")


def _pixels(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image {index} must be uint8 RGB [H, W, 3] or grey [H, W], not {image.dtype} {image.shape}")
    return image
