"""What the references of a service are searched by: all of them in memory, exactly, or an index in Milvus that is derived.

Either is told of a change before it is made and after: the change itself, of the collection, happens within ``adding`` or
``removing``.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..collection import Collection, Descriptors, Reference
from ..collection.rows import row_checksums
from ..errors import MilvusError
from ..milvus import MilvusAddress
from ..milvus.rows import ROWS_EACH
from ..milvus_index import bring_up_to_date, open_index, write_state
from ..milvus_search import MilvusSearch
from ..search import Index, IndexPairs

log = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
Known = Mapping[str, Reference]
"""References that were there before a change, by their ids."""

LOAD_ROWS = 65_536


class LiveIndex(Protocol):
    """Safe to use from several threads, but that one at a time may change it."""

    is_exact: bool
    """Whether nothing that is nearer than what was found can be missing."""

    @property
    def dimension(self) -> int: ...

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...

    def load(self, is_wanted: Callable[[], bool]) -> None:
        """Have all that the collection has."""

    def adding(self, ids: Sequence[str], rows: Float32, known: Known) -> AbstractContextManager[None]:
        """References are added within, in the place of those that are ``known``."""

    def removing(self, known: Known) -> AbstractContextManager[None]:
        """References are removed within."""

    def nearest(self, queries: Float32, k: int) -> IndexPairs: ...

    def within(self, queries: Float32, max_distance: float) -> IndexPairs: ...

    def rows(self, ids: Sequence[str]) -> Float32:
        """The rows of references, float32 [n, D]. Raises: KeyError for an id that is not there."""

    def settle(self) -> None:
        """Called now and then, and at the end: keep what makes the next start quick."""

    def close(self) -> None: ...

    @property
    def row_bytes(self) -> int:
        """Of the rows in this process's memory, as float32."""


class MemoryIndex(Index):
    """All rows in memory; the index itself takes 1.3 to 2 times as much as they do."""

    is_exact = True

    def __init__(self, collection: Collection, threads: int | None) -> None:
        super().__init__(collection.dimension, threads=threads)
        self._collection = collection

    def load(self, is_wanted: Callable[[], bool]) -> None:
        for ids, rows in self._collection.descriptors().blocks(LOAD_ROWS):
            if not is_wanted():
                return
            self.add(ids, rows)
            self._collection.release_pages()  # the rows are in memory now, and not wanted there twice

    @contextmanager
    def adding(self, ids: Sequence[str], rows: Float32, known: Known) -> Iterator[None]:
        yield
        self.add(ids, rows, replace=True)

    @contextmanager
    def removing(self, known: Known) -> Iterator[None]:
        yield
        self.remove(list(known))

    def settle(self) -> None: ...

    def close(self) -> None: ...

    @property
    def row_bytes(self) -> int:
        return 4 * len(self) * self.dimension


class MilvusIndex(MilvusSearch):
    """Rows in Milvus, which proposes, and in the collection, which decides.

    A row is in Milvus, and seen there, before the collection has its reference: what the collection does not know is never
    found. So an add fails where Milvus does, and nothing has changed. A reference that is removed is gone with the collection's
    change; its row in Milvus goes when that can be reached.
    """

    is_exact = False
    row_bytes = 0

    def __init__(self, address: str, collection: Collection, reader: Collection, threads: int | None) -> None:
        self._stored = open_index(MilvusAddress.parse(address), collection, sole_writer=True)
        super().__init__(self._stored, self._fetched, threads)
        self._collection = collection
        self._reader = reader
        self._left: set[int] = set()
        """Keys in Milvus that no reference has any more."""
        self._recall: float | None = None
        self._settled: str | None = None

    @property
    def dimension(self) -> int:
        return self._stored.dimension

    def __len__(self) -> int:
        return len(self._reader)

    def __contains__(self, name: object) -> bool:
        return name in self._reader

    def load(self, is_wanted: Callable[[], bool]) -> None:
        state = bring_up_to_date(self._stored, self._collection, threads=self._threads, is_wanted=is_wanted)
        log.info("%s", state.line())
        self._recall, self._settled = state.recall_at_10, self._collection.state if is_wanted() else None

    @contextmanager
    def adding(self, ids: Sequence[str], rows: Float32, known: Known) -> Iterator[None]:
        first = self._collection.next_number
        keys = ROWS_EACH * np.arange(first, first + len(ids))
        self._left.difference_update(keys.tolist())  # of an add that failed before; its numbers are given now
        try:
            self._stored.add(keys, row_checksums(np.ascontiguousarray(rows)), rows, part="whole")
            self._stored.confirm(keys.tolist())
            yield
        except BaseException:
            self._let_go(keys.tolist())
            raise
        self._let_go([ROWS_EACH * known[name].number for name in ids if name in known])

    @contextmanager
    def removing(self, known: Known) -> Iterator[None]:
        yield
        self._let_go([ROWS_EACH * reference.number for reference in known.values()])

    def rows(self, ids: Sequence[str]) -> Float32:
        found = self._reader.rows_of(ids)
        if len(found) < len(ids):
            raise KeyError(next(iter(set(ids) - set(found.ids))))
        return found[:]

    def settle(self) -> None:
        if self._settled in (None, self._collection.state):  # None: it was never brought up to date
            return
        self._let_go([])
        if self._left:
            return
        try:
            write_state(self._stored, self._collection, len(self._collection), self._recall)
            self._settled = self._collection.state
        except MilvusError as error:
            log.warning("%s; the next start compares it with the collection", error)

    def close(self) -> None:
        self.settle()
        self._stored.close()

    def _let_go(self, keys: Sequence[int]) -> None:
        self._left.update(keys)
        if not self._left:
            return
        try:
            self._stored.remove(sorted(self._left))
            self._left.clear()
        except MilvusError as error:
            log.warning("%s; rows of references that are gone stay there for now, and are never found", error)

    def _fetched(self, numbers: NDArray[np.int64]) -> Descriptors:
        return self._reader.rows_numbered(numbers.tolist())
