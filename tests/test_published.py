"""The rule of ISC2021's third place: against brute force in plain numpy, and from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Engine, MatchError, read_pairs
from copytrace.engine.match import variants
from copytrace.engine.match.features import LocalFeatures
from copytrace.engine.match.isc2021 import branch_views, recalled
from copytrace.engine.match.regions import Box
from copytrace.engine.match.variants import Variant
from copytrace.engine.match.views import WHOLE_VIEW, View
from copytrace.engine.matching import Matcher
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import Image, open_source
from copytrace.engine.references import References

from conftest import PHOTOS

Pixels = NDArray[np.uint8]
COPY, OTHER = "R0004", "R0010"
PATHS = sorted((PHOTOS / "references").glob("*.jpg"))[:12]


def pixels(name: str) -> Pixels:
    return np.asarray(cv2.imread(str(PHOTOS / "references" / f"{name}.jpg")), np.uint8)


def encoded(image: Pixels) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture(scope="module")
def queries() -> dict[str, bytes]:
    """A reference as it is, one mirrored, one pasted on another photograph, a photograph that is none, a blank picture."""
    background = cv2.resize(pixels("R0150"), (480, 360))
    background[90:290, 150:400] = cv2.resize(pixels(OTHER), (250, 200), interpolation=cv2.INTER_AREA)
    return {
        "blank": encoded(np.full((90, 120, 3), 255, np.uint8)),
        "mirrored": encoded(np.ascontiguousarray(pixels(COPY)[:, ::-1])),
        "pasted": encoded(background),
        "same": encoded(pixels(COPY)),
        "strange": encoded(pixels("R0151")),
    }


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=1)


@pytest.fixture(scope="module")
def references(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> References:
    paths = tmp_path_factory.mktemp("published") / "references.txt"
    paths.write_text("".join(f"{path}\n" for path in PATHS))
    return References.of(engine.embedder, open_source(paths))


def test_the_best_reference_is_recalled_when_enough_features_hit_it_nearly() -> None:
    def answer(owners: list[int], distance: float = 100.0) -> int | None:
        return recalled(np.full(len(owners), distance, np.float32), np.array(owners, np.int64))

    assert answer([7, 7, 7, 7, 2]) == 7 and answer([7, 7, 7, 2]) is None  # more than three
    assert answer([7] * 4 + [2] * 4) is None and answer([2] * 4 + [7] * 5) == 7  # strictly more than the second
    assert answer([7] * 6) == 7 and answer([7] * 5) is None and answer([7] * 6 + [-1]) == 7  # alone: more than five
    assert answer([7, 7, 7, 7, 2], 8000.0) is None and answer([7, 7, 7, 7, 2], 7999.0) == 7
    assert answer([]) is None and answer([-1, -1]) is None
    far = np.array([100.0] * 4 + [90000.0], np.float32)
    assert recalled(far, np.array([7, 7, 7, 7, 2])) == 7  # only its own hits are averaged


def test_the_region_is_the_first_that_is_neither_too_large_nor_too_long() -> None:
    boxes = [Box(0, 0, 100, 86), Box(0, 0, 90, 20), Box(0, 0, 80, 20), Box(0, 0, 50, 50)]
    views = [WHOLE_VIEW, *(View(f"region {i}", box) for i, box in enumerate(boxes))]
    assert branch_views(views, (100, 100)) == [WHOLE_VIEW, views[3]]
    assert branch_views(views[:3], (100, 100)) == [WHOLE_VIEW]


def brute_force(query: Picture, references: References, squared: bool, candidates: int) -> dict[str, int]:
    """Reference -> score, feature by feature."""
    rows = [one.descriptors.astype(float) for one in references.features]

    def recall(features: LocalFeatures) -> list[int]:
        hits: dict[int, list[float]] = {}
        for row in features.descriptors.astype(float):
            nearest = [((one - row) ** 2).sum(axis=1).min() for one in rows]
            hits.setdefault(int(np.argmin(nearest)), []).append(min(nearest))
        ranked = sorted(hits, key=lambda number: -len(hits[number]))
        if not ranked or np.mean(hits[ranked[0]]) >= 8000:
            return []
        first = len(hits[ranked[0]])
        second = len(hits[ranked[1]]) if len(ranked) > 1 else 0
        return ranked[:1] if (first > 5 if second == 0 else first > 3 and first > second) else []

    def score(features: LocalFeatures, number: int) -> int:
        counts = []
        for variant in (Variant.AS_IS, Variant.MIRRORED):
            counts.append(0)
            for row in variants.descriptors(features.descriptors, variant).astype(float):
                first, second = np.sort(((rows[number] - row) ** 2).sum(axis=1))[:2]
                counts[-1] += bool(first < second / 1.8 if squared else np.sqrt(first) < np.sqrt(second) / 1.8)
        return max(counts)

    assert query.features is not None
    region = query.region_features
    distances = ((references.descriptors - query.descriptors[-1]) ** 2).sum(axis=1)
    branches = [(region or query.features, np.argsort(distances)[:candidates].tolist())]
    branches += [(features, recall(features)) for features in (query.features, region) if features is not None]
    total: dict[str, int] = {}
    for features, numbers in branches:
        for number in numbers:
            name = references.ids[number]
            total[name] = total.get(name, 0) + score(features, number)
    return total


def test_scores_equal_brute_force(engine: Engine, references: References, queries: dict[str, bytes]) -> None:
    images = [Image(name, lambda data=data: data) for name, data in queries.items()]
    pictures = [
        picture
        for picture in picture_stream(engine.embedder, images, Looks.of_branches(engine.embedder))
        if isinstance(picture, Picture)
    ]
    assert {picture.id: len(picture.views) for picture in pictures} == {
        picture.id: 1 if picture.region_features is None else 2 for picture in pictures
    }
    assert pictures[0].region_features is None and pictures[2].region_features is not None
    squared, plain = (
        list(Matcher(references, rule=rule, engine=engine, candidates=3).matched(pictures))
        for rule in ("isc2021", "isc2021-plain")
    )
    for picture, found, stricter in zip(pictures, squared, plain, strict=True):
        for matched, is_squared in ((found, True), (stricter, False)):
            expected = brute_force(picture, references, is_squared, 3)
            assert {match.reference_id: match.score for match in matched.matches} == expected
            assert [match.score for match in matched.matches] == sorted(expected.values(), reverse=True)
    best = {found.query_id: found.matches[0] for found in squared}
    assert best["mirrored"].reference_id == COPY and best["pasted"].reference_id == OTHER
    assert best["pasted"].score > best["strange"].score and best["blank"].score == 0
    parts = best["same"].evidence.scores
    assert parts["local"] >= 150 and best["same"].score == parts["local"] + parts["global"] + parts.get(
        "local of the region", 0
    )
    assert best["same"].probability > 0.5 > best["strange"].probability


def test_the_rule_by_name(engine: Engine, references: References, queries: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rule must be one of copytrace, isc2021, isc2021-plain"):
        Matcher(references, rule="isc", engine=engine)  # type: ignore[arg-type]
    with pytest.raises(MatchError, match="by the rule copytrace alone"):
        list(Matcher(references, rule="isc2021", engine=engine).verify_source(open_source(PATHS[0]), []))
    (tmp_path / "q.png").write_bytes(queries["mirrored"])
    (tmp_path / "references.txt").write_text("".join(f"{path}\n" for path in PATHS[:6]))
    command = [str(Path(sys.executable).parent / "copytrace"), "match", str(tmp_path / "q.png")]
    command += [str(tmp_path / "references.txt"), "-o", str(tmp_path / "m.csv"), "--rule", "isc2021", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["likely_copies"] == 1, done.stderr
    pairs = read_pairs(tmp_path / "m.csv")
    assert pairs.references[0] == COPY and pairs.scores[0] > 20 and (pairs.scores == np.rint(pairs.scores)).all()
    done = subprocess.run([*command, "--mode", "full"], capture_output=True, text=True)
    assert done.returncode == 2 and "has no modes" in done.stderr
