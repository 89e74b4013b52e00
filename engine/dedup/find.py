"""Near-duplicates within one source of images, or among the rows of a descriptor file."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from ..api import Engine
from ..arguments import MAX_THREADS, file_path, flag, number, one_of, whole_number
from ..embedder import Damaged
from ..errors import ComparisonError, SearchError
from ..found import origin
from ..outputs import is_hdf5
from ..read import DEFAULT_PIXEL_LIMIT, BadImage, IdRule, Place, Source, open_source
from ..run import OnError, Progress
from ..search import connected_rows, id_ranks
from ..search.pairs import Indices, load
from ..store import open_descriptors
from .facts import look_up
from .groups import Duplicates, group_rows, members_of
from .second_look import verified_rows

DEFAULT_MAX_DISTANCE = 0.65
"""Measured with the package's bundle on held-back photographs. Of 1,124,250 pairs of different ones none is this near (the
nearest: 0.861); of 1,499,500 pairs of a photograph with an edited, often heavily edited, other one, 1. Of 300 photographs each,
re-encoded (quality 60), at half the size, mirrored, or cropped to 90 % of each side all are; to 80 % 96.7 %, brightened
99.7 %. At 0.6 mirrored ones are 95.3 % and those cropped to 80 % 88.3 %; at 0.7 four of the edited others are."""

VERIFIED_MAX_DISTANCE = 1.2


def find_duplicates(
    source: Place | Source,
    engine: Engine | None = None,
    *,
    max_distance: float | None = None,
    verify: bool = False,
    pictures: Place | Source | None = None,
    ids: IdRule = "stem",
    on_error: OnError = "skip",
    damaged: Damaged = "keep",
    threads: int | None = None,
    progress: Progress = lambda done, total, failed: None,
) -> Duplicates:
    """Group the images of a source, or of a descriptor file, that are near-duplicates of each other.

    source: what ``embed_source`` takes, or a descriptor file of references. engine: embeds the images, as references (default:
    ``Engine()``). max_distance: two images whose descriptors are no further apart (Euclidean) are joined (default 0.65); groups
    are what such joints connect. verify: of each image and its ten nearest others, no further apart than ``max_distance``
    (default 1.2), those are joined that a second look takes for copies; not for descriptor files. pictures: the images of a
    descriptor file, for their sizes, by which the best of each group is chosen; without them it is the first id. ids, on_error,
    damaged, progress: as in ``embed_source``. threads: of the comparison.
    Raises: SourceError, BadImageError, StoreError, SearchError; ComparisonError for a descriptor file of rows that cannot be
    compared with each other; ValueError or TypeError for arguments that are not allowed.
    """
    flag("verify", verify)
    usual = VERIFIED_MAX_DISTANCE if verify else DEFAULT_MAX_DISTANCE
    max_distance = usual if max_distance is None else number("max_distance", max_distance, 0.0)
    threads = None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
    one_of("ids", ids, get_args(IdRule))
    if engine is not None and not isinstance(engine, Engine):
        raise TypeError(f"engine must be an Engine, not {type(engine).__name__}")
    if isinstance(source, str | os.PathLike) and is_hdf5(path := file_path("source", source)):
        if engine is not None:
            raise ValueError(f"{path} is a descriptor file, which needs no engine")
        if verify:
            raise ValueError(f"{path} is a descriptor file; verification looks at images")
        album = None if pictures is None else opened(pictures, ids, "fail")
        return _among(path, album, max_distance, threads, DEFAULT_PIXEL_LIMIT)
    if pictures is not None:
        raise ValueError("pictures go with a descriptor file; a source has its own")
    engine = engine or Engine()
    with TemporaryDirectory(prefix="copytrace-") as folder:
        album, path = opened(source, ids, on_error), Path(folder) / "descriptors.h5"
        engine.embed_source(album, path, ids=ids, on_error=on_error, damaged=damaged, progress=progress)
        join = partial(verified_rows, album=album, engine=engine, progress=progress) if verify else None
        found = _among(path, album, max_distance, threads, engine.pixel_limit, join)
    return replace(found, ignored=album.ignored)


def opened(source: Place | Source, ids: IdRule, on_error: OnError) -> Source:
    """A source as it is, or a place opened as one."""
    one_of("on_error", on_error, get_args(OnError))
    return source if isinstance(source, Source) else open_source(source, ids=ids, on_damage=on_error)


def _among(
    path: Path,
    pictures: Source | None,
    max_distance: float,
    threads: int | None,
    pixel_limit: int,
    join: Callable[..., Indices] | None = None,
) -> Duplicates:
    """join: labels of rows and ids within a distance, where it is not the distance alone that decides."""
    with open_descriptors(path) as file:
        role, output = (file.attributes.get(name) for name in ("role", "output"))
        if role == "query" or output in ("raw", "method1", "method2"):
            raise ComparisonError(f"{path}: its rows are {output or role}; duplicates are looked for among references")
        try:
            id_ranks(file.ids)  # an id that occurs twice could not be told apart in the groups
            rows = load(file.descriptors, 0, len(file.ids))
            if join is None:
                labels = connected_rows(rows, max_distance, threads=threads)
            else:
                labels = join(rows, file.ids, max_distance=max_distance)
        except SearchError as error:
            raise SearchError(f"{path}: {error}") from None
        failed, damaged = _reasons(file.failed()), _reasons(file.damaged())
        among = [file.ids[row] for members in members_of(labels) for row in members.tolist()]
        facts = look_up(among, pictures, (bad.id for bad in damaged), pixel_limit)
        groups = group_rows(labels, file.ids, rows, facts)
        count = len(file.ids)
        return Duplicates(groups, max_distance, count + len(failed), count, failed, damaged, {}, pictures, origin(file))


def _reasons(pairs: Sequence[tuple[str, str]]) -> list[BadImage]:
    return [BadImage(name, why) for name, why in pairs]
