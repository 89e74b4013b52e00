"""Pairs that may lie within a distance, found by matrix products on tensor cores; float64 decides which of them do.

|q - r|^2 <= L where q.r - |r|^2 / 2 - (|q|^2 - L) / 2 >= 0. Both sides get four columns more, so that the product itself is
that difference, and its sign alone is looked at:

    q' = [q, 1, 1, -t1, -t2]     r' = [r, -n1, -n2, 1, 1]     q'.r' = q.r - n - t

n = (1 - e) |r|^2 / 2 and t = ((1 - e) |q|^2 - L) / 2, each as two addends. Every value is first rounded to the 11 bits that a
tensor core multiplies as float32 ("TF32"), so that it multiplies what a processor multiplies, and the product of two values
is exact in float32. What is left of rounding is bounded by e, made of (u = 2^-24; |q||r| <= (|q|^2 + |r|^2) / 2 throughout):

* q and r to 11 bits: |error of q.r| <= (2 2^-11 + 2^-22) |q||r|;
* n and t: their squares are added up in float32, at most (D + 4) u of them, and two addends of 11 bits leave 2^-22;
* the sum of D + 4 products: tensor cores may cut off instead of round, and add in any order: each addition loses at most
  2^-22 of the largest partial sum, which is at most |q||r| + n + |t|.

What is below float32's normal values is covered by an absolute 1e-34.
"""

import numpy as np
from numpy.typing import NDArray

from ..graphs import Computed, Graph, Where
from .pairs import Float32

ENDS = 4  # columns more
_SPLITTER = 2.0**13 + 1.0  # Veltkamp's: keeps 24 - 13 bits
_SMALLER = 2.0**-16
_ABSOLUTE = 1e-34
FARTHEST = 1e37  # squared; limits from here on let pass whatever float32 can compare


def shrink(columns: int) -> float:
    """e of the module's text, for rows of so many columns."""
    rounded = 2.0**-10 + 2.0**-22
    squares = (columns + 4) * 2.0**-24 + 2.0**-22
    added = 4.0 * (columns + ENDS + 8) * 2.0**-22
    return rounded + squares + added


def thresholds(squares: NDArray[np.float64], limits: NDArray[np.float64], columns: int) -> Float32:
    """t of each query, never too large: squared lengths [N] and finite limits [N] -> float32 [N]."""
    e = shrink(columns)
    t = ((1.0 - e) * squares - limits - e * np.abs(limits) - _ABSOLUTE) / 2.0
    return np.nextafter(t.astype(np.float32), np.float32(-np.inf))


class Proposer:
    """The three graphs: references made ready, queries made ready, and the pairs whose difference is not negative.

    where: "cuda", or "cpu", where the same graphs give the same guarantee, slowly: the native core is what to use there.
    Raises: DeviceError, MissingExtraError.
    """

    def __init__(self, columns: int, where: Where = "cuda", *, threads: int = 1) -> None:
        self._references = Computed(_references(columns), where, threads=threads)
        self._queries = Computed(_queries(columns), where, threads=threads)
        self._found = Computed(_found(columns), where, tf32=True, threads=threads)

    def references(self, rows: Float32) -> object:
        """float32 [M, D] -> r' [M, D + 4], where it is needed."""
        return self._references(rows=rows)[0]

    def queries(self, rows: Float32) -> object:
        """float32 [N, D] -> q without t, [N, D], where it is needed."""
        return self._queries(rows=rows)[0]

    def found(self, queries: object, t: Float32, references: object, most: int) -> NDArray[np.int64] | None:
        """The pairs that may be as near as the thresholds say, int64 [2, P]: query and reference; None for more than ``most``,
        which then stay where they are."""
        pairs = self._found(queries=queries, t=t[:, None], references=references)[0]
        found: NDArray[np.int64] | None = None if pairs.shape()[1] > most else pairs.numpy()
        return found


def _rounded(graph: Graph, value: str) -> str:
    """To the nearest of 11 bits, by float32 operations alone."""
    larger = graph("Mul", value, graph.constant(_SPLITTER, np.float32))
    return graph("Sub", larger, graph("Sub", larger, value))


def _addends(graph: Graph, value: str) -> list[str]:
    """Two values of 11 bits whose sum is off by 2^-22 of the value at most. Made smaller meanwhile: squares may be so large
    that the splitter's product would leave float32."""
    smaller = graph("Mul", value, graph.constant(_SMALLER, np.float32))
    first = _rounded(graph, smaller)
    second = _rounded(graph, graph("Sub", smaller, first))
    return [graph("Mul", part, graph.constant(1.0 / _SMALLER, np.float32)) for part in (first, second)]


def _ones(graph: Graph, like: str) -> str:
    """1 in the shape of another value: finite values only."""
    return graph("Add", graph("Mul", like, graph.constant(0.0, np.float32)), graph.constant(1.0, np.float32))


def _references(columns: int) -> bytes:
    graph = Graph()
    rows = graph.input("rows", np.float32, ["M", columns])
    squares = graph("ReduceSumSquare", rows, axes=[1], keepdims=1)
    n = graph("Mul", squares, graph.constant(-(1.0 - shrink(columns)) / 2.0, np.float32))
    one = _ones(graph, n)
    ready = graph("Concat", _rounded(graph, rows), *_addends(graph, n), one, one, axis=1)
    return graph.model({"ready": (ready, np.float32, ["M", columns + ENDS])})


def _queries(columns: int) -> bytes:
    graph = Graph()
    rounded = _rounded(graph, graph.input("rows", np.float32, ["N", columns]))
    return graph.model({"rounded": (rounded, np.float32, ["N", columns])})


def _found(columns: int) -> bytes:
    graph = Graph()
    queries = graph.input("queries", np.float32, ["N", columns])
    t = graph.input("t", np.float32, ["N", 1])
    references = graph.input("references", np.float32, ["M", columns + ENDS])
    one = _ones(graph, t)
    ready = graph("Concat", queries, one, one, *_addends(graph, graph("Neg", t)), axis=1)
    difference = graph("Gemm", ready, references, transB=1)
    is_near = graph("GreaterOrEqual", difference, graph.constant(0.0, np.float32))
    return graph.model({"pairs": (graph("NonZero", is_near), np.int64, [2, "P"])})
