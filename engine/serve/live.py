"""A collection and the index of its references in step: what is changed is on the disk first, and found by the next search."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from threading import Lock
from time import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..alike import note_decoders
from ..collection import Blob, Collection, Reference, check_id
from ..decoded_by import CPU
from ..errors import CollectionError
from .indexes import LiveIndex, MemoryIndex, MilvusIndex

MAX_ID = 1024
Metadata = Mapping[str, Any]
Change = Literal["added", "replaced", "deleted"]


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An image to be added: its id, the sha256 and size of its bytes, its row float32 [D], and metadata where any was given.

    looks: by kind, what is kept of it for the second look.
    """

    id: str
    sha256: str
    size: int
    row: NDArray[np.float32]
    metadata: Metadata | None
    looks: Mapping[str, Blob]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it; an "error" has a reason."""

    id: str
    status: Literal["added", "replaced", "unchanged", "error"]
    error: str | None = None
    same_as: tuple[str, ...] = ()
    """Other references with the same bytes, some of them where there are many."""


class LiveReferences:
    """References that are searched while they change.

    One thread at a time may change them; any number may search, which never waits for a change. collection: open for
    changes; reader: the same one opened a second time, for questions that must not wait either. index: what is searched
    (default: all rows in memory, exactly).
    """

    def __init__(
        self,
        collection: Collection,
        reader: Collection,
        threads: int | None = None,
        index: LiveIndex | None = None,
    ) -> None:
        self.collection = collection
        self.reader = reader
        self.index = MemoryIndex(collection, threads) if index is None else index
        self.last_change = 0.0
        self.observe: Callable[[Change, Sequence[str]], object] = lambda change, ids: None
        """Told of every change that was made, before the next one can be."""
        self._noted = False
        self._changing = Lock()

    def load(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Bring the index up to date, as long as that is wanted. Raises: CollectionError for a damaged row, MilvusError."""
        self.index.load(is_wanted)

    def close(self) -> None:
        with ExitStack() as closing:
            for one in (self.collection, self.reader, self.index):
                closing.callback(one.close)

    def __len__(self) -> int:
        return len(self.index)

    def nearest(self, rows: NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
        """For each row [N, D] the k nearest references, the best first: (id, -(squared distance))."""
        pairs = self.index.nearest(rows, k)
        found: list[list[tuple[str, float]]] = [[] for _ in rows]
        for query, name, score in zip(pairs.queries.tolist(), pairs.references, pairs.scores.tolist(), strict=True):
            found[query].append((name, score))
        return found

    def add(self, newcomers: Sequence[Newcomer], who: str, *, replace: bool) -> list[Outcome]:
        """Add those that can be, all of them or, where that fails, none; an outcome for each, in their order.

        The same bytes under an id that is there are left alone. Other bytes, or other metadata, under it are an error, and
        with ``replace`` take its place. Raises: CollectionError when nothing can be written, MilvusError.
        """
        with self._changing:
            known = self.collection.find(one.id for one in newcomers)
            outcomes: list[Outcome] = []
            wanted: dict[str, Newcomer] = {}
            for one in newcomers:
                outcome = _decide(one, known.get(one.id), wanted.get(one.id), replace)
                outcomes.append(outcome)
                if outcome.status in ("added", "replaced"):
                    wanted[one.id] = one
            self._write(list(wanted.values()), known, who)
            same = self.collection.same_bytes(one.sha256 for one in wanted.values())
        return [
            replace_fields(outcome, same_as=tuple(name for name in same.get(one.sha256, []) if name != one.id))
            for outcome, one in zip(outcomes, newcomers, strict=True)
        ]

    def are_there(self, images: Sequence[tuple[str, str, Metadata | None]]) -> bool:
        """Whether all of the images, (id, sha256, metadata where any is given), are there as they are."""
        with self._changing:
            known = self.collection.find(name for name, _, _ in images)
        return all(name in known and _is_same(known[name], sha256, metadata) for name, sha256, metadata in images)

    def remove(self, ids: Iterable[str], who: str) -> dict[str, bool]:
        """Remove those that are there; whether each was. Raises: CollectionError when nothing can be written."""
        with self._changing:
            wanted = list(dict.fromkeys(ids))
            there = self.collection.find(wanted)
            if there:
                with self.index.removing(there), self.collection.noting(who, "delete", {"ids": list(there)}):
                    self.collection.remove(there)
                self.last_change = time()
                self.observe("deleted", list(there))
            return {name: name in there for name in wanted}

    def patch(self, name: str, changes: Metadata, who: str) -> Reference | None:
        """Set metadata key by key, None takes a key away; the reference as it is then, None where there is none."""
        with self._changing:
            known = self.collection.find([name]).get(name)
            if known is None:
                return None
            values = {key: value for key, value in (known.metadata | dict(changes)).items() if value is not None}
            with self.collection.noting(who, "metadata", {"id": name, "changes": dict(changes)}):
                self.collection.set_metadata({name: values})
            self.last_change = time()
            return self.collection.find([name])[name]

    def settle(self) -> None:
        """Let the next start be a quick one."""
        with self._changing:
            self.index.settle()

    def compact(self) -> None:
        """Take what was removed out of the files, when there is more of it than of the rest."""
        with self._changing:
            if self.collection.is_worth_compacting:
                self.collection.compact()

    def _write(self, new: list[Newcomer], known: Mapping[str, Reference], who: str) -> None:
        if not new:
            return
        if not self._noted:
            note_decoders(self.collection, [CPU])
            self._noted = True
        ids = [one.id for one in new]
        rows = np.stack([one.row for one in new])
        metadata = [one.metadata if one.metadata is not None else _metadata(known.get(one.id)) for one in new]
        digests, sizes = [one.sha256 for one in new], [one.size for one in new]
        what = {"added": [name for name in ids if name not in known], "replaced": [n for n in ids if n in known]}
        with self.index.adding(ids, rows, known), self.collection.noting(who, "add", what):
            self.collection.add(
                ids, rows, sha256=digests, sizes=sizes, metadata=metadata, blobs=_by_kind(new), replace=True
            )
        self.last_change = time()
        self.observe("added", what["added"])
        self.observe("replaced", what["replaced"])


def opened_references(collection: Collection, index: str | None, threads: int | None) -> LiveReferences:
    """References to be searched by an index at an address, else by all rows in memory; closes the collection where that fails.

    Raises: MilvusError, MissingExtraError, CollectionError.
    """
    with ExitStack() as opened:
        opened.callback(collection.close)
        reader = opened.enter_context(Collection.open(collection.path))
        found = None if index is None else MilvusIndex(index, collection, reader, threads)
        opened.pop_all()
    return LiveReferences(collection, reader, threads, found)


def _by_kind(new: Sequence[Newcomer]) -> dict[str, list[Blob | None]]:
    kinds = sorted({kind for one in new for kind in one.looks})
    return {kind: [one.looks.get(kind) for one in new] for kind in kinds}


def check_name(name: str) -> None:
    """Raises: CollectionError for an id that cannot be kept."""
    check_id(name)
    if len(name) > MAX_ID:
        raise CollectionError(f"an id has at most {MAX_ID} characters, not {len(name)}")


def _decide(one: Newcomer, known: Reference | None, before: Newcomer | None, replace: bool) -> Outcome:
    """What is to become of a newcomer. before: one of the same request with the same id."""
    if before is not None:
        if before.sha256 == one.sha256 and before.metadata == one.metadata:
            return Outcome(one.id, "unchanged")
        return Outcome(one.id, "error", "the id occurs in this request before, with another image or metadata")
    if known is None:
        return Outcome(one.id, "added")
    if _is_same(known, one.sha256, one.metadata):
        return Outcome(one.id, "unchanged")
    if replace:
        return Outcome(one.id, "replaced")
    what = "metadata" if known.sha256 == one.sha256 else "bytes"
    return Outcome(one.id, "error", f"the id is there with other {what}; ?replace=true takes the new")


def _is_same(known: Reference, sha256: str, metadata: Metadata | None) -> bool:
    return known.sha256 == sha256 and (metadata is None or dict(metadata) == known.metadata)


def _metadata(known: Reference | None) -> Metadata:
    return {} if known is None else known.metadata
