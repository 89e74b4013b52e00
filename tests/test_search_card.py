"""The search whose pairs a graphics card proposes: its graphs, computed by the processor, against brute force and the core.

What this cannot show is a card's own arithmetic; ``gpu`` marks what does.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_search import KINDS, SHAPES, brute_force, data

from copytrace.engine import _core, search
from copytrace.engine.errors import DeviceError, DeviceMemoryError, MissingExtraError
from copytrace.engine.graphs import Where
from copytrace.engine.search import CardScanner, Images, ImageSearch, nearest_pairs, pairs_within, top_pairs
from copytrace.engine.search.proposals import Proposer, shrink, thresholds
from copytrace.engine.store import write_descriptors

import in_process

WHERE = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def same(found: Any, expected: Any) -> bool:
    """To the last pair and the last bit of every distance."""
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name)) for name in ("queries", "references", "distances")
    )


def three(q: np.ndarray, r: np.ndarray, scanner: CardScanner | None, **how: Any) -> Iterator[Any]:
    for k in (1, 10, 100, 5000, 10**6):
        yield top_pairs(q, r, k, scanner=scanner, **how)
    for k in (1, 3, 20, 1000):
        yield nearest_pairs(q, r, k, scanner=scanner, **how)
    for distance in (0.0, 0.5, 4.0, 1e3, 1e30):
        yield pairs_within(q, r, distance, scanner=scanner, **how)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_is_the_core_s(kind: str, shape: tuple[int, int, int], where: Where) -> None:
    n, m, d = shape
    q, r = data(kind, *shape)
    rng = np.random.default_rng(0)
    how = {"query_ranks": rng.permutation(n), "reference_ranks": rng.permutation(m)}
    for offsets, block_rows, tile in ((None, 32_768, 1 << 27), (None, 7, 30), (rng.normal(size=n), 100, 1000)):
        expected = list(three(q, r, None, offsets=offsets, **how))
        scanner = CardScanner(d, where, block_rows=block_rows, tile=tile)
        for a, b in zip(three(q, r, scanner, offsets=offsets, **how), expected, strict=True):
            assert same(a, b)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["random", "duplicates", "clusters"])
def test_large_enough_to_sample_and_to_tighten(kind: str, where: Where) -> None:
    q, r = data(kind, 600, 9000, 8)
    how = {"query_ranks": np.arange(600), "reference_ranks": np.arange(9000)}
    scanner = CardScanner(8, where, block_rows=1000)
    for k in (5, 20_000):
        found = top_pairs(q, r, k, query_rows=128, scanner=scanner, **how)
        assert same(found, top_pairs(q, r, k, **how))
    for k in (1, 200):
        assert same(nearest_pairs(q, r, k, scanner=scanner, **how), nearest_pairs(q, r, k, **how))


def adversarial(kind: str, count: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "halfway":  # every value is where rounding to 11 bits costs the most
        values = np.ldexp(1.0 + (2 * rng.integers(0, 1024, (count, columns)) + 1) * 2.0**-11, rng.integers(-3, 3, 1))
        return (values * rng.choice([-1, 1], (count, columns))).astype(np.float32)
    if kind == "one way":  # and every error of the products has the same sign
        return np.full((count, columns), 1.0 + 2.0**-11 + 2.0**-12, np.float32) * rng.choice([1, 3], (count, 1)).astype(
            np.float32
        )
    if kind == "cancelling":  # far from zero, close to each other: the sums are as large as their differences are small
        return (1000.0 + rng.normal(size=(count, columns)) * 1e-3).astype(np.float32)
    if kind == "tiny":
        return (rng.normal(size=(count, columns)) * 1e-24).astype(np.float32)
    if kind == "subnormal":
        return (rng.normal(size=(count, columns)) * 1e-41).astype(np.float32)
    if kind == "lengths apart":
        return (rng.normal(size=(count, columns)) * 10.0 ** rng.integers(-12, 12, (count, 1))).astype(np.float32)
    return (rng.normal(size=(count, columns)) * 1e17).astype(np.float32)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("columns", [1, 3, 64, 256])
@pytest.mark.parametrize("kind", ["halfway", "one way", "cancelling", "tiny", "subnormal", "lengths apart", "large"])
def test_every_pair_at_its_very_limit_is_proposed(kind: str, columns: int, where: Where) -> None:
    """The limit is each pair's own distance: one unit less, and the pair would be no answer."""
    q, r = adversarial(kind, 40, columns, 1), adversarial(kind, 40, columns, 2)
    proposer = Proposer(columns, where)
    ready, references = proposer.queries(q), proposer.references(r)
    squares = (q.astype(np.float64) ** 2).sum(1)
    pairs = np.arange(40)
    for shift in range(0, 40, 7):
        partner = (pairs + shift) % 40
        limits = _core.pair_distances(q, r, pairs, partner)
        found = proposer.found(ready, thresholds(squares, limits, columns), references, 1600)
        assert found is not None and set(zip(pairs, partner, strict=True)) <= set(zip(*found.tolist(), strict=True))


def test_rounding_is_to_eleven_bits_and_bounded() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 33)).astype(np.float32)
    proposer = Proposer(33, "cpu")
    rounded = proposer.queries(rows).numpy()
    assert (rounded.view(np.uint32) & 0x1FFF == 0).all()  # TF32 holds them as they are
    assert (np.abs(rounded - rows) <= np.abs(rows) * 2.0**-11).all() and (rounded != rows).any()
    ready = proposer.references(rows).numpy()
    assert (ready.view(np.uint32) & 0x1FFF == 0).all() and (ready[:, -2:] == 1).all()
    halves = (rows.astype(np.float64) ** 2).sum(1) / 2 * (1 - shrink(33))
    np.testing.assert_allclose(-ready[:, 33:35].astype(np.float64).sum(1), halves, rtol=1e-6)


def test_few_more_pairs_are_proposed_than_found() -> None:
    """The bound is no use where it lets everything pass: of descriptors, a tenth more than what is found."""
    rng = np.random.default_rng(3)
    q, r = (rng.normal(size=(n, 256)).astype(np.float32) for n in (500, 2000))
    q, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, r))
    limit = float(top_pairs(q, r, 2000, query_ranks=np.arange(500), reference_ranks=np.arange(2000)).distances[-1])
    scanner = CardScanner(256, "cpu")
    proposed = scanner.propose(q, np.full(500, limit), scanner.proposer.references(r), 10**6)
    assert proposed is not None and 2000 <= proposed.shape[1] < 2400


def test_the_scan_itself_masks_counts_and_refuses() -> None:
    q, r = data("random", 30, 50, 6)
    scanner = CardScanner(6, "cpu", tile=170)
    card, core = scanner(r), _core.References(r)
    alive = np.arange(50) % 3 > 0
    expected = core.within(q, 9.0, alive=alive)
    found = card.within(q, 9.0, alive=alive)
    assert expected is not None and found is not None and len(card) == 50
    assert sorted(zip(*(x.tolist() for x in found), strict=True)) == sorted(
        zip(*(x.tolist() for x in expected), strict=True)
    )
    assert card.within(q, 9.0, most=3) is None
    assert card.within(q, np.inf, most=3) is None and len(card.within(q, np.inf, most=1500)[0]) == 1500  # type: ignore[index]


def test_pairs_that_are_given_have_the_core_s_distances() -> None:
    q, r = data("random", 70, 90, 33)
    i, j, distances = brute_force(q, r, np.arange(70), np.arange(90))
    for threads in (1, 3):
        np.testing.assert_allclose(_core.pair_distances(q, r, i, j, threads=threads), distances, rtol=1e-12)
    found = _core.References(r).within(q, np.inf)
    assert found is not None and (_core.pair_distances(q, r, found[0], found[1]) == found[2]).all()
    assert len(_core.pair_distances(q, r, i[:0], j[:0])) == 0
    for wrong in (np.array([70]), np.array([-1])):
        with pytest.raises(ValueError, match="not there"):
            _core.pair_distances(q, r, wrong, np.array([0]))
    with pytest.raises(ValueError, match="values"):
        _core.pair_distances(q, r, i, j[:5])


def test_where_memory_is_lacking_fewer_queries_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    q, r = data("random", 30, 50, 6)
    scanner = CardScanner(6, "cpu")
    references, limits = scanner.proposer.references(r), np.full(30, 9.0)
    expected = scanner.propose(q, limits, references, 10**6)
    found = scanner.proposer.found

    def small(queries: Any, t: np.ndarray, *rest: Any) -> Any:
        if len(t) > 4:
            raise DeviceMemoryError("no room")
        return found(queries, t, *rest)

    monkeypatch.setattr(scanner.proposer, "found", small)
    again = scanner.propose(q, limits, references, 10**6)
    assert expected is not None and again is not None and np.array_equal(again, expected)
    monkeypatch.setattr(scanner.proposer, "found", lambda *_: small(None, np.empty(5)))
    with pytest.raises(DeviceMemoryError, match="no room"):
        scanner.propose(q, limits, references, 10**6)


def test_views_and_empty_sides() -> None:
    q, r = data("clusters", 40, 120, 5)
    queries = Images.of([f"q{i // 4}" for i in range(40)], [f"v{i % 4}" for i in range(40)])
    references = Images.of([f"r{i // 3}" for i in range(120)], [f"v{i % 3}" for i in range(120)])
    card = ImageSearch.of(q, r, queries, references, scanner=CardScanner(5, "cpu", block_rows=50))
    core = ImageSearch.of(q, r, queries, references)
    for name, value in (("top", 37), ("nearest", 3), ("within", 0.9)):
        a, b = getattr(card, name)(value), getattr(core, name)(value)
        assert same(a.pairs, b.pairs) and np.array_equal(a.query_rows, b.query_rows)
    empty = np.empty((0, 5), np.float32)
    for left, right in ((empty, r), (q, empty)):
        how = {"query_ranks": np.arange(len(left)), "reference_ranks": np.arange(len(right))}
        assert all(len(found) == 0 for found in three(left, right, CardScanner(5, "cpu"), **how))


def test_without_a_card_cuda_is_one_line_and_auto_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.eye(4, dtype=np.float32)
    for name in "qr":
        write_descriptors(tmp_path / name, [(list("abcd"), rows)], rows.shape, [], {})
    files = [str(tmp_path / "q"), str(tmp_path / "r"), "-o", str(tmp_path / "pairs.csv"), "--json"]
    assert json.loads(in_process.run("search", *files, "--k", "1").stdout)["device"] == "cpu"
    monkeypatch.setattr("copytrace.engine.searching._WORTH_A_CARD", 0)
    try:
        CardScanner(4)
    except (DeviceError, MissingExtraError) as error:
        assert "\n" not in str(error)
        assert search(rows, rows, k=1, device="auto").device == "cpu"
        failed = in_process.run("search", *files, "--k", "1", "--device", "cuda", code=1)
        assert json.loads(failed.stdout)["error"] == str(error)
    else:
        assert search(rows, rows, k=1, device="auto").device == "cuda"
    with pytest.raises(ValueError, match="device must be one of"):
        search(rows, rows, device="tpu")  # type: ignore[arg-type]


def test_a_card_that_fails_midway_is_one_line_and_auto_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    q, r = data("random", 60, 90, 6)

    def full(*_: object) -> None:
        raise DeviceMemoryError("ONNX Runtime: Failed to allocate memory")

    def card(columns: int) -> CardScanner:
        scanner = CardScanner(columns, "cpu")
        monkeypatch.setattr(scanner.proposer, "found", full)
        return scanner

    monkeypatch.setattr("copytrace.engine.searching._WORTH_A_CARD", 0)
    monkeypatch.setattr("copytrace.engine.searching.CardScanner", card)
    with pytest.raises(DeviceMemoryError, match="Failed to allocate"):
        search(q, r, max_distance=2.0, device="cuda")
    found = search(q, r, max_distance=2.0)
    assert found.device == "cpu" and list(found) == list(search(q, r, max_distance=2.0, device="cpu"))


@pytest.mark.gpu
def test_a_card_s_answer_is_the_core_s_at_size() -> None:
    rng = np.random.default_rng(0)
    q, r = (rng.normal(size=(n, 256)).astype(np.float32) for n in (5000, 100_000))
    q, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, r))
    how = {"query_ranks": np.arange(len(q)), "reference_ranks": np.arange(len(r))}
    assert same(top_pairs(q, r, 50_000, scanner=CardScanner(256), **how), top_pairs(q, r, 50_000, **how))
    assert same(nearest_pairs(q, r, 10, scanner=CardScanner(256), **how), nearest_pairs(q, r, 10, **how))
