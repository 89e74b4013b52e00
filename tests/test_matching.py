"""Matching as a whole, from Python and from the command line, on a few photographs."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import BadImageError, Engine, MatchError, SourceError, read_pairs
from copytrace.engine.match.constants import MatchConstants
from copytrace.engine.match.evidence import Evidence
from copytrace.engine.match.probability import RELATED, SAME, PairModel
from copytrace.engine.matching import Matcher
from copytrace.engine.read import open_source
from copytrace.engine.references import References

from conftest import PHOTOS

Pixels = NDArray[np.uint8]
COPY, OTHER = "R0004", "R0060"


def pixels(name: str) -> Pixels:
    return np.asarray(cv2.imread(str(PHOTOS / "references" / f"{name}.jpg"), cv2.IMREAD_COLOR_RGB), np.uint8)


def pasted(name: str, turned: int = 0) -> Pixels:
    """A reference on a photograph that is none."""
    background = cv2.resize(pixels("R0150"), (480, 360))
    background[90:290, 150:400] = cv2.resize(np.rot90(pixels(name), turned), (250, 200), interpolation=cv2.INTER_AREA)
    return np.asarray(background, np.uint8)


def save(path: Path, image: Pixels) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``references/``, 24 of them, and ``queries/``: a mirrored copy, a pasted one, one that is none, and no picture."""
    folder = tmp_path_factory.mktemp("matching")
    for name in ("references", "queries"):
        (folder / name).mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:96:4]:
        shutil.copy(path, folder / "references")
    save(folder / "queries" / "mirrored.png", np.ascontiguousarray(pixels(COPY)[:, ::-1]))
    save(folder / "queries" / "pasted.png", pasted(OTHER))
    save(folder / "queries" / "strange.png", pixels("R0151"))
    (folder / "queries" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=2)


@pytest.fixture(scope="module")
def references(engine: Engine, folders: Path) -> References:
    return References.of(engine.embedder, open_source(folders / "references"))


@pytest.mark.parametrize("mode", ["views", "verify", "full"])
def test_every_mode_finds_copies(mode: str, engine: Engine, references: References, folders: Path) -> None:
    matcher = Matcher(references, mode, engine=engine)  # type: ignore[arg-type]
    found = {query.query_id: query for query in matcher.match_source(open_source(folders / "queries"))}
    assert list(found) == ["broken", "mirrored", "pasted", "strange"]
    assert found["broken"].matches == [] and found["broken"].reason
    assert found["mirrored"].matches[0].reference_id == COPY
    assert found["pasted"].matches[0].reference_id == OTHER
    best = {name: query.matches[0].score for name, query in found.items() if query.matches}
    assert best["strange"] < min(best["mirrored"], best["pasted"])
    for query in found.values():
        scores = [match.score for match in query.matches]
        assert scores == sorted(scores, reverse=True) and len({m.reference_id for m in query.matches}) == len(scores)
        assert all(0.0 <= match.probability <= 1.0 for match in query.matches)


def test_evidence_says_what_was_found_in_pixels_of_the_original(
    engine: Engine, references: References, folders: Path
) -> None:
    large = cv2.resize(pixels(COPY), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", cv2.cvtColor(np.ascontiguousarray(large[:, ::-1]), cv2.COLOR_RGB2BGR))[1].tobytes()
    best = Matcher(references, engine=engine).match([data])[0][0]
    evidence = best.evidence
    height, width = large.shape[:2]
    assert best.reference_id == evidence.reference_id == COPY and evidence.query_size == (width, height)
    assert best.inliers == evidence.inliers >= 20 and evidence.variant == "mirrored"
    expected = [(width - 1 - 3 * (x + 0.5) + 0.5, 3 * (y + 0.5) - 0.5) for x, y in evidence.reference_points]
    assert np.abs(np.array(evidence.query_points) - expected).max() < 0.03 * width
    assert evidence.scores["probability"] == best.probability
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_answers_depend_on_the_image_alone(engine: Engine, references: References, folders: Path) -> None:
    paths = [folders / "queries" / f"{name}.png" for name in ("mirrored", "pasted", "strange")]
    matcher = Matcher(references, "full", engine=engine)
    together = matcher.match(paths)
    assert [matcher.match([path])[0] for path in paths] == [[*matches] for matches in together] and Matcher(
        references, "full", engine=Engine(threads=1)
    ).match(paths) == together
    streamed = {query.query_id: query.matches for query in matcher.match_source(open_source(folders / "queries"))}
    scores = [[(m.reference_id, m.score) for m in streamed[path.stem]] for path in paths]
    assert scores == [[(m.reference_id, m.score) for m in matches] for matches in together]


def test_turned_copies_are_found_by_their_turned_view(engine: Engine, references: References) -> None:
    turned = np.ascontiguousarray(np.rot90(pixels(COPY)))
    with_turns, without = (
        Matcher(references, "views", engine=engine, turns=turns).match([turned])[0] for turns in (True, False)
    )
    assert with_turns[0].reference_id == COPY and with_turns[0].view == "turned 270"
    assert without[0].similarity < with_turns[0].similarity


def test_odd_images(engine: Engine, references: References) -> None:
    matcher = Matcher(references, "full", engine=engine)
    for image in (np.zeros((1, 1, 3), np.uint8), np.full((300, 300), 255, np.uint8), np.zeros((3000, 2), np.uint8)):
        matches = matcher.match([image])[0]
        assert len(matches) == 10 and all(match.inliers == 0 and np.isfinite(match.score) for match in matches)
    with pytest.raises(ValueError, match="image 0 must be uint8"):
        matcher.match([np.zeros((4, 4, 3))])  # type: ignore[list-item]
    with pytest.raises(BadImageError, match="image 0: "):
        matcher.match([b"no picture"])
    assert matcher.match([]) == []


def test_wrong_arguments(engine: Engine, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode must be one of views, verify, full"):
        Matcher(folders / "references", "all", engine=engine)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="nowhere"):
        Matcher(tmp_path / "nowhere", engine=engine)
    bare = References.of(engine.embedder, open_source(folders / "references"), local=False)
    with pytest.raises(MatchError, match="needs the references' local features"):
        Matcher(bare, "verify", engine=engine)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(SourceError, match="none of the 1 images"):
        Matcher(tmp_path, engine=engine)


def test_constants_come_back_and_others_are_refused(tmp_path: Path) -> None:
    model = PairModel(tuple(map(float, range(len(RELATED)))), tuple(map(float, range(len(SAME)))))
    constants = MatchConstants({"whole": 0.0, "turn": 0.1, "region": 0.2, "crop": 0.3}, model, model)
    constants.save(tmp_path / "matching.json")
    assert MatchConstants.load(tmp_path / "matching.json") == constants
    table = json.loads((tmp_path / "matching.json").read_text())
    for change in (
        {"format": 1},
        {"penalties": {}},
        {"views": {}},
        {"penalties": {"whole": 0, "turn": 0, "region": 0}},
        {"penalties": {"whole": 0, "turn": 0, "region": 0, "crop": -1}},
    ):
        (tmp_path / "bad.json").write_text(json.dumps({**table, **change}))
        with pytest.raises(MatchError, match=r"bad\.json: not the constants of matching"):
            MatchConstants.load(tmp_path / "bad.json")
    with pytest.raises(MatchError, match="No such file"):
        MatchConstants.load(tmp_path / "missing.json")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "copytrace"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_match_and_verify_on_the_command_line(folders: Path, tmp_path: Path) -> None:
    queries, references = folders / "queries", folders / "references"
    output, evidence = tmp_path / "matches.csv", tmp_path / "evidence.jsonl"
    report = tmp_path / "report.html"
    done = run("match", queries, references, "-o", output, "--evidence", evidence, "--report", report, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["queries"] == 4 and result["pairs"] == 30 and [bad["id"] for bad in result["failed"]] == ["broken"]
    pairs = read_pairs(output)
    assert {(pairs.queries[i], pairs.references[i]) for i in (0, 1)} == {("mirrored", COPY), ("pasted", OTHER)}
    lines = [Evidence.from_json(line) for line in evidence.read_text().splitlines()]
    assert {(one.query_id, one.reference_id) for one in lines} == set(zip(pairs.queries, pairs.references, strict=True))

    assert report.read_text().count("<svg") == sum(one.scores["probability"] >= 0.5 for one in lines) >= 2
    assert 'href="data:image/jpeg;base64,' in report.read_text()

    candidates = tmp_path / "candidates.csv"
    candidates.write_text(f"query_id,reference_id,score\nmirrored,{COPY},1\nmirrored,{OTHER},2\nstrange,{COPY},3\n")
    done = run("verify", queries, references, "--pairs", candidates, "-o", tmp_path / "verified.csv", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["pairs"] == 3, done.stderr
    with (tmp_path / "verified.csv").open() as file:
        assert next(csv.DictReader(file))["reference_id"] == COPY

    for unknown in (f"nobody,{COPY},1", "mirrored,R9999,1"):
        candidates.write_text(f"query_id,reference_id,score\n{unknown}\n")
        done = run("verify", queries, references, "--pairs", candidates, "-o", tmp_path / "verified.csv")
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_refusals_on_the_command_line(folders: Path, tmp_path: Path) -> None:
    queries, references, picture = folders / "queries", folders / "references", folders / "queries" / "pasted.png"
    before = picture.read_bytes()
    for code, arguments in (
        (2, ("match", queries, references)),
        (2, ("match", queries, references, "-o", tmp_path / "m.csv", "--mode", "all")),
        (1, ("match", tmp_path / "nowhere", references, "-o", tmp_path / "m.csv")),
        (1, ("match", queries, references, "-o", picture)),
        (1, ("match", queries, references, "-o", tmp_path / "m.csv", "--evidence", tmp_path / "m.csv")),
        (1, ("match", folders / "queries" / "broken.jpg", references, "-o", tmp_path / "m.csv")),
    ):
        done = run(*arguments)
        assert done.returncode == code and "Traceback" not in done.stderr, (arguments, done.stderr)
        assert code == 2 or done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert picture.read_bytes() == before and not (tmp_path / "m.csv").exists()
