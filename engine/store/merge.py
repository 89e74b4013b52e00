"""Several descriptor files made one, as if their images had been one source: what machines have shared is put together."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import file_path
from ..decoded_by import decoder_attribute, decoders_of, mixed
from ..errors import ComparisonError, StoreError
from ..outputs import DESCRIPTORS, check_output
from .comparable import KEPT
from .descriptors import HOLDERS, VIEWS, DescriptorFile, open_descriptors, write_descriptors

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
_MEANING = (*KEPT, "precision", VIEWS)
"""The attributes that must be the same everywhere; of the others, what is the same is kept."""
SHARD = "shard"
"""The attribute of a part of a source: its place among them (see ``parts.py``); a merged file has none."""
_OWN = {"run", SHARD}
_DATASETS = {"descriptors", "ids", "failed", "damaged", VIEWS, HOLDERS}
_ROWS = 1 << 15


@dataclass(frozen=True, slots=True)
class Merged:
    """What the new file holds: rows [N, D], images that have one, and images that failed; and of how many files it was made."""

    files: int
    rows: int
    dimension: int
    images: int
    failed: int


def merge_descriptors(files: Sequence[PathLike], output: PathLike) -> Merged:
    """Write the rows of two descriptor files or more into one, in the order of ids, with all that failed or is damaged.

    Merged parts of a source (see ``Source.part``) hold what the file of the whole source would. Every image may be in one of
    the files only; all must have been made in the same way, or say nothing of it.
    Raises: StoreError when a file cannot be read or written, ids repeat, values are not finite, ``output`` is one of the files
    or a file of another kind; ComparisonError, one of it, for files that do not belong together; ValueError or TypeError for
    arguments that are not allowed.
    """
    if isinstance(files, str | os.PathLike):
        raise TypeError("files must be a sequence of paths")
    paths = [file_path("files", path) for path in files]
    output = file_path("output", output)
    if len(paths) < 2:
        raise ValueError("give two files or more")
    return merge_files(paths, output)


def merge_files(paths: Sequence[Path], output: Path, images: int | None = None) -> Merged:
    """As :func:`merge_descriptors`, of one file or more. images: how many there must be, with those that failed."""
    check_output(output, DESCRIPTORS, paths)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_descriptors(path)) for path in paths]
        attributes = check_together(opened, images)
        ids = [name for file in opened for name in file.ids]
        order = np.asarray(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        shape = (len(ids), opened[0].descriptors.shape[1])
        failed, damaged = (
            sorted(pair for pairs in lists for pair in pairs)
            for lists in ([file.failed() for file in opened], [file.damaged() for file in opened])
        )
        views = [label for file in opened for label in file.views or ()]
        columns = {VIEWS: [views[i] for i in order.tolist()]} if views else None
        parts = _parts(opened, ids, order)
        write_descriptors(output, parts, shape, failed, attributes, damaged, columns=columns)
        return Merged(len(paths), *shape, len(set(ids)), len(failed))


def check_together(files: Sequence[DescriptorFile], images: int | None = None) -> dict[str, str]:
    """Make sure that the images of files may lie in one; the attributes that they have in common.

    images: how many there must be, with those that failed. Raises: StoreError, ComparisonError naming the files.
    """
    attributes = _shared_attributes(files)
    seen = _check_images(files)
    if images not in (None, seen):
        raise StoreError(f"{files[0].path.parent}: its parts hold {seen} of the {images} images of their source")
    return attributes


def _shared_attributes(files: Sequence[DescriptorFile]) -> dict[str, str]:
    """Raises: ComparisonError, StoreError for files that do not belong together."""
    first = files[0]
    for file in files:
        if other := sorted(file.datasets() - _DATASETS):
            raise StoreError(f"{file.path}: holds {', '.join(other)}, which merging would lose; use a collection")
        if file.descriptors.shape[1] != first.descriptors.shape[1]:
            sizes = [f"{one.path} has {one.descriptors.shape[1]}" for one in (first, file)]
            raise ComparisonError(f"dimensions differ: {', '.join(sizes)}")
        for name in _MEANING:
            values = [str(one.attributes.get(name, "not told"))[:12] for one in (first, file)]
            if values[0] != values[1] or first.attributes.get(name) != file.attributes.get(name):
                raise ComparisonError(f"different {name}: {first.path} {values[0]}, {file.path} {values[1]}")
        if (file.views is None) != (first.views is None) and file.ids and first.ids:
            raise ComparisonError(f"{first.path} and {file.path}: only one of them holds views")
    _check_holders(files)
    known = [{name: value for name, value in file.attributes.items() if name not in _OWN} for file in files]
    decoders = {name for file in files for name in decoders_of(file.attributes)}
    if said := mixed(decoders):
        log.warning("%s and others: %s", first.path, said)
    shared = {
        name: str(value) for name, value in known[0].items() if all(str(one.get(name)) == str(value) for one in known)
    }
    return shared | decoder_attribute(decoders)


def _check_images(files: Sequence[DescriptorFile]) -> int:
    """How many images there are, with those that failed. Raises: StoreError for a row that is there twice, and for an image
    that is in two files."""
    seen: dict[str, DescriptorFile] = {}
    for file in files:
        rows = Counter(zip(file.ids, file.views or repeat("whole"), strict=False))
        if len(rows) < len(file.ids):
            name, label = next(row for row, count in rows.items() if count > 1)
            view = "" if file.views is None else f"the view {label!r} of "
            raise StoreError(f"{file.path}: {view}the id {name!r} occurs twice")
        for name in {*file.ids, *(name for name, _ in file.failed())}:
            if name in seen:
                raise StoreError(f"{file.path}: the id {name!r} is in {seen[name].path} too")
            seen[name] = file
    return len(seen)


def _check_holders(files: Sequence[DescriptorFile]) -> None:
    """Raises: ComparisonError for parts between which a file of their source became another."""
    seen: dict[str, tuple[str, DescriptorFile]] = {}
    for file in files:
        for name, digest in file.holders():
            before, other = seen.setdefault(name, (digest, file))
            if before != digest:
                raise ComparisonError(
                    f"{name}: was another file when {other.path} was made than when {file.path} was; embed the older part again"
                )


def _parts(
    files: Sequence[DescriptorFile], ids: Sequence[str], order: NDArray[np.int64]
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Rows in an order of their numbers through all files, some at a time. Raises: StoreError for bad values."""
    owners = np.repeat(np.arange(len(files)), [len(file.ids) for file in files])
    places = np.concatenate([np.arange(len(file.ids)) for file in files])
    for start in range(0, len(order), _ROWS):
        chosen = order[start : start + _ROWS]
        rows = np.empty((len(chosen), files[0].descriptors.shape[1]), np.float32)
        for number, file in enumerate(files):
            mine = owners[chosen] == number
            if mine.any():
                with np.errstate(over="ignore"):
                    rows[mine] = file.descriptors.take(places[chosen[mine]])
                if not np.isfinite(rows[mine]).all():
                    raise StoreError(f"{file.path}: NaN or infinite values, or values beyond float32")
        yield [ids[i] for i in chosen.tolist()], rows
