"""Joins reading, views, networks and local features: an image becomes everything that matching compares.

As in ``pipeline``, decoding and networks run side by side, results leave in the order of the images, and what waits between two
stages is bounded.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .embedder import Embedder, Output
from .match.aligned import thumbnail
from .match.features import QUERY_FEATURES, REFERENCE_FEATURES, LocalFeatures, extract_small
from .match.grey import Grey, small_grey
from .match.regions import MOST_REGIONS
from .match.views import View, query_views
from .pipeline import map_ordered
from .read import BadImage, Image, UndecodableError, stretch
from .read.decode import decode_full, full_size

Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Looks:
    """What is made of every image.

    output: the kind of descriptors. turns, regions: views beside the whole. features: how many local ones at most, 0 for none.
    thumbnails: keep the small grey picture at the size that is enough for a reference.
    """

    output: Output
    turns: bool = False
    regions: int = 0
    features: int = 0
    thumbnails: bool = False

    @classmethod
    def of_queries(cls, embedder: Embedder, *, local: bool, turns: bool = True, regions: int = MOST_REGIONS) -> "Looks":
        return cls(embedder.output_for("query"), turns, regions, QUERY_FEATURES if local else 0)

    @classmethod
    def of_references(cls, embedder: Embedder, *, local: bool) -> "Looks":
        features = REFERENCE_FEATURES if local else 0
        return cls(embedder.output_for("reference"), features=features, thumbnails=True)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """An image made ready to be matched.

    size: (width, height) of the original, upright. views: V of them, ``descriptors`` float32 [V, D] their rows. features and
    grey, the small grey picture uint8 [h, w] they lie in or a thumbnail of it: None unless asked for.
    """

    id: str
    size: tuple[int, int]
    views: tuple[View, ...]
    descriptors: Float32
    features: LocalFeatures | None = None
    grey: Grey | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A picture whose views wait for the network, uint8 [V, S, S, 3]."""

    picture: Picture
    squares: Pixels


def picture_stream(embedder: Embedder, images: Iterable[Image], looks: Looks) -> Iterator[Picture | BadImage]:
    """Images -> pictures, in order; a bad image as it is, with the reason."""
    threads, batch = embedder.threads, embedder.network.batch
    decoders, networks = ThreadPoolExecutor(threads, "decode"), ThreadPoolExecutor(threads, "infer")
    try:
        opened = map_ordered(decoders, lambda image: _open(embedder, image, looks), images, threads * batch)
        groups = map_ordered(networks, lambda g: _embed(embedder, g, looks), _groups(opened, batch), threads + 1)
        for group in groups:
            yield from group
    finally:
        decoders.shutdown(cancel_futures=True)
        networks.shutdown(cancel_futures=True)


def picture_of(
    embedder: Embedder, name: str, pixels: Pixels, looks: Looks, size: tuple[int, int] | None = None
) -> Picture:
    """The same for one image that is decoded already, uint8 RGB [H, W, 3]."""
    return _described(embedder, _views_of(embedder, name, pixels, looks, size), looks)


def _described(embedder: Embedder, opened: _Opened, looks: Looks) -> Picture:
    rows = embedder.describe(embedder.network(opened.squares), looks.output)
    return replace(opened.picture, descriptors=rows)


def _open(embedder: Embedder, image: Image, looks: Looks) -> _Opened | BadImage:
    try:
        data = image.read()
        pixels = decode_full(data, embedder.network.input_size, embedder.pixel_limit)
    except UndecodableError as error:
        return BadImage(image.id, str(error))
    except OSError as error:
        return BadImage(image.id, str(error) if error.errno is None else f"cannot be read: {error.strerror}")
    return _views_of(embedder, image.id, pixels, looks, full_size(data, pixels))


def _views_of(
    embedder: Embedder, name: str, pixels: Pixels, looks: Looks, size: tuple[int, int] | None = None
) -> _Opened:
    height, width = pixels.shape[:2]
    size = size or (width, height)
    views = query_views(pixels, turns=looks.turns, regions=looks.regions)
    squares = np.stack([stretch(view.cut(pixels), embedder.network.input_size) for view in views])
    features = grey = None
    if looks.features:
        grey, frame = small_grey(pixels)
        frame = replace(frame, original_width=size[0], original_height=size[1])
        features = extract_small(grey, frame, looks.features)
        grey = thumbnail(grey) if looks.thumbnails else grey
    views = [_in_original(view, (width, height), size) for view in views]
    empty = np.empty((0, embedder.dimension(looks.output)), np.float32)
    return _Opened(Picture(name, size, tuple(views), empty, features, grey), squares)


def _in_original(view: View, decoded: tuple[int, int], size: tuple[int, int]) -> View:
    """The same view in pixels of the original, where the picture was decoded at a fraction of its size."""
    if view.box is None or decoded == size:
        return view
    edges = [round(edge * size[i % 2] / decoded[i % 2]) for i, edge in enumerate(view.box)]
    return replace(view, box=type(view.box)(*edges))


def _groups(items: Iterable[_Opened | BadImage], batch: int) -> Iterator[list[_Opened | BadImage]]:
    """Runs of pictures with at least one batch of views."""
    group: list[_Opened | BadImage] = []
    views = 0
    for item in items:
        group.append(item)
        views += len(item.squares) if isinstance(item, _Opened) else 0
        if views >= batch or len(group) >= 4 * batch:
            yield group
            group, views = [], 0
    if group:
        yield group


def _embed(embedder: Embedder, group: list[_Opened | BadImage], looks: Looks) -> list[Picture | BadImage]:
    squares = [item.squares for item in group if isinstance(item, _Opened)]
    if not squares:
        return [item for item in group if isinstance(item, BadImage)]
    rows = embedder.describe(embedder.network(np.concatenate(squares)), looks.output)
    done: list[Picture | BadImage] = []
    start = 0
    for item in group:
        if isinstance(item, BadImage):
            done.append(item)
            continue
        stop = start + len(item.squares)
        done.append(replace(item.picture, descriptors=rows[start:stop]))
        start = stop
    return done
