"""Projection and query normalisation as ONNX graphs, for a card to compute behind the networks; the definition: ``reference``.

float32 proposes each query's nearest bank rows, some more than are needed, and float64 decides which they are; everything else
is float64 as well, which for a few hundred thousand products an image costs a card nothing.
"""

import numpy as np

from ..graphs import Graph
from .describer import Normalisation, Projection
from .reference import SHORTEST

SPARE = 28  # rows proposed beside those needed: float32 orders cosines that agree to 1e-6 as it likes


def project(projection: Projection) -> bytes:
    """``raw`` float32 [N, E] -> ``rows`` float32 [N, D]."""
    graph = Graph()
    rows = _projected(graph, graph.input("raw", np.float32, ["N", len(projection.mean)]), projection)
    return graph.model({"rows": (rows, np.float32, ["N", len(projection.eigenvalues)])})


def describe_queries(projection: Projection, bank_rows: int, how: Normalisation) -> bytes:
    """``raw`` float32 [N, E], ``bank`` float32 [M, D] and ``units`` float32 [D, M], the same rows of unit length, turned, ->
    ``rows`` float32 [N, D]."""
    graph, columns = Graph(), len(projection.eigenvalues)
    raw = graph.input("raw", np.float32, ["N", len(projection.mean)])
    bank = graph.input("bank", np.float32, [bank_rows, columns])
    units = graph.input("units", np.float32, [columns, bank_rows])
    query = graph("Cast", _projected(graph, raw, projection), to=_DOUBLE)
    found = _Nearest(graph, query, bank, units, needed(how, bank_rows), bank_rows)
    best = graph("Slice", found.cosines, *_range(graph, 0, min(how.cosines, bank_rows)))
    mean = graph("ReduceMean", best, axes=[1], keepdims=1)
    root = graph("Sqrt", graph("Max", mean, graph.constant(0.0, np.float64)))
    strength = graph("Mul", root, graph.constant(how.beta, np.float64))
    step = query if how.method == 1 else _away(graph, query, found, min(how.directions, bank_rows))
    moved = graph("Add", query, graph("Mul", strength, step))
    return graph.model({"rows": (graph("Cast", moved, to=_FLOAT), np.float32, ["N", columns])})


def needed(how: Normalisation, bank_rows: int) -> int:
    """Nearest bank rows that a query looks at."""
    return min(bank_rows, how.cosines if how.method == 1 else max(how.cosines, how.directions))


_FLOAT, _DOUBLE = 1, 11  # as ONNX numbers the types


class _Nearest:
    """The bank rows of greatest cosine: ``cosines`` float64 [N, k], best first, and ``rows`` of them, float64 [N, k, D]."""

    def __init__(self, graph: Graph, query: str, bank: str, units: str, k: int, bank_rows: int) -> None:
        is_number = graph("Equal", query, query)  # NaN would lead the search astray; it is in the sum that follows
        unit = _unit(graph, graph("Where", is_number, query, graph.constant(0.0, np.float64)))
        scores = graph("MatMul", graph("Cast", unit, to=_FLOAT), units)
        more = graph.constant([min(bank_rows, k + SPARE)], np.int64)
        _, proposed = graph.several("TopK", 2, scores, more)
        proposed, _ = graph.several("TopK", 2, proposed, more, largest=0)  # in row order, which decides between equals
        candidates = _unit(graph, self._rows(graph, bank, proposed))
        products = graph("Mul", candidates, graph("Unsqueeze", unit, graph.constant([1], np.int64)))
        exact = graph("ReduceSum", products, graph.constant([2], np.int64), keepdims=0)
        self.cosines, places = graph.several("TopK", 2, exact, graph.constant([k], np.int64))
        self.rows = self._rows(graph, bank, graph("GatherElements", proposed, places, axis=1))

    @staticmethod
    def _rows(graph: Graph, bank: str, numbers: str) -> str:
        return graph("Cast", graph("Gather", bank, numbers, axis=0), to=_DOUBLE)


def _projected(graph: Graph, raw: str, projection: Projection) -> str:
    """Float32, as a descriptor that is kept is."""
    roots = np.sqrt(projection.eigenvalues.astype(np.float64))
    weights = (projection.components.astype(np.float64) / roots[:, None]).T
    centred = graph("Sub", graph("Cast", raw, to=_DOUBLE), graph.constant(projection.mean, np.float64))
    projected = graph("MatMul", centred, graph.constant(np.ascontiguousarray(weights), np.float64))
    return graph("Cast", _unit(graph, projected), to=_FLOAT)


def _unit(graph: Graph, rows: str) -> str:
    """Along the last axis; rows shorter than 1e-30 become zeros, those with NaN stay that."""
    length = graph("Sqrt", graph("ReduceSumSquare", rows, axes=[-1], keepdims=1))
    short = graph("Less", length, graph.constant(SHORTEST, np.float64))
    zeros = graph("Mul", rows, graph.constant(0.0, np.float64))
    return graph("Where", short, zeros, graph("Div", rows, length))


def _away(graph: Graph, query: str, found: _Nearest, directions: int) -> str:
    """The mean direction from the nearest rows to the query, of unit length."""
    rows = graph("Slice", found.rows, *_range(graph, 0, directions))
    differences = graph("Sub", graph("Unsqueeze", query, graph.constant([1], np.int64)), rows)
    return _unit(graph, graph("ReduceMean", _unit(graph, differences), axes=[1], keepdims=0))


def _range(graph: Graph, start: int, stop: int) -> list[str]:
    """What ``Slice`` takes for a part of the second axis."""
    return [graph.constant([value], np.int64) for value in (start, stop, 1)]
