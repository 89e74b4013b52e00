"""Descriptors as a NumPy array, with their ids in a text file beside it."""

from pathlib import Path

import numpy as np

from ..errors import StoreError
from .atomic import reason, replacing
from .content import Content


def ids_path(path: Path) -> Path:
    """Where the ids of ``F.npy`` lie: ``F.ids.txt``."""
    return path.with_suffix(".ids.txt")


def write(path: Path, content: Content) -> tuple[str, ...]:
    """Write F.npy and F.ids.txt, the ids first; returns what is not kept. Raises: StoreError."""
    for name in content.ids:
        if len(name.splitlines()) != 1 or name != name.strip():
            raise StoreError(f"{path}: the id {name!r} cannot stand on a line of {ids_path(path)}; .parquet keeps it")
    with replacing(ids_path(path)) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in content.ids), encoding="utf-8")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, content.rows)
    kept = {"attributes": content.attributes, "failed": content.failed, "damaged": content.damaged}
    return tuple(name for name, value in kept.items() if value)


def read(path: Path) -> Content:
    """Read F.npy and F.ids.txt. Raises: StoreError."""
    names = ids_path(path)
    for file in (path, names):
        if not file.is_file():
            raise StoreError(f"{file}: {'is not a regular file' if file.exists() else 'no such file'}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
            raise StoreError(f"{path}: must be an array of floats [N, D]")
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused for that
            rows = np.array(array, np.float32, order="C")
        ids = names.read_text(encoding="utf-8-sig").splitlines()
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {reason(error)}") from None
    except UnicodeDecodeError as error:
        raise StoreError(f"{names}: not UTF-8: {error}") from None
    except MemoryError:
        raise StoreError(f"{path}: damaged, or larger than the memory of this machine") from None
    except Exception as error:  # numpy raises whatever it comes across in a damaged header
        raise StoreError(f"{path}: not a readable NumPy array: {' '.join(str(error).split())}") from None
    if len(ids) != len(rows):
        raise StoreError(f"{names}: {len(ids)} ids for the {len(rows)} rows of {path}")
    return Content(ids, rows)
