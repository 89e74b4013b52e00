"""Crops of references: made, kept in a collection, compared by every mode, exported, and refused where they do not belong."""

import shutil
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from copytrace.engine import Collection, CollectionError, Engine, MatchError
from copytrace.engine.candidates import nearest_references, similarities
from copytrace.engine.exchange import export_descriptors, import_descriptors
from copytrace.engine.match.evidence import Evidence
from copytrace.engine.match.views import CROP_LABELS, REFERENCE_VIEWS, reference_crops
from copytrace.engine.matches import Matched
from copytrace.engine.matching import Matcher
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import open_source
from copytrace.engine.references import References
from copytrace.engine.serve import Settings
from copytrace.engine.serve.service import Service

from conftest import PHOTOS
from in_process import run

MODES = ("views", "verify", "full")
COPY = "R0004"
CUT = "crop-9"  # the lower right one


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """``references/`` with a tiny picture among them, ``queries/`` with a crop of one, ``refs.ct`` with crops."""
    folder = tmp_path_factory.mktemp("crops")
    for name in ("references", "queries"):
        (folder / name).mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:30:3]:
        shutil.copy(path, folder / "references")
    shutil.copy(PHOTOS / "references" / f"{COPY}.jpg", folder / "references")
    cv2.imwrite(str(folder / "references" / "tiny.png"), np.zeros((1, 2, 3), np.uint8))
    pixels = cv2.imread(str(PHOTOS / "references" / f"{COPY}.jpg"))
    height, width = pixels.shape[:2]
    cv2.imwrite(str(folder / "queries" / "part.png"), pixels[round(0.4 * height) :, round(0.4 * width) :])
    shutil.copy(PHOTOS / "references" / "R0151.jpg", folder / "queries" / "strange.jpg")
    engine.add_source(folder / "references", folder / "refs.ct", crops=True)
    return folder


@pytest.fixture(scope="module")
def references(engine: Engine, folder: Path) -> References:
    return References.of(engine.embedder, open_source(folder / "references"), crops=True)


def answers(references: object, engine: Engine, folder: Path, mode: str = "full") -> list[Matched]:
    matcher = Matcher(references, mode, engine=engine)  # type: ignore[arg-type]
    return list(matcher.match_source(open_source(folder / "queries")))


def queries(engine: Engine, folder: Path) -> list[Picture]:
    looks = Looks.of_queries(engine.embedder, local=False)
    found = list(picture_stream(engine.embedder, open_source(folder / "queries"), looks))
    return [picture for picture in found if isinstance(picture, Picture)]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (7, 500), (640, 427)])
def test_crops_cover_a_reference_from_edge_to_edge(width: int, height: int) -> None:
    views = reference_crops(width, height)
    assert tuple(view.label for view in views) == CROP_LABELS and {view.kind for view in views} == {"crop"}
    boxes = [view.box for view in views if view.box is not None]
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        assert (right - left, bottom - top) == (max(1, round(0.6 * width)), max(1, round(0.6 * height)))
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        seen[top:bottom, left:right] = True
    assert seen.all() or min(width, height) < 3
    assert [box.left for box in boxes[::3]] == [0] * 3 and [box.top for box in boxes[:3]] == [0] * 3
    assert boxes[-1].right == width and boxes[-1].bottom == height


def test_rows_are_those_of_the_pictures_cut_out(engine: Engine, folder: Path, references: References) -> None:
    plain = References.of(engine.embedder, open_source(folder / "references"))
    assert plain.crops is None and references.ids == plain.ids
    np.testing.assert_array_equal(references.descriptors[:], plain.descriptors[:])  # the whole is what it was
    number = references.number("tiny")
    assert number is not None
    rows = references.rows_of(np.array([number, 0]))
    assert rows.shape == (2, 10, engine.dimension)
    black = np.zeros((1, 1, 3), np.uint8)
    np.testing.assert_allclose(rows[0, 1:], np.repeat(engine.embed(black), 9, axis=0), atol=1e-5)


def test_the_best_of_all_rows_by_brute_force(engine: Engine, folder: Path, references: References) -> None:
    """Candidates and scores, whatever the penalty of crops."""
    for picture in queries(engine, folder):
        for penalty in (0.0, 0.3, 9.0):
            penalties = {"whole": 0.0, "turn": 0.4, "region": 0.3, "crop": penalty}
            table = np.full((len(references), len(picture.views), 10), -np.inf)
            for number in range(len(references)):
                for place, view in enumerate(picture.views):
                    for row, one in enumerate(references.rows_of(np.array([number]))[0]):
                        difference = picture.descriptors[place].astype(np.float64) - one
                        off = penalties[view.kind] + (penalty if row else 0.0)
                        table[number, place, row] = -np.square(difference).sum() - off
            expected = table.max(axis=(1, 2))
            found = similarities(picture, references, np.arange(len(references)), penalties)
            np.testing.assert_array_equal(found.values, expected)
            at = table[np.arange(len(references)), found.views, found.reference_views]
            np.testing.assert_array_equal(at, expected)
            for k in (1, 3):
                best = set(np.argsort(-expected, kind="stable")[:k].tolist())
                _, near = nearest_references(picture.descriptors, references, k, threads=2)
                assert best <= set(near.tolist())


@pytest.mark.parametrize("mode", MODES)
def test_a_collection_with_crops_answers_as_its_pictures_do(
    mode: str, engine: Engine, folder: Path, references: References
) -> None:
    expected = answers(references, engine, folder, mode)
    assert answers(folder / "refs.ct", engine, folder, mode) == expected
    best, without = (
        answers(some, engine, folder, mode)[0].matches[0] for some in (references, references.without_crops())
    )
    assert (best.reference_id, best.evidence.reference_view) == (COPY, CUT)
    assert Evidence.from_json(best.evidence.to_json()) == best.evidence
    assert best.similarity > without.similarity + 0.2 and without.evidence.reference_view == "whole"


def test_history_changes_no_answer(engine: Engine, folder: Path, tmp_path: Path) -> None:
    """In pieces, with others removed again, compacted, copied, and through a descriptor file: the same answers."""
    photos, path = sorted((folder / "references").iterdir(), reverse=True), tmp_path / "refs.ct"
    engine.add_source(photos[:4], path, crops=True)
    engine.add_source(folder / "queries", path)  # as the collection does
    engine.add_source(photos[4:], path, crops=True)
    with Collection.open(path, write=True) as collection:
        collection.remove(["part", "strange"])
        assert collection.compact() == 0 or collection.check() == []
        assert collection.references()[0].views == REFERENCE_VIEWS
        collection.backup(tmp_path / "copy.ct")
        export_descriptors(collection, tmp_path / "refs.h5")
    assert import_descriptors(tmp_path / "refs.h5", tmp_path / "back.ct").added == len(photos)
    expected = answers(folder / "refs.ct", engine, folder)
    for name in ("refs.ct", "copy.ct", "back.ct"):
        assert answers(tmp_path / name, engine, folder) == expected
    with Collection.open(tmp_path / "back.ct") as collection:
        assert collection.check() == []
    assert engine.add_source(folder / "references", tmp_path / "back.ct").unchanged == len(photos)


def test_references_that_lack_crops_are_named_until_they_have_them(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "refs.ct", tmp_path / "refs.ct")
    photo = PHOTOS / "references" / "R0151.jpg"
    with Collection.open(tmp_path / "refs.ct", write=True) as collection:
        collection.add(["R0151"], engine.embed(photo), sha256=[sha256(photo.read_bytes()).hexdigest()])
        for wanted in (None, {"R0151", COPY}):
            with pytest.raises(MatchError, match=r"1 of \d+ references have no crops, the first is 'R0151'"):
                References.of_collection(collection, local=False, only=wanted)
        assert len(References.of_collection(collection, only={COPY}).rows_of(np.array([0]))[0]) == 10
        with pytest.raises(MatchError, match="have no crops"):
            export_descriptors(collection, tmp_path / "refs.h5")
    assert engine.add_source(photo, tmp_path / "refs.ct").replaced == 1
    assert answers(tmp_path / "refs.ct", engine, folder)[1].matches[0].reference_id == "R0151"


def test_the_option_is_fixed_when_a_collection_is_made(engine: Engine, folder: Path, tmp_path: Path) -> None:
    one, plain = folder / "references" / "tiny.png", tmp_path / "plain.ct"
    run("collection", "add", plain, one)
    for path, option, words in ((plain, "--crops", "no crops"), (folder / "refs.ct", "--no-crops", "crops of every")):
        done = run("collection", "add", path, one, option, code=1)
        assert done.stderr.count("\n") == 1 and f"keeps {words}" in done.stderr
        with pytest.raises(CollectionError, match=f"keeps {words}"):
            engine.add_source(one, path, crops=option == "--crops")
    done = run("match", folder / "queries", plain, "-o", tmp_path / "m.csv", "--crops", code=1)
    assert done.stderr.count("\n") == 1 and "keeps no crops" in done.stderr
    with Collection.create(tmp_path / "empty.ct", engine.dimension, _attributes(plain)) as collection:
        assert "crops" not in collection.properties
    done = run("collection", "add", tmp_path / "empty.ct", one, "--crops")
    assert "9,216 bytes" in done.stderr and "9 more passes" in done.stderr
    with pytest.raises(TypeError, match="crops"):
        engine.add_source(one, plain, crops="yes")  # type: ignore[arg-type]
    with Collection.open(folder / "refs.ct") as collection, Collection.open(plain) as other:
        export_descriptors(collection, tmp_path / "with.h5")
        export_descriptors(other, tmp_path / "without.h5")
    for file, path in (("with.h5", plain), ("without.h5", folder / "refs.ct")):
        with pytest.raises(CollectionError, match=r"keeps (no )?crops of"):
            import_descriptors(tmp_path / file, path)


def test_on_the_command_line_a_folder_can_have_crops(folder: Path, tmp_path: Path) -> None:
    for name, options in (("a", ["references", "--crops"]), ("b", ["refs.ct"])):
        place, more = folder / options[0], options[1:]
        run(
            "match",
            folder / "queries",
            place,
            "-o",
            tmp_path / f"{name}.csv",
            *more,
            "--evidence",
            tmp_path / f"{name}.jsonl",
        )
    for suffix in ("csv", "jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes() != b""
    assert f'"reference_view": "{CUT}"' in (tmp_path / "a.jsonl").read_text()


def _attributes(path: Path) -> dict[str, str]:
    with Collection.open(path) as collection:
        return collection.attributes


def test_the_service_refuses_what_it_would_answer_differently(folder: Path) -> None:
    with pytest.raises(CollectionError, match="keeps crops of references, which only match compares"):
        Service(folder / "refs.ct", Settings(no_auth=True, threads=2))
    Collection.open(folder / "refs.ct", write=True).close()  # nothing holds it any more
