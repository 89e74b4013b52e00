"""What an output may replace: nothing that the same command reads, and no file of another kind than the one written.

Every verb and every call of the Python API that writes a file asks :func:`check_output` before its work begins.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py

from .errors import StoreError

REPORT_MARK = '<meta name="generator" content="copytrace">'
"""By which an HTML report is known for one of ours; it stands in the first kilobyte."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: its name with an article, and whether a file that is there is one."""

    name: str
    recognises: Callable[[Path], bool]


def hdf5_file(name: str, *datasets: str) -> Kind:
    """HDF5 with these datasets."""

    def recognises(path: Path) -> bool:
        try:
            with h5py.File(path, "r", locking=False) as file:
                return all(isinstance(file.get(dataset), h5py.Dataset) for dataset in datasets)
        except Exception:  # HDF5 raises whatever it comes across in a damaged file
            return False

    return Kind(name, recognises)


def _beside_npy(path: Path) -> bool:
    return path.name.endswith(".ids.txt") and path.with_name(path.name.removesuffix(".ids.txt") + ".npy").is_file()


def is_hdf5(path: Path) -> bool:
    """Whether there is a regular file that is HDF5 by its first bytes; pipes are not opened."""
    try:
        return path.is_file() and _head(path).startswith(b"\x89HDF\r\n\x1a\n")
    except (OSError, ValueError):
        return False


def csv_file(*columns: str) -> Kind:
    """CSV with a header of exactly these columns."""

    def recognises(path: Path) -> bool:
        header = _head(path).removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
        return tuple(cell.strip() for cell in header.split(b",")) == tuple(column.encode() for column in columns)

    return Kind(f"a CSV file with the columns {', '.join(columns)}", recognises)


DESCRIPTORS = hdf5_file("a descriptor file", "descriptors", "ids")
SUBMISSION = hdf5_file("a submission", "query", "query_ids", "reference", "reference_ids")
PAIRS = csv_file("query_id", "reference_id", "score")
GROUPS = csv_file("group", "id", "keep", "distance", "width", "height", "bytes")
IDS = Kind("a text of ids beside a NumPy array", _beside_npy)
NPY = Kind("a NumPy array", lambda path: _head(path).startswith(b"\x93NUMPY"))
PARQUET = Kind("a Parquet file", lambda path: _head(path).startswith(b"PAR1"))
EVIDENCE = Kind("a file of evidence", lambda path: _head(path).startswith(b'{"query_id": '))
STATUS = Kind("the status of a part", lambda path: _head(path).startswith(b'{"shard": '))
PNG = Kind("a PNG picture", lambda path: _head(path).startswith(b"\x89PNG\r\n\x1a\n"))
REPORT = Kind("a report of copytrace", lambda path: REPORT_MARK.encode() in _head(path))


def check_output(
    path: str | os.PathLike[str],
    kind: Kind,
    inputs: Iterable[str | os.PathLike[str]] = (),
    *,
    others: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Make sure that writing ``path`` destroys nothing; a file of the same kind, or an empty one, may be replaced.

    inputs: every file that is read; gone through only where ``path`` is there. others: what else the command writes.
    Links of either sort and other spellings of a name are seen through.
    Raises: StoreError.
    """
    path = Path(path)
    check_place(path)
    for other in others:
        if resolved(path) == resolved(Path(other)) or _same_file(path, other):
            raise StoreError(f"{path}: two outputs have this name; give each its own")
    if not path.exists():
        return
    for name in inputs:
        if _same_file(path, name):
            raise StoreError(f"{path}: is read by this command (as {os.fspath(name)}); give the output another name")
    if path.stat().st_size and not kind.recognises(path):
        raise StoreError(f"{path}: is there and is not {kind.name}; it is not overwritten, give another name")


def check_place(path: Path) -> None:
    """Say before the work starts what would only show at its end.

    Raises: StoreError when a file cannot be at ``path``.
    """
    target = resolved(path)  # a link stays a link, the file it leads to is what is written
    if target.is_dir():
        raise StoreError(f"{path}: is a folder; give a file name")
    if target.exists() and not target.is_file():
        raise StoreError(f"{path}: is not a regular file")
    if not target.parent.is_dir():
        raise StoreError(f"{path}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise StoreError(f"{path}: the folder {target.parent} cannot be written to")


def resolved(path: Path) -> Path:
    """``Path.resolve``, with links that lead in a circle as an error. Raises: StoreError."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{path}: cannot be followed: {getattr(error, 'strerror', None) or error}") from None


def _same_file(first: Path, second: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(first.stat(), Path(second).stat())
    except (OSError, ValueError):
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
