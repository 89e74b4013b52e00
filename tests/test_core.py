"""The native core against the numpy definition, on every instruction set this processor has."""

from typing import Literal

import numpy as np
import pytest

from copytrace.engine import _core
from copytrace.engine.describe import Normalisation, Projection, open_describer, reference

ISAS = _core.instruction_sets()
SIZES = [(1, 1, 1), (7, 17, 5), (12, 33, 32), (13, 255, 33), (33, 64, 31), (100, 40, 255), (3, 1280, 256)]
METHODS = [(1, 2.0), (2, 1.8)]


def projection(rng: np.random.Generator, inputs: int, outputs: int) -> tuple[np.ndarray, ...]:
    mean = rng.standard_normal(inputs).astype(np.float32)
    components = rng.standard_normal((outputs, inputs)).astype(np.float32)
    return mean, components, (rng.random(outputs) + 0.1).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "inputs", "outputs"), SIZES)
@pytest.mark.parametrize("threads", [1, 3])
def test_projection(isa: str, rows: int, inputs: int, outputs: int, threads: int) -> None:
    rng = np.random.default_rng(rows)
    parts = projection(rng, inputs, outputs)
    raw = rng.standard_normal((rows, inputs)).astype(np.float32)
    result = _core.Projection(*parts).apply(raw, threads=threads, isa=isa)
    np.testing.assert_allclose(result, reference.project(raw, *parts), atol=2e-6 * np.sqrt(inputs))
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "bank_rows", "size"), SIZES)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_nearest(isa: str, rows: int, bank_rows: int, size: int, k: int) -> None:
    rng = np.random.default_rng(size)
    bank, queries = rng.standard_normal((bank_rows, size)), rng.standard_normal((rows, size))
    bank, queries = bank.astype(np.float32), queries.astype(np.float32)
    k = min(k, bank_rows)
    cosines, indices = _core.Bank(bank).nearest(queries, k, threads=2, isa=isa)
    expected, _ = reference.nearest(queries, bank, k)
    np.testing.assert_allclose(cosines, expected, atol=1e-5)
    all_cosines = unit(queries) @ unit(bank).T
    np.testing.assert_allclose(np.take_along_axis(all_cosines, indices, axis=1), expected, atol=1e-5)
    assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "bank_rows", "size"), SIZES)
@pytest.mark.parametrize(("method", "beta"), METHODS)
def test_normalisation(isa: str, rows: int, bank_rows: int, size: int, method: int, beta: float) -> None:
    rng = np.random.default_rng(bank_rows)
    bank, queries = unit(rng.standard_normal((bank_rows, size))), unit(rng.standard_normal((rows, size)))
    result = _core.Bank(bank).normalise(queries, method=method, beta=beta, threads=2, isa=isa)
    expected = reference.normalise(queries, bank, method=method, beta=beta)
    # With a single bank row of one dimension a query may point exactly along it; sqrt(C) then magnifies rounding near zero.
    np.testing.assert_allclose(result, expected, atol=2e-3 if size == 1 else 2e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("method", "beta"), METHODS)
def test_one_call_does_both(isa: str, method: int, beta: float) -> None:
    rng = np.random.default_rng(5)
    parts, bank = projection(rng, 50, 20), unit(rng.standard_normal((300, 20)))
    raw = rng.standard_normal((37, 50)).astype(np.float32)
    p, b = _core.Projection(*parts), _core.Bank(bank)
    fused = _core.describe_queries(p, b, raw, method=method, beta=beta, threads=2, isa=isa)
    assert (fused == b.normalise(p.apply(raw, isa=isa), method=method, beta=beta, isa=isa)).all()
    expected = reference.normalise(reference.project(raw, *parts), bank, method=method, beta=beta)
    np.testing.assert_allclose(fused, expected, atol=3e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_do_not_depend_on_their_neighbours_or_on_threads(isa: str) -> None:
    rng = np.random.default_rng(1)
    p, b = _core.Projection(*projection(rng, 100, 40)), _core.Bank(unit(rng.standard_normal((500, 40))))
    raw = rng.standard_normal((211, 100)).astype(np.float32)
    whole = _core.describe_queries(p, b, raw, method=2, beta=1.8, threads=1, isa=isa)
    for threads in (2, 5):
        assert (_core.describe_queries(p, b, raw, method=2, beta=1.8, threads=threads, isa=isa) == whole).all()
    single = [_core.describe_queries(p, b, raw[i : i + 1], method=2, beta=1.8, isa=isa) for i in range(0, 211, 7)]
    assert (np.concatenate(single) == whole[::7]).all()


@pytest.mark.parametrize("isa", ISAS)
def test_ties_go_to_the_first_row(isa: str) -> None:
    bank = np.tile(np.eye(4, dtype=np.float32), (100, 1))
    _, indices = _core.Bank(bank).nearest(np.eye(4, dtype=np.float32), 50, isa=isa)
    assert (indices == np.arange(50) * 4 + np.arange(4)[:, None]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["random", "clustered", "one large value", "long rows", "nearly equal"])
def test_nearest_misses_nothing_whatever_the_values(isa: str, kind: str) -> None:
    """The filter in eight bits may only drop what cannot be among the nearest: hardest where one value dwarfs the others."""
    rng = np.random.default_rng(4)
    bank, queries = rng.standard_normal((3000, 48)), rng.standard_normal((40, 48))
    if kind == "clustered":
        bank = bank[rng.integers(0, 5, 3000)] + 0.01 * bank
    elif kind == "one large value":
        bank[:, 3] *= 300
        queries[:, 3] *= 300
    elif kind == "long rows":
        bank *= rng.uniform(1e-3, 1e3, (3000, 1))
        queries *= rng.uniform(1e-3, 1e3, (40, 1))
    elif kind == "nearly equal":
        bank = bank[:1] + 1e-3 * bank
    bank, queries = bank.astype(np.float32), queries.astype(np.float32)
    cosines, indices = _core.Bank(bank).nearest(queries, 20, threads=2, isa=isa)
    expected, _ = reference.nearest(queries, bank, 20)
    np.testing.assert_allclose(cosines, expected, atol=3e-6)
    exact = reference.nearest(queries, bank, 3000)
    places = np.argsort(exact[1], axis=1)
    chosen = np.take_along_axis(exact[0], np.take_along_axis(places, indices, axis=1), axis=1)
    assert (chosen >= expected[:, -1:] - 3e-6).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("method", "beta"), METHODS)
def test_adversarial_queries(isa: str, method: int, beta: float) -> None:
    rng = np.random.default_rng(2)
    bank = unit(rng.standard_normal((64, 16)))
    bank[7] = 0.0
    away = unit(-bank[:1] - bank[1:2])
    queries = np.concatenate(
        [bank[:3], np.zeros((1, 16), np.float32), away, -bank[3:4], bank[4:5] * 1e-20, bank[5:6] * 1e15]
    )
    result = _core.Bank(bank).normalise(queries, method=method, beta=beta, isa=isa)
    expected = reference.normalise(queries, bank, method=method, beta=beta)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-5)
    assert (result[3] == 0).all() or method == 2


@pytest.mark.parametrize("isa", ISAS)
def test_lengths_from_denormal_to_huge(isa: str) -> None:
    rng = np.random.default_rng(0)
    bank, queries = rng.standard_normal((50, 16)), rng.standard_normal((9, 16))
    for rows, start in ((bank, 3), (queries, 1)):
        for i, length in enumerate((1e-42, 1e-38, 1e-31, 1e-28, 1e-15, 1e15, 1e28)):
            rows[start + i] *= length
    bank, queries = bank.astype(np.float32), queries.astype(np.float32)
    for k in (3, 50):
        cosines, indices = _core.Bank(bank).nearest(queries, k, isa=isa)
        np.testing.assert_allclose(cosines, reference.nearest(queries, bank, k)[0], atol=1e-6)
        assert all(len(set(row)) == k for row in indices.tolist())
    for method, beta in METHODS:
        moved = _core.Bank(bank).normalise(queries, method=method, beta=beta, isa=isa)
        np.testing.assert_allclose(
            moved, reference.normalise(queries, bank, method=method, beta=beta), rtol=1e-4, atol=2e-5
        )
    for rows in (np.full((1, 16), 1e35, np.float32), np.full((1, 16), np.inf, np.float32)):
        with pytest.raises(ValueError, match="overflowing"):
            _core.Bank(bank).nearest(rows, 3, isa=isa)
        with pytest.raises(ValueError, match="overflowing"):
            _core.Bank(rows)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("method", "beta"), METHODS)
def test_a_query_far_from_the_whole_bank_stays_where_it_is(isa: str, method: int, beta: float) -> None:
    """A negative mean cosine counts as zero."""
    rng = np.random.default_rng(3)
    bank = unit(np.eye(8)[:1] + 0.1 * rng.standard_normal((40, 8)))
    query = -unit(np.eye(8)[:1])
    assert (_core.Bank(bank).normalise(query, method=method, beta=beta, isa=isa) == query).all()
    assert (reference.normalise(query, bank, method=method, beta=beta) == query).all()


@pytest.mark.parametrize("method", [1, 2])
def test_query_equal_to_all_bank_rows_takes_no_direction(method: int) -> None:
    row = unit(np.ones((1, 8)))
    result = _core.Bank(np.repeat(row, 5, axis=0)).normalise(row, method=method, beta=2.0)
    np.testing.assert_allclose(result, row * (3.0 if method == 1 else 1.0), rtol=1e-6)


@pytest.mark.parametrize(("rows", "bank_rows", "size"), SIZES)
@pytest.mark.parametrize("n", [1, 3, 2000])
def test_background_scores(rows: int, bank_rows: int, size: int, n: int) -> None:
    rng = np.random.default_rng(bank_rows)
    bank, queries = unit(rng.standard_normal((bank_rows, size))), rng.standard_normal((rows, size)).astype(np.float32)
    result = open_describer(Projection(*projection(rng, 5, size)), bank, threads=2).background_scores(queries, n)
    assert result.dtype == np.float64 and result.shape == (rows,)
    np.testing.assert_allclose(result, reference.background_scores(queries, bank, n), rtol=1e-12)


def test_score_normalisation_by_hand() -> None:
    """Two queries, three bank rows: the nearer two count."""
    bank = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    queries = np.array([[1, 0], [0, -1]], np.float32)
    background = reference.background_scores(queries, bank, 2)
    np.testing.assert_allclose(background, [-(0 + 2) / 2, -(2 + 2) / 2])
    scores = reference.normalise_scores(np.array([-0.5, -0.25, -0.1]), np.array([1, 0, 1]), background, 0.5)
    np.testing.assert_allclose(scores, [-0.5 + 1.0, -0.25 + 0.5, -0.1 + 1.0])
    for call, word in (
        (lambda: reference.background_scores(queries, bank, 0), "n must be"),
        (lambda: reference.background_scores(queries * np.nan, bank, 1), "NaN"),
        (lambda: reference.normalise_scores(scores, np.zeros(3, np.int64), background, np.nan), "alpha"),
    ):
        with pytest.raises(ValueError, match=word):
            call()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_describer_has_both_normalisations_or_says_what_is_missing(backend: Literal["native", "numpy"]) -> None:
    rng = np.random.default_rng(0)
    parts, bank = Projection(*projection(rng, 20, 8)), unit(rng.standard_normal((50, 8)))
    raw = rng.standard_normal((5, 20)).astype(np.float32)
    describer, without = open_describer(parts, bank, backend=backend), open_describer(parts, backend=backend)
    queries = describer.project(raw)
    expected = reference.background_scores(queries, bank, 3)
    np.testing.assert_allclose(describer.background_scores(queries, 3), expected, rtol=1e-12)
    for call, word in (
        (lambda: describer.background_scores(queries, 0), "n must be"),
        (lambda: describer.background_scores(queries * np.float32(np.nan), 1), "NaN"),
        (lambda: describer.background_scores(queries[0], 1), "queries"),
        (lambda: describer.background_scores(queries[:, :7].copy(), 1), "columns|float32"),
        (lambda: describer.project(raw[0]), "raw"),
        (lambda: describer.project(raw.astype(np.float64)), "raw must be float32"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
    for call in (
        lambda: without.background_scores(queries, 3),
        lambda: without.describe_queries(raw, Normalisation(1, 2.0)),
    ):
        with pytest.raises(ValueError, match="needs a bank"):
            call()


@pytest.mark.parametrize(("rows", "bank_rows", "size"), SIZES)
def test_both_forms_of_a_describer_agree(rows: int, bank_rows: int, size: int) -> None:
    rng = np.random.default_rng(size)
    parts, bank = Projection(*projection(rng, 20, size)), unit(rng.standard_normal((bank_rows, size)))
    raw = rng.standard_normal((rows, 20)).astype(np.float32)
    native, plain = (open_describer(parts, bank, backend=backend) for backend in ("native", "numpy"))
    assert (native.backend, plain.backend) == ("native", "numpy") and native.dimension == plain.dimension == size
    np.testing.assert_allclose(native.project(raw), plain.project(raw), rtol=1e-4, atol=1e-5)
    for method, beta in METHODS:
        how = Normalisation(method, beta, cosines=2, directions=7)
        np.testing.assert_allclose(
            native.describe_queries(raw, how), plain.describe_queries(raw, how), rtol=1e-3, atol=1e-4
        )
    queries = plain.project(raw)
    np.testing.assert_allclose(native.background_scores(queries, 4), plain.background_scores(queries, 4), rtol=1e-12)
    for form in (native, plain):
        with pytest.raises(ValueError, match="NaN"):
            form.project(raw * np.float32(np.nan))


def bad_projections() -> list[tuple[tuple[np.ndarray, ...], str]]:
    """Parts of a projection in which one value cannot be, and the word that names the culprit."""
    cases = []
    for part, name in enumerate(("mean", "components", "eigenvalues")):
        for value in (np.nan, np.inf, -np.inf):
            parts = tuple(a.copy() for a in projection(np.random.default_rng(0), 8, 4))
            parts[part].flat[-1] = value
            cases.append((parts, name))
    mean, components, eigenvalues = projection(np.random.default_rng(0), 8, 4)
    cases.append(((mean, components * np.float32(1e30), eigenvalues * np.float32(1e-20)), "leave the range"))
    cases.append(((mean * np.float32(1e38), components * np.float32(1e30), eigenvalues), "projected mean"))
    return cases


def test_arguments_are_checked_with_the_cure() -> None:
    rng = np.random.default_rng(0)
    p, b = _core.Projection(*projection(rng, 8, 4)), _core.Bank(np.eye(4, dtype=np.float32))
    good = np.ones((3, 8), np.float32)
    cases = [
        (lambda: p.apply(good.astype(np.float64)), "astype"),
        (lambda: p.apply(np.asfortranarray(good)), "ascontiguousarray"),
        (lambda: p.apply(good[:, ::2]), "ascontiguousarray"),
        (lambda: p.apply(good[0]), "2 dimension"),
        (lambda: p.apply(good[:, :4].copy()), "8 columns"),
        (lambda: p.apply(good, threads=0), "threads"),
        (lambda: p.apply(good, isa="mmx"), "choose one of"),
        (lambda: p.apply(np.full((2, 8), np.nan, np.float32)), "NaN"),
        (lambda: p.apply(np.full((2, 8), np.inf, np.float32)), "NaN, infinite"),
        (lambda: b.nearest(np.eye(4, dtype=np.float32), 5), "k must be"),
        (lambda: b.nearest(np.full((1, 4), np.nan, np.float32), 1), "NaN"),
        (lambda: b.normalise(np.eye(4, dtype=np.float32), method=3, beta=1.0), "method"),
        (lambda: b.normalise(np.eye(4, dtype=np.float32), method=1, beta=1.0, cosines=0), "cosines"),
        (lambda: _core.Bank(np.empty((0, 4), np.float32)), "empty"),
        (lambda: _core.Bank(np.full((2, 4), np.nan, np.float32)), "NaN"),
        (lambda: _core.Projection(np.ones(3, np.float32), np.ones((2, 4), np.float32), np.ones(2, np.float32)), "mean"),
        (
            lambda: _core.Projection(np.ones(4, np.float32), np.ones((2, 4), np.float32), np.zeros(2, np.float32)),
            "positive",
        ),
        (
            lambda: _core.describe_queries(p, _core.Bank(np.eye(5, dtype=np.float32)), good, method=1, beta=1.0),
            "columns",
        ),
        (lambda: _core.describe_queries(p, b, good, method=0, beta=1.0), "method"),
        (lambda: _core.describe_queries(p, b, good, method=1, beta=np.nan), "beta"),
        (lambda: b.nearest(np.eye(4, dtype=np.float32), 2**60), "k must be"),
        *((lambda bad=bad: _core.Projection(*bad), word) for bad, word in bad_projections()),
    ]
    for call, word in cases:
        with pytest.raises(ValueError, match=word):
            call()


@pytest.mark.parametrize("isa", ISAS)
def test_nothing_in_nothing_out(isa: str) -> None:
    rng = np.random.default_rng(0)
    p, b = _core.Projection(*projection(rng, 8, 4)), _core.Bank(np.eye(4, dtype=np.float32))
    assert p.apply(np.empty((0, 8), np.float32), isa=isa).shape == (0, 4)
    assert b.normalise(np.empty((0, 4), np.float32), method=2, beta=1.0, isa=isa).shape == (0, 4)


@pytest.mark.parametrize("isa", ISAS)
def test_the_bank_holds_rows_of_its_own(isa: str) -> None:
    """Whatever the caller does to its array afterwards."""
    rows = unit(np.random.default_rng(0).standard_normal((100, 16)))
    queries, bank = rows[:10] + np.float32(0.1), _core.Bank(rows)
    expected = _core.Bank(rows.copy()).normalise(queries, method=2, beta=1.0, isa=isa)
    rows[:] = np.nan
    assert (bank.normalise(queries, method=2, beta=1.0, isa=isa) == expected).all()
    references = _core.References(rows := np.eye(4, dtype=np.float32))
    rows[:] = 7
    assert references.within(np.eye(4, dtype=np.float32), 0.0, isa=isa)[1].tolist() == [0, 1, 2, 3]


def test_the_bank_keeps_its_rows_alive() -> None:
    queries = np.eye(64, dtype=np.float32)
    bank = _core.Bank(np.roll(np.eye(64, dtype=np.float32), 1, axis=0) + 0.01)
    expected = bank.normalise(queries, method=2, beta=1.0)
    junk = [np.full((64, 64), 7.0, np.float32) for _ in range(50)]
    assert (bank.normalise(queries, method=2, beta=1.0) == expected).all() and len(junk) == 50


def test_the_definition_itself() -> None:
    """Method 1 and 2 worked out by hand on two dimensions."""
    bank, query = np.array([[1, 0], [0, 1]], np.float32), np.array([[0.6, 0.8]], np.float32)
    strength = np.sqrt((0.6 + 0.8) / 2)
    np.testing.assert_allclose(
        reference.normalise(query, bank, method=1, beta=2.0), query * (1 + 2 * strength), rtol=1e-6
    )
    away = (query - bank) / np.linalg.norm(query - bank, axis=1, keepdims=True)
    direction = away.mean(axis=0) / np.linalg.norm(away.mean(axis=0))
    np.testing.assert_allclose(
        reference.normalise(query, bank, method=2, beta=1.8), query + 1.8 * strength * direction, rtol=1e-6
    )
    with pytest.raises(ValueError, match="method"):
        reference.normalise(query, bank, method=3, beta=1.0)
    with pytest.raises(ValueError, match="NaN"):
        reference.project(
            np.full((1, 2), np.nan, np.float32), *np.ones((1, 2), np.float32), bank, np.ones(2, np.float32)
        )
