"""Bytes on disk and in memory. What depends on the images is measured with the rates; the constants here are of the code.

Those of indexes of others come from their documentation: Milvus's defaults for HNSW (M = 30) and DISKANN (degree 56, codes an
eighth and cache an eighth of the rows), and one byte a dimension for IVF_SQ8. None of them was measured here.
"""

import math
from dataclasses import dataclass

from ..match.recall import memory_bytes as votes_bytes
from .figure import Figure, bytes_text, count_text
from .rates import Rates
from .task import Task

LISTED_IMAGE = 480
"""Of each image that a source lists, in every process that embeds a part of it: id, name, place and stamp. Measured: 474 at the
most, 345 held, with names of 20 characters."""
MERGED_ROW = 420
"""Of each row while parts are merged: ids, in four tables. ``python -m benchmarks.million``: 489 MiB for a million."""
SEARCHED_ROW = 170
"""Of each reference while a file is searched: ids and ranks; rows are read by blocks. There: 400 MiB with 50,000 queries."""
PROCESS = 150_000_000
"""Of a process that searches, whatever the number of images."""
INDEX_OF_ROWS = 1.57
"""Memory of the service's index / its rows as float32 (``python -m benchmarks.live_index``)."""
VOTES_ROOM = 1.125
"""Memory of an index of local features / its formula: lists grow by an eighth."""
USABLE = 0.8
"""Of a machine's memory."""
HNSW_LINKS, HNSW_LINK_BYTES = 30, 4
DISKANN_DEGREE, DISKANN_IN_MEMORY, SECTOR = 56, 0.25, 4096


@dataclass(frozen=True, slots=True)
class Ann:
    """An index of others by its name in Milvus: bytes of a row of D numbers in memory and on disk."""

    name: str
    memory: float
    disk: float
    formula: str


def ann_indexes(dimension: int) -> list[Ann]:
    """Those that one would choose between, from much memory to little."""
    raw = 4 * dimension
    graph = raw + 2 * HNSW_LINKS * HNSW_LINK_BYTES
    node = raw + 4 * DISKANN_DEGREE + 4
    on_disk = SECTOR / (SECTOR // node) if node <= SECTOR else math.ceil(node / SECTOR) * SECTOR
    return [
        Ann("HNSW", graph, graph, f"(4 x {dimension} + 2 x {HNSW_LINKS} links x {HNSW_LINK_BYTES})"),
        Ann("IVF_SQ8", dimension + 8, dimension + 8, f"({dimension} + 8)"),
        Ann("DISKANN", DISKANN_IN_MEMORY * raw, on_disk, f"({DISKANN_IN_MEMORY} x 4 x {dimension})"),
    ]


def on_disk(task: Task, rates: Rates) -> list[Figure]:
    sizes = rates.sizes
    n, q = count_text(task.references), count_text(task.queries)
    image = rates.image_bytes if task.image_bytes is None else task.image_bytes
    row = sizes.descriptor_row
    return [
        _times("images of the references", task.references, image, f"{n} images"),
        _times("descriptors of the references", task.references, row, f"{n} rows"),
        _times("the same in parts, until they are merged", task.references, row, f"{n} rows"),
        _times("descriptors of the queries", task.queries, row, f"{q} rows"),
        _times("pairs", task.found, sizes.pair_row, f"{count_text(task.found)} pairs"),
        _times("collection with local features", task.references, sizes.collection_reference, f"{n} references"),
    ]


def in_memory(task: Task, rates: Rates) -> list[Figure]:
    """Of one process each, if one process did it all."""
    n, raw = count_text(task.references), 4 * rates.dimension
    return [
        listing(task),
        _times("merge, in one process", task.references, MERGED_ROW, f"{n} rows"),
        searching(task, rates),
        Figure(
            "references in the service's memory",
            task.references * raw * INDEX_OF_ROWS,
            "bytes",
            f"{n} references x {bytes_text(raw)} x {INDEX_OF_ROWS}",
        ),
        voting(task, rates),
        *(
            _times(f"Milvus {one.name}, in memory", task.references, one.memory, f"{n} rows", one.formula)
            for one in ann_indexes(rates.dimension)
        ),
    ]


def listing(task: Task) -> Figure:
    n = count_text(task.references)
    return _times("list of a source, in every process", task.references, LISTED_IMAGE, f"{n} images")


def searching(task: Task, rates: Rates) -> Figure:
    """Queries whole, twice (as they are and as they are scanned); references by blocks, their ids whole."""
    queries = 2 * 4 * rates.dimension
    return Figure(
        "search, exact, in one process",
        PROCESS + task.queries * queries + task.references * SEARCHED_ROW,
        "bytes",
        f"{bytes_text(PROCESS)} + {count_text(task.queries)} queries x {bytes_text(queries)}"
        f" + {count_text(task.references)} ids x {SEARCHED_ROW} B",
    )


def voting(task: Task, rates: Rates) -> Figure:
    """The index of local features that ``match --mode full`` goes by."""
    features = max(1, round(task.references * rates.sizes.features))
    each = votes_bytes(features) // features
    formula = (
        f"{count_text(task.references)} references x {rates.sizes.features:.3g} features x {each} B x {VOTES_ROOM}"
    )
    return Figure("local features (match --mode full)", features * each * VOTES_ROOM, "bytes", formula)


def _times(name: str, number: int, each: float, what: str, each_text: str | None = None) -> Figure:
    return Figure(name, number * each, "bytes", f"{what} x {each_text or bytes_text(each)}")
