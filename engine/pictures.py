"""Joins reading, views, networks and local features: an image becomes everything that matching compares.

As in ``pipeline``, a thread takes images all the way, or decoding and networks run side by side where the embedder says so;
results leave in the order of the images, and what waits between two stages is bounded.
"""

from collections.abc import Iterable, Iterator, Sized
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .bundle_embedder import BundleEmbedder
from .device import on_host
from .embedder import Output
from .match.aligned import thumbnail
from .match.features import QUERY_FEATURES, REFERENCE_FEATURES, LocalFeatures, extract, extract_small
from .match.grey import Grey, small_grey
from .match.isc2021 import branch_views
from .match.regions import MOST_REGIONS, Box, RegionFinder, find_regions
from .match.views import View, query_views, reference_crops
from .parallel import Threads
from .pipeline import StageTimers, chunks_of
from .read import BadImage, Image, PixelImage, PixelSet, UndecodableError, stretch_sizes
from .read.decode import decode_whole
from .region_finders import FinderName, region_finder

_MOST_WAITING = 1024
"""Pictures with views and features that wait for networks at most, however many processors there are: a gigabyte or two."""
_TOGETHER = 4
"""Images that a thread takes all the way at a time."""
Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Looks:
    """What is made of every image.

    output: the kind of descriptors. turns, regions: views beside the whole. features: how many local ones at most, 0 for none.
    thumbnails: keep the small grey picture at the size that is enough for a reference. find: who finds the regions.
    branches: those of ISC2021's third place, the whole and one region, with local features of both. crops: nine more views.
    """

    output: Output
    turns: bool = False
    regions: int = 0
    features: int = 0
    thumbnails: bool = False
    find: RegionFinder = find_regions
    branches: bool = False
    crops: bool = False

    @classmethod
    def of_queries(
        cls,
        embedder: BundleEmbedder,
        *,
        local: bool,
        turns: bool = True,
        regions: int = MOST_REGIONS,
        finder: FinderName | None = None,
    ) -> "Looks":
        """finder: see ``region_finders``. Raises: MatchError, BundleError where the bundle has none that is wanted."""
        find = region_finder(finder, embedder.bundle, embedder.precision)
        return cls(embedder.output_for("query"), turns, regions, QUERY_FEATURES if local else 0, find=find)

    @classmethod
    def of_branches(cls, embedder: BundleEmbedder, find: RegionFinder = find_regions) -> "Looks":
        return cls(embedder.output_for("query"), False, MOST_REGIONS, QUERY_FEATURES, find=find, branches=True)

    @classmethod
    def of_references(cls, embedder: BundleEmbedder, *, local: bool, crops: bool = False) -> "Looks":
        features = REFERENCE_FEATURES if local else 0
        return cls(embedder.output_for("reference"), features=features, thumbnails=True, crops=crops)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """An image made ready to be matched.

    size: (width, height) of the original, upright. views: V of them, ``descriptors`` float32 [V, D] their rows. features and
    grey, the small grey picture uint8 [h, w] they lie in or a thumbnail of it: None unless asked for. damage: what is wrong
    with the image, where it could still be decoded. region_features: those of the second view, of ``Looks.branches`` alone.
    """

    id: str
    size: tuple[int, int]
    views: tuple[View, ...]
    descriptors: Float32
    features: LocalFeatures | None = None
    grey: Grey | None = None
    damage: str | None = None
    region_features: LocalFeatures | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A picture whose views wait for the networks."""

    picture: Picture
    squares: list[PixelSet]


def picture_stream(
    embedder: BundleEmbedder,
    images: Iterable[Image | PixelImage],
    looks: Looks,
    timers: StageTimers | None = None,
) -> Iterator[Picture | BadImage]:
    """Images -> pictures, in order; a bad image as it is, with the reason."""
    timers = timers or StageTimers()

    def opened_one(image: Image | PixelImage) -> _Opened | BadImage:
        return _open(embedder, image, looks, timers)

    def embedded(group: list[_Opened | BadImage]) -> list[Picture | BadImage]:
        return _embed(embedder, group, looks, timers)

    def all_the_way(images: list[Image | PixelImage]) -> list[Picture | BadImage]:
        return embedded([opened_one(image) for image in images])

    decoders, workers = Threads(embedder.decoders, "decode"), Threads(embedder.workers, "infer")
    if not embedder.two_stages:
        known = len(images) if isinstance(images, Sized) else _TOGETHER * workers.count
        chunks = chunks_of(images, max(1, min(_TOGETHER, -(-known // workers.count))))
        with closing(workers.map(all_the_way, chunks, 2 * workers.count + 1)) as done:
            for pictures in done:
                yield from pictures
        return
    window = min(2 * decoders.count * embedder.batch, max(_MOST_WAITING, 2 * decoders.count))
    with closing(decoders.map(opened_one, images, window)) as opened:
        groups = _groups(opened, embedder.batch)
        with closing(workers.map(embedded, groups, workers.count + 1)) as done:
            for pictures in done:
                yield from pictures


def _open(embedder: BundleEmbedder, image: Image | PixelImage, looks: Looks, timers: StageTimers) -> _Opened | BadImage:
    if isinstance(image, PixelImage):
        pixels = image.pixels if image.pixels.ndim == 3 else np.repeat(image.pixels[:, :, None], 3, axis=2)
        return _seen(embedder, image.id, pixels, (pixels.shape[1], pixels.shape[0]), looks)
    try:
        with timers.measure("read and decode"):
            picture, size = decode_whole(image.read(), max(embedder.sizes), embedder.pixel_limit)
    except UndecodableError as error:
        return BadImage(image.id, str(error))
    except OSError as error:
        return BadImage(image.id, str(error) if error.errno is None else f"cannot be read: {error.strerror}")
    with timers.measure("views and features"):
        opened = _seen(embedder, image.id, picture.pixels, size, looks)
    return replace(opened, picture=replace(opened.picture, damage=picture.damage))


def _seen(embedder: BundleEmbedder, name: str, pixels: Pixels, size: tuple[int, int], looks: Looks) -> _Opened:
    """Views and local features of pixels uint8 RGB [H, W, 3]."""
    views = query_views(pixels, turns=looks.turns, regions=looks.regions, find=looks.find)
    decoded = pixels.shape[1], pixels.shape[0]
    views = branch_views(views, decoded) if looks.branches else views
    views += reference_crops(*decoded) if looks.crops else []
    squares = [stretch_sizes(view.cut(pixels), embedder.sizes) for view in views]
    features = grey = None
    if looks.features:
        grey, frame = small_grey(pixels)
        frame = replace(frame, original_width=size[0], original_height=size[1])
        features = extract_small(grey, frame, looks.features)
        grey = thumbnail(grey) if looks.thumbnails else grey
    region = extract(views[1].cut(pixels), looks.features) if looks.branches and len(views) > 1 else None
    in_original = tuple(_in_original(view, decoded, size) for view in views)
    empty = np.empty((0, embedder.dimension(looks.output)), np.float32)
    return _Opened(Picture(name, size, in_original, empty, features, grey, region_features=region), squares)


def _in_original(view: View, decoded: tuple[int, int], size: tuple[int, int]) -> View:
    """The same view in pixels of the original, where the picture was decoded at a fraction of its size."""
    if view.box is None or decoded == size:
        return view
    return replace(view, box=Box(*(round(edge * size[i % 2] / decoded[i % 2]) for i, edge in enumerate(view.box))))


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


def _embed(
    embedder: BundleEmbedder, group: list[_Opened | BadImage], looks: Looks, timers: StageTimers
) -> list[Picture | BadImage]:
    """A picture with a row that is not finite becomes a bad one."""
    squares = [square for item in group if isinstance(item, _Opened) for square in item.squares]
    with timers.measure("infer"):
        raw = on_host(embedder.embed(squares)) if squares else np.empty((0, embedder.dimension("raw")), np.float32)
    done: list[Picture | BadImage] = []
    start = 0
    for item in group:
        if isinstance(item, BadImage):
            done.append(item)
            continue
        rows = raw[start : start + len(item.squares)]
        start += len(item.squares)
        described = _described(embedder, rows, looks.output)
        if described is None:
            done.append(BadImage(item.picture.id, "the network's values for it are not finite"))
        else:
            done.append(replace(item.picture, descriptors=described))
    return done


def _described(embedder: BundleEmbedder, raw: Float32, output: Output) -> Float32 | None:
    """Raw embeddings float32 [V, E] -> rows [V, D]; None where one is not finite, or its projection is not."""
    try:
        rows = embedder.describe(raw, output) if np.isfinite(raw).all() else raw
    except ValueError:
        return None
    return rows if np.isfinite(rows).all() else None
