"""Votes of local features, against plain numpy."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import MatchError, _match
from copytrace.engine.local_recall import LocalRecall
from copytrace.engine.match import recall, variants
from copytrace.engine.match.features import LocalFeatures
from copytrace.engine.match.grey import Frame
from copytrace.engine.match.product_lists import ProductLists
from copytrace.engine.match.recall import LocalIndex, Quantisers, memory_bytes, most_voted, vote
from copytrace.engine.match.reference import squared_distances
from copytrace.engine.match.variants import Variant
from copytrace.engine.references import References
from copytrace.train.bundles import quantisers as making

FRAME = Frame(150, 150, 150, 150)


def features(rows: NDArray[np.uint8]) -> LocalFeatures:
    return LocalFeatures(np.ascontiguousarray(rows), np.zeros((len(rows), 4), np.uint16), FRAME)


def random_rows(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    return rng.integers(0, 91, (count, 128), np.uint8)


@pytest.fixture(scope="module")
def quantisers() -> Quantisers:
    """Of random bytes: 16 and 64 lists; product codes that are exact enough to tell neighbours apart."""
    rng = np.random.default_rng(0)
    coarse = {lists: random_rows(rng, lists) for lists in (16, 64)}
    return Quantisers(coarse, rng.uniform(0, 91, (32, 256, 4)).astype(np.float32))


def brute_force(references: list[NDArray[np.uint8]], query: NDArray[np.uint8]) -> dict[int, float]:
    owners = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(references)])
    rows = np.concatenate(references).astype(np.float64)
    best: dict[int, float] = {}
    for variant in Variant:
        total: dict[int, float] = {}
        for row in variants.descriptors(query, variant).astype(np.float64):
            distance = np.sqrt(((rows - row) ** 2).sum(axis=1))
            near = np.argsort(distance, kind="stable")[:5]
            owner = owners[near[0]]
            others = [distance[i] for i in near if owners[i] != owner]
            rival = others[0] if others else distance[near[-1]]
            if distance[near[0]] < 0.9 * rival:
                total[owner] = total.get(owner, 0.0) + 1 - distance[near[0]] / rival
        for owner, votes in total.items():
            best[int(owner)] = max(best.get(int(owner), 0.0), votes)
    return best


def test_votes_are_those_of_brute_force(quantisers: Quantisers) -> None:
    rng = np.random.default_rng(1)
    references = [random_rows(rng, count) for count in (40, 1, 0, 17, 60)]
    seen = np.clip(references[4][:20].astype(int) + rng.integers(-9, 10, (20, 128)), 0, 255).astype(np.uint8)
    query = np.concatenate([variants.descriptors(seen, Variant.MIRRORED), references[0][:7]])
    index = LocalIndex(1000, quantisers)
    index.add(range(5), map(features, references))
    (found,), expected = index.votes([features(query)]), brute_force(references, query)
    assert found.keys() == expected.keys() and len(index) == 118
    for owner, votes in expected.items():
        assert found[owner] == pytest.approx(votes, abs=1e-4)
    assert most_voted(found, 2) == [4, 0]


@pytest.mark.parametrize("count", [1, 2, 7, 33, 255, 1007, 1009, 2100])
def test_the_two_nearest_centroids_are_those_of_brute_force(count: int) -> None:
    rng = np.random.default_rng(count)
    centroids, rows = random_rows(rng, count), random_rows(rng, 300)
    centroids[count // 2 :: 5] = centroids[0]  # ties, within a part and between parts
    rows[0], rows[1], rows[2] = centroids[0], 0, 255
    distances = squared_distances(rows, centroids)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :2]
    for isa in _match.instruction_sets():
        for threads in (1, 3):
            numbers, far = _match.Quantiser(centroids, isa).nearest(rows, threads=threads)
            shown = numbers[:, : expected.shape[1]]
            np.testing.assert_array_equal(shown, expected, isa)
            np.testing.assert_array_equal(far[:, : expected.shape[1]], np.take_along_axis(distances, expected, axis=1))
            assert count > 1 or (numbers[:, 1] == -1).all()


@pytest.mark.parametrize("lists", [1, 7])
def test_lists_give_what_brute_force_does(lists: int) -> None:
    rng = np.random.default_rng(lists)
    centroids, rows, queries = random_rows(rng, lists), random_rows(rng, 500), random_rows(rng, 40)
    rows[:9] = rows[100]  # ties
    rows[9:11], queries[:2] = [[0] * 128, [255] * 128], [[255] * 128, rows[100]]
    numbers = rng.permutation(100_000)[:500] + 2**40
    gone, order = numbers[::3], rng.permutation(500)
    home = squared_distances(rows, centroids).argmin(axis=1)
    probed = np.argsort(squared_distances(queries, centroids), axis=1, kind="stable")[:, :2]
    distances = squared_distances(queries, rows)
    for isa in _match.instruction_sets():
        index = _match.Lists(centroids, isa)
        index.add(rows, numbers)
        assert index.remove(np.append(gone, 5)) == len(gone) and len(index) == 500 - len(gone)
        index.add(rows[order][np.isin(numbers[order], gone)], numbers[order][np.isin(numbers[order], gone)], threads=2)
        for threads in (1, 2):
            far, found = index.nearest(queries, 6, threads=threads)
            for i in range(len(queries)):
                near = [j for j in np.lexsort((numbers, distances[i])) if home[j] in probed[i]][:6]
                assert found[i].tolist() == numbers[near].tolist() and far[i].tolist() == distances[i, near].tolist(), (
                    isa
                )
        assert index.remove(numbers) == 500 and (index.nearest(queries, 2)[1] == -1).all()


def test_lists_refuse_what_they_cannot_take() -> None:
    index, rows = _match.Lists(np.zeros((2, 128), np.uint8)), np.zeros((3, 128), np.uint8)
    for numbers, threads, match in (
        ([1, 2], 1, "one for each"),
        ([1, -2, 3], 1, "0 or more"),
        ([1, 2, 3], 0, "threads"),
    ):
        with pytest.raises(ValueError, match=match):
            index.add(rows, np.array(numbers), threads=threads)
    with pytest.raises(ValueError, match="most must"):
        index.nearest(rows, 0)
    assert len(index) == 0 and index.nearest(rows, 1)[1].tolist() == [[-1]] * 3


def test_queries_asked_together_get_the_same_votes(quantisers: Quantisers) -> None:
    rng = np.random.default_rng(6)
    references = [random_rows(rng, 30) for _ in range(30)]
    index = LocalIndex(recall.FLAT_ROWS + 1, quantisers)
    index.add(range(30), map(features, references))
    queries = [features(rows) for rows in (references[3][:9], references[7][:0], references[8][5:], references[3][9:])]
    together = index.votes(queries)
    assert together == [index.votes([query])[0] for query in queries]
    assert [most_voted(votes, 1) for votes in together] == [[3], [], [8], [3]]


def test_wrong_centroids_are_refused() -> None:
    good = np.zeros((3, 128), np.uint8)
    for centroids in (good[:0], good[:, :64], good.astype(np.float32), np.zeros((3, 256), np.uint8)[:, ::2]):
        with pytest.raises(ValueError, match="centroid"):
            _match.Quantiser(centroids)
    with pytest.raises(ValueError, match="descriptors must"):
        _match.Quantiser(good).nearest(good.astype(np.int8))
    with pytest.raises(ValueError, match="threads"):
        _match.Quantiser(good).nearest(good, threads=0)
    assert _match.Quantiser(good).nearest(good[:0])[0].shape == (0, 2)


@pytest.mark.parametrize("rows", [recall.FLAT_ROWS, recall.FLAT_ROWS + 1, recall.PRODUCT_ROWS])
def test_history_changes_no_answer(rows: int, quantisers: Quantisers) -> None:
    rng = np.random.default_rng(2)
    references = [random_rows(rng, 30) for _ in range(40)]
    query = features(np.concatenate([references[33][:20], references[5][:6]]))
    at_once, in_pieces = (LocalIndex(rows, quantisers) for _ in range(2))
    at_once.add(range(40), map(features, references))
    for number in rng.permutation(60).tolist():  # twenty more come and go
        extra = features(references[number] if number < 40 else random_rows(rng, 30))
        in_pieces.add([number], [extra])
    assert in_pieces.remove(range(40, 60)) == 600 and in_pieces.remove([77]) == 0 and len(in_pieces) == len(at_once)
    assert in_pieces.votes([query]) == at_once.votes([query])
    assert most_voted(at_once.votes([query])[0], 1) == [33]


def test_kinds_follow_the_number_of_rows(quantisers: Quantisers) -> None:
    kinds = [LocalIndex(rows, quantisers).kind for rows in (0, 20_000, 20_001, 500_000, 20_000_000)]
    assert kinds == ["flat", "flat", "IVF16,SQ8", "IVF64,SQ8", "IVF64,PQ32"]
    assert memory_bytes(20_000_000) == 20_000_000 * 40 and memory_bytes(1_000_000) == 140_000_000


def test_room_in_a_product_index_is_reserved(quantisers: Quantisers) -> None:
    rng = np.random.default_rng(5)
    rows = random_rows(rng, 4000)
    index = ProductLists(quantisers.coarse[16], quantisers.product)
    index.reserve([rows[:300], rows[300:1000]], 4)
    lists = index._index.invlists
    before = [int(lists.get_codes(i)) for i in range(16)]
    for start in range(0, 4000, 500):
        index.add(rows[start : start + 500], np.arange(start, start + 500))
    assert len(index) == 4000 and min(lists.list_size(i) for i in range(16)) > 0
    assert [int(lists.get_codes(i)) for i in range(16)] == before  # none had to move to grow


def test_references_vote_by_product_codes(monkeypatch: pytest.MonkeyPatch, quantisers: Quantisers) -> None:
    monkeypatch.setattr(recall, "FLAT_ROWS", 10)
    monkeypatch.setattr(recall, "PRODUCT_ROWS", 500)
    monkeypatch.setattr(
        recall, "_ROWS_PER_LIST_SAMPLED", 16
    )  # so that a third of the references tell where room is needed
    rng = np.random.default_rng(7)
    kept = [features(random_rows(rng, 30)) for _ in range(30)]
    ids, sizes = [f"{i:02}" for i in range(30)], [(150, 150)] * 30
    references = References(ids, np.zeros((30, 4), np.float32), sizes, kept, rows=900)
    told: list[str] = []
    found = LocalRecall(references, quantisers, told.append, threads=2)
    assert recall.sample_step(900, quantisers) == 3 and "IVF16,PQ32" in told[0] and len(found.index) == 900
    assert found.most_voted([kept[22], kept[3]], 1) == [[22], [3]]


def test_nothing_to_vote_with_or_for(quantisers: Quantisers) -> None:
    index, none = LocalIndex(10, quantisers), features(np.zeros((0, 128), np.uint8))
    one = features(random_rows(np.random.default_rng(3), 4))
    assert index.votes([one]) == [{}] and index.votes([]) == [] and index.remove([]) == 0
    index.add([3], [none])
    assert len(index) == 0
    index.add([3], [one])
    assert index.votes([none]) == [{}]
    owner, weight = vote(np.array([[4.0, np.inf]], np.float32), np.array([[3, -1]]))
    assert owner.tolist() == [-1] and weight.tolist() == [0.0]


def test_quantisers_come_back_and_other_files_are_refused(tmp_path: Path, quantisers: Quantisers) -> None:
    path = tmp_path / "quantisers.npz"
    quantisers.save(path)
    again = Quantisers.load(path)
    assert list(again.coarse) == [16, 64] and again.choose(20_000) == 16 and again.choose(10**9) == 64
    np.testing.assert_array_equal(again.coarse[16], quantisers.coarse[16])
    np.testing.assert_array_equal(again.product, quantisers.product)
    for name, content in (("text", b"no"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MatchError, match=name):
            Quantisers.load(tmp_path / name)
    with pytest.raises(MatchError, match="missing"):
        Quantisers.load(tmp_path / "missing")
    nan, coarse = np.full_like(quantisers.product, np.nan), quantisers.coarse[16]
    for product, arrays in (
        (quantisers.product, {"coarse4": coarse}),
        (quantisers.product, {"coarse16": coarse, "other": coarse}),
        (quantisers.product, {"coarse16": coarse, "coarse0": coarse[:0]}),
        (quantisers.product, {"coarse16": coarse.astype(np.int64)}),
        (quantisers.product, {}),
        (nan, {"coarse16": coarse}),
    ):
        np.savez(path, product=product, **arrays)
        with pytest.raises(MatchError, match="other names, shapes or values"):
            Quantisers.load(path)
    locked = bytearray(path.read_bytes())
    locked[6] = locked[locked.find(b"PK\x01\x02") + 8] = 1  # says that it is encrypted
    path.write_bytes(locked)
    with pytest.raises(MatchError, match="encrypted"):
        Quantisers.load(path)


def test_many_lists_made_in_two_steps_are_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    values = np.repeat(random_rows(rng, 40), 50, axis=0) + rng.normal(0, 6, (2000, 128))
    values = values[rng.permutation(2000)].astype(np.float32)

    def error() -> float:
        centroids = making._centroids(values, 64, 0)
        assert centroids.shape == (64, 128) and (centroids == making._centroids(values, 64, 0)).all()
        return float(squared_distances(values.astype(np.uint8), centroids).min(axis=1).mean())

    at_once = error()
    monkeypatch.setattr(making, "LISTS_AT_ONCE", 32)
    assert error() < 1.5 * at_once
    assert making._shares(np.array([0, 1, 5, 94]), 20) == [0, 1, 1, 18]
    with pytest.raises(ValueError, match="63 local features are too few for 64 lists"):
        making._centroids(values[:63], 64, 0)
