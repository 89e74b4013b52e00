"""Descriptor files that are searched as one, and the parts of their rows that actors take."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..collection.catalogue import FILE_NAME as CATALOGUE
from ..errors import StoreError
from ..store import DescriptorFile, check_parts, check_together, open_descriptors


class JoinedRows:
    """The rows of several files one after the other, float32 [N, D], read slice by slice."""

    def __init__(self, files: Sequence[DescriptorFile]) -> None:
        self._files = files
        self.ends = [0, *accumulate(len(file.ids) for file in files)]
        self.shape = (self.ends[-1], int(files[0].descriptors.shape[1]))

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        start, stop, _ = rows.indices(self.shape[0])
        chosen = np.empty((max(0, stop - start), self.shape[1]), np.float32)
        for file, (first, end) in zip(self._files, pairwise(self.ends), strict=True):
            low, high = max(start, first), min(stop, end)
            if low < high:
                with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, which the search refuses
                    chosen[low - start : high - start] = file.descriptors[low - first : high - first]
        return chosen


class JoinedFiles:
    """Descriptor files as one; see :class:`~copytrace.engine.store.Descriptors`. Closed with the ``with`` block."""

    def __init__(self, path: Path, paths: Sequence[Path], images: int | None = None) -> None:
        """images: how many there must be, with those that failed. Raises: StoreError, ComparisonError."""
        self.path = path
        self.paths = list(paths)
        self._stack = ExitStack()
        try:
            self.files = [self._stack.enter_context(open_descriptors(one)) for one in paths]
            several = len(self.files) > 1 or images is not None
            self.attributes: Mapping[str, object] = (
                check_together(self.files, images) if several else self.files[0].attributes
            )
            self.ids = [name for file in self.files for name in file.ids]
            labels = [label for file in self.files for label in file.views or ()]
            self.views = labels or None
            self.descriptors = JoinedRows(self.files)
        except BaseException:
            self._stack.close()
            raise

    @classmethod
    def open(cls, path: Path) -> "JoinedFiles":
        """A descriptor file, or the folder of all parts of one source. Raises: StoreError, ComparisonError."""
        if (path / CATALOGUE).exists():
            raise StoreError(
                f"{path}: is a collection, which lies on one machine; `collection export` makes a file of it"
            )
        if path.is_dir():
            paths, images = check_parts(path)
            return cls(path, paths, images)
        return cls(path, [path])

    def __enter__(self) -> "JoinedFiles":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def touched(self, start: int, stop: int) -> list[int]:
        """Which files have any of the rows start..stop; the first where there are none."""
        ends = self.descriptors.ends
        return [i for i, (first, end) in enumerate(pairwise(ends)) if max(start, first) < min(stop, end)] or [0]

    def digest(self, start: int, stop: int) -> str:
        """A hash of the ids and labels of rows start..stop, and of what the files with them say of themselves."""
        attributes = [self.files[i].attributes for i in self.touched(start, stop)]
        said = [{name: str(value) for name, value in one.items()} for one in attributes]
        text = json.dumps([self.ids[start:stop], self.views and self.views[start:stop], said], sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """Rows start..stop of some files joined, the first of which is row ``first`` of everything."""

    paths: tuple[Path, ...]
    start: int
    stop: int
    first: int
    digest: str
    """Of what the driver sees there; see :meth:`JoinedFiles.digest`."""

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"the part of references {self.first} to {self.first + self.rows}"

    def open(self) -> JoinedFiles:
        """Its files, as they are seen here. Raises: StoreError, also where they are not what the driver saw."""
        files = JoinedFiles(self.paths[0], self.paths)
        if self.stop > len(files.ids) or files.digest(self.start, self.stop) != self.digest:
            files.__exit__()
            raise StoreError(f"{self.paths[0]}: is another file here than on the driver's machine, or was changed")
        return files


def parts_of(joined: JoinedFiles, count: int) -> list[Part]:
    """``count`` consecutive parts, whose rows differ by at most one; where there are fewer rows, one of each, of none one."""
    total = joined.descriptors.shape[0]
    count = max(1, min(count, total))
    parts = []
    for start, stop in pairwise(total * i // count for i in range(count + 1)):
        touched = joined.touched(start, stop)
        paths, base = tuple(joined.paths[i].absolute() for i in touched), joined.descriptors.ends[touched[0]]
        parts.append(Part(paths, start - base, stop - base, start, joined.digest(start, stop)))
    return parts
