"""Joins collections and Milvus: an index that is derived from a collection, and brought up to date from it.

The collection is the truth. Under each number that it gives to a reference, and to no other ever, the index has a row; written
beside them is whose rows they are, and of which state of the collection. Where that is not today's, both are compared by
numbers and checksums, and only what is missing or too much is changed.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .collection import WHOLE, Collection, Descriptors
from .errors import CollectionError, MilvusError
from .match.views import REFERENCE_VIEWS
from .milvus import MilvusAddress, RecallSample, StoredRows
from .milvus.rows import ROWS_EACH, Float32, Indices, Part
from .milvus.sample import QUERIES, K
from .milvus_search import MilvusCandidates, MilvusSearch
from .search import IndexPairs, Pairs, nearest_pairs
from .threads import cpu_count

OWNER = "index_owner"
"""The property of a collection that its indexes know it by."""
_REFERENCES = 4096  # compared at a time
_WORTH_MEASURING = 0.1  # of the rows new: recall is measured again
_PLACES = {view: place for place, view in enumerate(REFERENCE_VIEWS)}


@dataclass(frozen=True, slots=True)
class IndexState:
    """What an index is: its rows, how many of them came and went just now, and the share of the ten nearest that it finds of a
    sample of queries, None where that was never measured."""

    address: str
    rows: int
    added: int
    removed: int
    recall_at_10: float | None

    def line(self) -> str:
        """One line for people."""
        recall = "not measured" if self.recall_at_10 is None else f"{self.recall_at_10:.4f}"
        return (
            f"{self.address}: {self.rows} rows, {self.added} added, {self.removed} removed; approximate: "
            f"recall@10 against exact search {recall}"
        )


def open_index(address: MilvusAddress, collection: Collection, *, sole_writer: bool = False) -> StoredRows:
    """What Milvus has for a collection, of whatever state. sole_writer: nobody else changes it while it is open.

    Raises: MilvusError, MissingExtraError; CollectionError where the collection has had no index yet and is not open for
    changes.
    """
    owner = collection.properties.get(OWNER)
    if owner is None:
        owner = secrets.token_hex(8)
        collection.set_properties(**{OWNER: owner})
    kept = collection.attributes
    space = "/".join(str(kept.get(name, "unknown")) for name in ("space", "precision", "output"))
    return StoredRows(address, collection.dimension, space, str(owner), "Session" if sole_writer else "Strong")


def index_state(rows: StoredRows, collection: Collection) -> IndexState | None:
    """What it is, if it is of the collection's present state, else None."""
    facts = rows.facts()
    if rows.is_new or facts.get("state") != collection.state or str(count := len(rows)) != facts.get("rows"):
        return None
    return IndexState(str(rows.address), count, 0, 0, _recall(facts))


def bring_up_to_date(
    rows: StoredRows,
    collection: Collection,
    *,
    threads: int | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> IndexState:
    """Let the index have the rows of a collection, open for changes so that nobody makes any meanwhile.

    Recall is measured where the index is new, or much has changed. Raises: MilvusError, CollectionError.
    """
    known = index_state(rows, collection)
    if known is not None:
        return known
    recall, fresh = _recall(rows.facts()), rows.is_new
    is_other = fresh or recall is None or abs(len(rows) - len(collection)) >= _WORTH_MEASURING * len(collection)
    sample = RecallSample(_some_rows(collection)) if is_other and len(collection) else None
    count = added = removed = 0
    for block, first, behind in _blocks(collection):
        if not is_wanted():
            return IndexState(str(rows.address), count, added, removed, recall)
        keys = keys_of(block)
        came, went = _compare(rows, block, keys, first, behind, fresh)
        count, added, removed = count + int((keys >= 0).sum()), added + came, removed + went
        if sample is not None:
            sample.see(_exact(block, threads))
        collection.release_pages()
    rows.build()
    if added or removed:
        rows.flush()
    if sample is not None:
        search = MilvusSearch(rows, lambda numbers: collection.rows_numbered(numbers.tolist()), threads)
        recall = sample.recall(_table(search.nearest(sample.queries, K), len(sample.queries)))
    rows.is_new = False
    write_state(rows, collection, count, recall)
    return IndexState(str(rows.address), count, added, removed, recall)


@contextmanager
def open_candidates(
    address: MilvusAddress, path: Path, *, threads: int | None = None
) -> Iterator[tuple[MilvusCandidates, IndexState]]:
    """``nearest`` for a ``Matcher`` whose references have been read from the collection at a path: its index, brought up to
    date where it is not. Raises: MilvusError, also where that cannot be, CollectionError, MissingExtraError.
    """
    rows: StoredRows | None = None
    try:
        with Collection.open(path) as collection:
            rows = open_index(address, collection) if OWNER in collection.properties else None
            state = None if rows is None else index_state(rows, collection)
        if rows is None or state is None:
            with _changeable(address, path) as collection:
                rows = rows or open_index(address, collection)
                state = bring_up_to_date(rows, collection, threads=threads)
        yield MilvusCandidates(rows), state
    finally:
        if rows is not None:
            rows.close()


def _changeable(address: MilvusAddress, path: Path) -> Collection:
    try:
        return Collection.open(path, write=True)
    except CollectionError as error:
        raise MilvusError(f"{address}: is not of the collection's present state, and stays so: {error}") from None


def write_state(rows: StoredRows, collection: Collection, count: int, recall: float | None) -> None:
    """Write beside the rows that they are those of the collection's present state."""
    facts = {"state": collection.state, "rows": str(count)}
    rows.set_facts(**facts, **({} if recall is None else {"recall": f"{recall:.6f}"}))


def keys_of(block: Descriptors) -> Indices:
    """The keys of rows, -1 for those of views that nothing searches for."""
    places = np.array([_PLACES.get(view, -1) for view in block.views], np.int64)
    return np.where(places < 0, -1, ROWS_EACH * block.numbers + places)


def _blocks(collection: Collection) -> Iterator[tuple[Descriptors, int, int | None]]:
    """The rows of all references in the order of their numbers, and which numbers a block is of: from one up to another, which
    is not its; None is behind all."""
    first: int | None = 0
    while first is not None:
        block = collection.rows_from(first, _REFERENCES)
        is_last = len(np.unique(block.numbers)) < _REFERENCES
        behind = None if is_last else int(block.numbers[-1]) + 1
        yield block, first, behind
        first = behind


def _compare(
    rows: StoredRows, block: Descriptors, keys: Indices, first: int, behind: int | None, fresh: bool
) -> tuple[int, int]:
    """Add what is missing and remove what is too much among the keys of some numbers; how many. fresh: nothing is there."""
    missing = keys >= 0
    gone = np.empty(0, np.int64)
    if not fresh:
        there, checksums = rows.checksums(ROWS_EACH * first, None if behind is None else ROWS_EACH * behind)
        gone = np.setdiff1d(there, keys)
        rows.remove(gone.tolist())
        places = np.minimum(np.searchsorted(there, keys), max(0, len(there) - 1))
        if len(there):
            missing &= (there[places] != keys) | (checksums[places] != block.checksums)
    whole = keys % ROWS_EACH == _PLACES[WHOLE]
    parts: tuple[tuple[Part, NDArray[np.bool_]], ...] = (("whole", missing & whole), ("crops", missing & ~whole))
    for part, wanted in parts:
        which = np.flatnonzero(wanted)
        rows.add(keys[which], block.checksums[which], block[which], part=part, fresh=fresh)
    return int(missing.sum()), len(gone)


def _some_rows(collection: Collection) -> Float32:
    """The rows of whole pictures of some references, at random, but the same ones each time."""
    drawn = np.random.default_rng(0).integers(1, collection.next_number, 16 * QUERIES)
    found = collection.rows_numbered(np.unique(drawn).tolist())
    if not len(found):  # nearly all that ever were have been removed
        found = collection.rows_from(0, QUERIES).of_views([WHOLE])
    return found[np.unique(np.linspace(0, len(found) - 1, QUERIES).round().astype(np.int64))]


def _exact(block: Descriptors, threads: int | None) -> Callable[[Float32, int], NDArray[np.float64]]:
    whole = block.of_views([WHOLE])

    def search(queries: Float32, k: int) -> NDArray[np.float64]:
        ranks, all_of_them = np.arange(len(queries)), np.arange(len(whole))
        found = nearest_pairs(
            queries, whole, k, query_ranks=ranks, reference_ranks=all_of_them, threads=threads or cpu_count()
        )
        return _table(found, len(queries))

    return search


def _table(pairs: Pairs | IndexPairs, queries: int) -> NDArray[np.float64]:
    """The squared distances of pairs, at most ten of each query, as [queries, 10]; infinite where there are fewer."""
    table = np.full((queries, K), np.inf)
    counts = np.zeros(queries, np.int64)
    for query, distance in zip(pairs.queries.tolist(), pairs.distances.tolist(), strict=True):
        table[query, counts[query]] = distance
        counts[query] += 1
    return table


def _recall(facts: Mapping[str, str]) -> float | None:
    return float(facts["recall"]) if "recall" in facts else None
