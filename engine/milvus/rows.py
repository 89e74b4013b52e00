"""Rows under keys in one collection of a Milvus, and what is written beside them to know whose they are.

A row never changes: whoever has the rows says under which numbers they are, and gives no number twice. So what is left behind
by a change that did not come to its end is a row too many or too few, never a wrong one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import MilvusError, optional_module
from .address import IndexType, MilvusAddress
from .connection import BULK_SECONDS, Connection

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Part = Literal["whole", "crops"]
"""Rows of whole pictures and of their crops are searched each for themselves, so each have a partition of Milvus."""
Alive = Callable[[Indices], NDArray[np.bool_]]

ROWS_EACH = 16
"""Keys for each number: key = 16 * number + place of the row."""
FORM = "1"
MOST_HITS = 16_384
"""Of one query; Milvus's own limit."""
LEAST_HITS = 16
"""However few are wanted."""
LEAST_WIDTH = 128
"""Of a search, however few hits it is asked for: the wider, the more surely it finds the nearest ones."""

_NOT_LOADED = 101  # Milvus's code for it
_PARTITIONS: dict[Part, str] = {"whole": "_default", "crops": "crops"}
_PREFIX = "copytrace."
_MESSAGE_BYTES = 4 << 20
_QUERIES = 256  # of one call
_HITS = 400_000  # of one call
_KEYS = 10_000  # of one call


class StoredRows:
    """Rows float32 [N, D] under int64 keys. One thread at a time may change them, any number may search.

    space: what makes rows comparable, owner: whose they are; both in words that are compared. consistency: "Session" sees what
    this process has changed, "Strong" what any other has as well, and asks all of Milvus for it.
    Raises: MilvusError where there is another's collection of the name, rows of another dimension or space, or no Milvus.
    """

    def __init__(
        self,
        address: MilvusAddress,
        dimension: int,
        space: str,
        owner: str,
        consistency: Literal["Session", "Strong"] = "Strong",
    ) -> None:
        self.address = address
        self.dimension = dimension
        self._consistency = consistency
        self._connection = Connection(address)
        try:
            self.is_new = not self._connection("has_collection", address.name)
            facts = {"form": FORM, "dimension": str(dimension), "space": space, "owner": owner}
            if self.is_new:
                self._make(facts)
            else:
                self._check(facts)
            if not self._connection("has_partition", address.name, _PARTITIONS["crops"]):
                self._connection("create_partition", address.name, _PARTITIONS["crops"])
            if not self.is_new:
                self.build()
        except MilvusError as error:
            self._connection.close()
            if address.path is None or error.__cause__ is None:
                raise
            raise MilvusError(
                f"{error}; if the folder is damaged, delete it: it is made again from the collection"
            ) from error
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def _make(self, facts: dict[str, str]) -> None:
        pymilvus = optional_module("pymilvus", "milvus")
        kinds = pymilvus.DataType
        schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", kinds.INT64, is_primary=True)
        schema.add_field("checksum", kinds.INT64)
        schema.add_field("row", kinds.FLOAT_VECTOR, dim=self.dimension)
        properties = {_PREFIX + name: value for name, value in facts.items()}
        self._connection(
            "create_collection", self.address.name, schema=schema, properties=properties, consistency_level="Strong"
        )

    def _check(self, expected: dict[str, str]) -> None:
        """Raises: MilvusError unless the collection that is there is what it is taken for."""
        there = self.facts()
        if "form" not in there:
            raise MilvusError(f"{self.address}: holds something else than rows of copytrace; take another name")
        if there["form"] != FORM:
            raise MilvusError(f"{self.address}: was written by another version of copytrace (form {there['form']})")
        for name, what in (
            ("owner", "is the index of another collection"),
            ("dimension", "holds rows of {there} numbers, not {expected}"),
            ("space", "holds rows of another space: {there}, not {expected}"),
        ):
            if there.get(name) != expected[name]:
                words = {"there": str(there.get(name))[:40], "expected": expected[name][:40]}
                raise MilvusError(f"{self.address}: {what.format(**words)}; drop it there, or take another name")

    def facts(self) -> dict[str, str]:
        """What is written beside the rows."""
        properties = self._connection("describe_collection", self.address.name)["properties"]
        return {
            name.removeprefix(_PREFIX): str(value) for name, value in properties.items() if name.startswith(_PREFIX)
        }

    def set_facts(self, **facts: str) -> None:
        properties = {_PREFIX + name: value for name, value in facts.items()}
        self._connection("alter_collection_properties", self.address.name, properties)

    def build(self) -> None:
        """Have an index over all rows, and it in Milvus's memory; no search, and no question, can be answered before."""
        name = self.address.name
        if not self._connection("list_indexes", name, field_name="row"):
            self._connection("flush", name, seconds=BULK_SECONDS)
            stored = int(self._connection("get_collection_stats", name)["row_count"])
            params, kind = self._connection.index_params, self.address.index_type
            params.add_index(field_name="row", index_type=kind, metric_type="L2", params=_build_params(kind, stored))
            is_server = self.address.path is None  # Milvus Lite builds it when it is loaded, and cannot be waited for
            self._connection("create_index", name, params, seconds=BULK_SECONDS, sync=is_server)
        self._connection("load_collection", name, seconds=BULK_SECONDS)

    def flush(self) -> None:
        """Have what was changed in Milvus's files."""
        self._connection("flush", self.address.name, seconds=BULK_SECONDS)

    def __len__(self) -> int:
        found = self._query("", ["count(*)"])
        return int(found[0]["count(*)"])

    def checksums(self, first: int, behind: int | None) -> tuple[Indices, Indices]:
        """(keys ascending, checksums) of the rows with keys from ``first`` up to, not including, ``behind``."""
        condition = f"key >= {first}" + ("" if behind is None else f" and key < {behind}")
        found = self._query(condition, ["key", "checksum"])
        table = np.array([(one["key"], one["checksum"]) for one in found], np.int64).reshape(-1, 2)
        table = table[np.argsort(table[:, 0])]
        return table[:, 0], table[:, 1]

    def add(self, keys: Indices, checksums: NDArray[Any], rows: Float32, *, part: Part, fresh: bool = False) -> None:
        """Put rows [N, D] under keys, whatever was there. fresh: nothing was, which is quicker."""
        step = max(1, _MESSAGE_BYTES // (4 * self.dimension))
        for start in range(0, len(keys), step):
            some = slice(start, start + step)
            columns = zip(keys[some].tolist(), checksums[some].tolist(), rows[some], strict=True)
            data = [{"key": key, "checksum": checksum, "row": row} for key, checksum, row in columns]
            how = "insert" if fresh else "upsert"
            self._connection(how, self.address.name, data, partition_name=_PARTITIONS[part], seconds=BULK_SECONDS)

    def confirm(self, keys: Sequence[int]) -> None:
        """Raises: MilvusError unless all of these can be seen by any search that begins now."""
        count = 0
        for start in range(0, len(keys), _KEYS):
            some = ", ".join(map(str, keys[start : start + _KEYS]))
            count += len(self._query(f"key in [{some}]", ["key"]))
        if count != len(keys):
            raise MilvusError(f"{self.address}: shows {count} of {len(keys)} rows that were just added")

    def remove(self, keys: Sequence[int]) -> None:
        """Let rows go, where they are there."""
        for start in range(0, len(keys), _KEYS):
            self._connection("delete", self.address.name, ids=list(keys[start : start + _KEYS]))

    def nearest(self, queries: Float32, hits: int, part: Part = "whole") -> Indices:
        """For each query float32 [Q, D] the keys of rows that are near, as far as Milvus finds them: int64 [Q, hits], the
        nearest first, -1 behind the last."""
        found = np.full((len(queries), hits), -1, np.int64)
        params = _search_params(self.address.index_type, hits)
        step = max(1, min(_QUERIES, _HITS // hits))
        for start in range(0, len(queries), step):
            answers = self._asked(
                "search",
                self.address.name,
                data=list(np.ascontiguousarray(queries[start : start + step], np.float32)),
                limit=hits,
                anns_field="row",
                search_params={"metric_type": "L2", "params": params},
                partition_names=[_PARTITIONS[part]],
                consistency_level=self._consistency,
            )
            for query, hit in enumerate(answers, start):
                found[query, : len(hit.ids)] = list(hit.ids)
        return found

    def proposed(
        self, queries: Float32, k: int, alive: Alive, part: Part = "whole", *, rows_each: int = 1
    ) -> tuple[Indices, Indices]:
        """Pairs (row of a query, number), int64 [P] each, among which those of the ``k`` nearest to every query should be.

        Numbers that are not ``alive`` any more are left out, and asked beyond. rows_each: so many rows of a number may be near
        to a query. What is proposed to a query does not depend on the others.
        """
        hits = min(MOST_HITS, max(LEAST_HITS, k * rows_each * self.address.oversampling))
        left = np.arange(len(queries))
        pairs = [(left[:0], left[:0])]
        while len(left):
            numbers = self.nearest(queries[left], hits, part) // ROWS_EACH
            known = np.unique(numbers[numbers >= 0])
            known = known[alive(known)]
            own = [np.intersect1d(of_one, known) for of_one in numbers]
            suffice = (numbers[:, -1] < 0) | (np.array([len(some) for some in own]) >= k) | (hits == MOST_HITS)
            pairs += [(np.full(len(own[i]), left[i]), own[i]) for i in np.flatnonzero(suffice).tolist()]
            left, hits = left[~suffice], min(MOST_HITS, 4 * hits)
        whose, found = (np.concatenate(column) for column in zip(*pairs, strict=True))
        return whose, found

    def _query(self, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._asked(
            "query", self.address.name, filter=condition, output_fields=fields, consistency_level="Strong"
        )
        return found

    def _asked(self, *arguments: Any, **named: Any) -> Any:
        """What a call returns; a server that was started again may not have the rows in its memory yet."""
        try:
            return self._connection(*arguments, **named)
        except MilvusError as error:
            if getattr(error.__cause__, "code", None) != _NOT_LOADED:
                raise
        self._connection("load_collection", self.address.name, seconds=BULK_SECONDS)
        return self._connection(*arguments, **named)


def _build_params(kind: IndexType, rows: int) -> dict[str, int]:
    if kind == "HNSW":
        return {"M": 32, "efConstruction": 256}
    return {"nlist": max(16, min(65_536, round(4 * rows**0.5)))} if kind == "IVF_FLAT" else {}


def _search_params(kind: IndexType, hits: int) -> dict[str, int]:
    width = max(LEAST_WIDTH, 2 * hits)
    return {"HNSW": {"ef": width}, "DISKANN": {"search_list": width}, "IVF_FLAT": {"nprobe": 64}}.get(kind, {})
