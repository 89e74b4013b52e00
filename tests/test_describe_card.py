"""Projection and query normalisation as a graphics card computes them: its graphs, by the processor, against the definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_core import SIZES, projection, unit

from copytrace.engine import Engine
from copytrace.engine.bundle import Bundle
from copytrace.engine.describe import Normalisation, Projection, open_describer, reference
from copytrace.engine.describe.on_card import CardDescriber
from copytrace.engine.device import DeviceArray
from copytrace.engine.errors import DeviceError, MissingExtraError
from copytrace.engine.graphs import Where

import in_process
from conftest import PHOTOS

WHERE = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HOW = [
    Normalisation(1, 2.0, 2, 7),
    Normalisation(2, 1.8, 2, 7),
    Normalisation(2, 1.8, 3, 100),
    Normalisation(2, 0.5, 9, 4),
]
CLOSE = {"rtol": 2.0**-22, "atol": 1e-7}
"""Of float64 rounded to float32: what is left is the order in which products are added."""


def check(raw: np.ndarray, parts: Projection, bank: np.ndarray, where: Where) -> CardDescriber:
    plain, card = open_describer(parts, bank, backend="numpy"), CardDescriber(parts, bank, where=where)
    np.testing.assert_allclose(card.project(raw), plain.project(raw), **CLOSE)
    for how in HOW:
        expected, found = plain.describe_queries(raw, how), card.describe_queries(raw, how)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, **CLOSE)
    return card


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("rows", "bank_rows", "size"), SIZES)
def test_the_card_agrees_with_the_definition(rows: int, bank_rows: int, size: int, where: Where) -> None:
    rng = np.random.default_rng(size)
    parts, bank = Projection(*projection(rng, 20, size)), unit(rng.standard_normal((bank_rows, size)))
    raw = rng.standard_normal((rows, 20)).astype(np.float32)
    card = check(raw, parts, bank, where)
    native = open_describer(parts, bank)
    assert (card.backend, card.dimension) == ("cuda", size)
    for how in HOW[:2]:
        np.testing.assert_allclose(card.describe_queries(raw, how), native.describe_queries(raw, how), atol=1e-4)
    queries = card.project(raw)
    assert (card.background_scores(queries, 4) == native.background_scores(queries, 4)).all()


def identity(size: int) -> Projection:
    return Projection(np.zeros(size, np.float32), np.eye(size, dtype=np.float32), np.ones(size, np.float32))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    "kind",
    [
        "equal to the bank",
        "opposite",
        "one bank row",
        "duplicates",
        "ties",
        "zeros",
        "tiny",
        "huge",
        "cancels",
    ],
)
def test_what_is_odd_has_the_definition_s_answer(kind: str, where: Where) -> None:
    rng = np.random.default_rng(7)
    bank = unit(rng.standard_normal((40, 16)))
    raw = {
        "equal to the bank": bank[:9],  # no direction leads from a row to itself
        "opposite": -np.abs(rng.standard_normal((9, 16))),  # the mean cosine is held at 0
        "zeros": np.zeros((3, 16)),
        "tiny": bank[:9] * 1e-36,
        "huge": bank[:9] * 1e37,
    }.get(kind, rng.standard_normal((9, 16)))
    if kind == "opposite":
        bank = np.abs(bank)
    if kind == "one bank row":
        bank = bank[:1]
    if kind == "duplicates":
        bank = bank[rng.integers(0, 5, 300)]
    if kind == "ties":  # cosines of rows that differ are the same to the last bit: the first rows count
        bank, raw = np.eye(16)[rng.integers(0, 16, 40)], rng.integers(1, 3, (9, 16))
    if kind == "cancels":  # the mean of the directions is zero
        bank, raw = unit(np.repeat([[1.0] * 16], 4, axis=0)), np.ones((2, 16))
    check(np.asarray(raw, np.float32), identity(16), np.asarray(bank, np.float32), where)


def test_parts_and_neighbours_change_no_more_than_the_last_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    parts, bank = Projection(*projection(rng, 20, 33)), unit(rng.standard_normal((255, 33)))
    raw = rng.standard_normal((50, 20)).astype(np.float32)
    card = CardDescriber(parts, bank, where="cpu")
    whole = card.describe_queries(raw, HOW[1])
    monkeypatch.setattr("copytrace.engine.describe.on_card._SCORES", 7 * 255)
    np.testing.assert_allclose(card.describe_queries(raw, HOW[1]), whole, **CLOSE)
    assert card.describe_queries(raw[:0], HOW[1]).shape == card.project(raw[:0]).shape == (0, 33)


def test_what_cannot_be_computed_is_refused() -> None:
    rng = np.random.default_rng(0)
    parts, bank = Projection(*projection(rng, 20, 8)), unit(rng.standard_normal((50, 8)))
    raw = rng.standard_normal((5, 20)).astype(np.float32)
    card, without = CardDescriber(parts, bank, where="cpu"), CardDescriber(parts, where="cpu")
    for value in (np.nan, np.inf, -np.inf):
        bad = raw.copy()
        bad[3, 5] = value
        for call in (
            card.project,
            lambda rows: card.describe_queries(rows, HOW[0]),
            lambda rows: card.describe_queries(rows, HOW[1]),
        ):
            with pytest.raises(ValueError, match="NaN"):
                call(bad)
    for wrong in (raw[0], raw.astype(np.float64), raw[:, :7]):
        with pytest.raises(ValueError, match="raw must be float32"):
            card.project(wrong)
        with pytest.raises(ValueError, match="raw must be float32"):
            card.describe_queries(wrong, HOW[0])
    with pytest.raises(ValueError, match="needs a bank"):
        without.describe_queries(raw, HOW[0])
    for how, word in (
        (Normalisation(3, 1.0), "method"),  # type: ignore[arg-type]
        (Normalisation(1, np.nan), "beta"),
        (Normalisation(1, 1.0, cosines=0), "cosines"),
    ):
        with pytest.raises(ValueError, match=word):
            card.describe_queries(raw, how)
    with pytest.raises(ValueError, match="columns"):
        CardDescriber(parts, bank[:, :7].copy(), where="cpu")
    with pytest.raises(ValueError, match="positive"):
        CardDescriber(Projection(parts.mean, parts.components, parts.eigenvalues * 0), where="cpu")


@pytest.mark.parametrize("where", WHERE)
def test_the_default_bundle(where: Where) -> None:
    bundle = Bundle()
    rng = np.random.default_rng(0)
    spread = np.abs(bundle.projection.mean).mean()
    raw = (bundle.projection.mean + rng.standard_normal((40, len(bundle.projection.mean))) * spread).astype(np.float32)
    card = CardDescriber(bundle.projection, bundle.bank, where=where)
    for method in (1, 2):
        how = bundle.normalisation(method)
        found = card.describe_queries(raw, how)
        for backend, off in (("numpy", 1e-6), ("native", 1e-5)):
            expected = bundle.describer(backend).describe_queries(raw, how)  # type: ignore[arg-type]
            assert np.abs(found - expected).max() <= off
            cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
            assert cosines.min() >= 1 - 1e-6


def test_without_a_card_it_is_one_line(tmp_path: Path) -> None:
    try:
        CardDescriber(identity(4))
    except (DeviceError, MissingExtraError) as error:
        assert "\n" not in str(error)
        failed = in_process.run(
            "embed", PHOTOS / "references" / "R0000.jpg", "-o", tmp_path / "a.h5", "--backend", "cuda", "--json", code=1
        )
        assert json.loads(failed.stdout)["error"] == str(error)
    else:
        assert CardDescriber(identity(4)).backend == "cuda"


def test_the_engine_describes_by_it() -> None:
    photos = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]
    plain, engine = Engine(device="cpu"), Engine(device="cpu")
    embedder = engine._embedder
    assert (plain._embedder.describer.backend, embedder.describer.backend) == ("native", "native")
    embedder.describer = CardDescriber(embedder.bundle.projection, embedder.bundle.bank, where="cpu")
    assert embedder.options()["backend"] == "cuda"  # a run is resumed by the same
    for role in ("reference", "query"):
        np.testing.assert_allclose(engine.embed(photos, role=role), plain.embed(photos, role=role), atol=1e-5)
    assert (engine.embed(photos, output="raw") == plain.embed(photos, output="raw")).all()


@pytest.mark.gpu
def test_embeddings_that_are_on_the_card_stay_there() -> None:
    rng = np.random.default_rng(2)
    parts, bank = Projection(*projection(rng, 512, 256)), unit(rng.standard_normal((2500, 256)))
    raw = rng.standard_normal((3000, 512)).astype(np.float32)
    card, there = CardDescriber(parts, bank), DeviceArray.from_host(raw)
    assert np.array_equal(card.project(there), card.project(raw))
    assert np.array_equal(card.describe_queries(there, HOW[2]), card.describe_queries(raw, HOW[2]))
    plain = reference.project(raw, parts.mean, parts.components, parts.eigenvalues)
    np.testing.assert_allclose(card.project(there), plain, **CLOSE)
