"""Descriptor files to NumPy and Parquet, and back.

==========  ===========================================================================================================
.h5, .hdf5  a descriptor file
.npy        float32 [N, D], with the ids beside it in ``.ids.txt``, one a line; nothing else is kept
.parquet    columns ``id`` (text) and ``descriptor`` (float32, a list of fixed size D); all else of a descriptor file (roles,
            spaces, what failed) in the schema's metadata, so that the way back gives an equal file
==========  ===========================================================================================================
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arguments import file_path, one_of
from ..errors import StoreError
from ..outputs import DESCRIPTORS, IDS, NPY, PARQUET, check_output
from . import npy, parquet
from .content import Content
from .descriptors import HOLDERS, open_descriptors, refuse_views, write_descriptors

PathLike = str | os.PathLike[str]
_SUFFIXES = {".h5": "hdf5", ".hdf5": "hdf5", ".npy": "npy", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Converted:
    """rows, dimension: what was written. left_out: what the source tells and the new file cannot keep."""

    rows: int
    dimension: int
    left_out: tuple[str, ...] = ()


def convert_descriptors(source: PathLike, target: PathLike, *, role: str = "reference") -> Converted:
    """Write descriptors in another format, both known by their suffixes: .h5 (or .hdf5), .npy, .parquet.

    One of the two is a descriptor file. role: which half of a submission is meant. Rows are float32 and keep every bit.
    Raises: StoreError when a file cannot be read or written, also when values are not finite float32 or ``target`` is the
    source or a file of another kind; MissingExtraError without pyarrow; ValueError or TypeError for arguments that are not
    allowed.
    """
    source, target = file_path("source", source), file_path("target", target)
    one_of("role", role, ("reference", "query"))
    formats = [_format(path) for path in (source, target)]
    if formats.count("hdf5") != 1:
        raise StoreError(f"{source} to {target}: one of the two must be a descriptor file (.h5), and one not")
    inputs = [source, npy.ids_path(source)] if formats[0] == "npy" else [source]
    if formats[1] == "npy":
        check_output(npy.ids_path(target), IDS, inputs)
    check_output(target, {"hdf5": DESCRIPTORS, "npy": NPY, "parquet": PARQUET}[formats[1]], inputs)
    if formats[0] == "hdf5":
        return _export(source, target, role, npy.write if formats[1] == "npy" else parquet.write)
    content = npy.read(source) if formats[0] == "npy" else parquet.read(source)
    _check(content, source)
    shape = (len(content.ids), content.rows.shape[1])
    write_descriptors(target, [(content.ids, content.rows)], shape, content.failed, content.attributes, content.damaged)
    return Converted(*shape)


def _format(path: Path) -> str:
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise StoreError(f"{path}: the format is told by the suffix, one of {', '.join(_SUFFIXES)}") from None


def _export(source: Path, target: Path, role: str, write: Callable[[Path, Content], tuple[str, ...]]) -> Converted:
    with open_descriptors(source, role) as file:
        refuse_views(file, what="only descriptor files keep these")
        rows = np.ascontiguousarray(file.descriptors[:], np.float32)
        content = Content(file.ids, rows, dict(file.attributes), file.failed(), file.damaged())
        _check(content, source)
        left_out = write(target, content)
        return Converted(len(rows), rows.shape[1], (*left_out, HOLDERS) if file.holders() else left_out)


def _check(content: Content, path: Path) -> None:
    if not np.isfinite(content.rows).all():
        raise StoreError(f"{path}: NaN or infinite values, or values beyond float32")
    seen: set[str] = set()
    for name in content.ids:
        if name in seen:
            raise StoreError(f"{path}: the id {name!r} occurs twice")
        if "\0" in name:
            raise StoreError(f"{path}: the id {name!r} has a zero byte in it")
        seen.add(name)
