"""The second look at the references of a collection: the same answers as with the pictures themselves."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from copytrace.engine import Bundle, Collection, CollectionError, Engine, MatchError
from copytrace.engine.match import recall
from copytrace.engine.match.evidence import Evidence
from copytrace.engine.match.features import extract
from copytrace.engine.match.stored import (
    FEATURES,
    THUMBNAIL,
    features_from_bytes,
    features_to_bytes,
    thumbnail_from_bytes,
    thumbnail_to_bytes,
)
from copytrace.engine.matching import Matcher
from copytrace.engine.read import open_source
from copytrace.engine.references import References
from copytrace.export.bundle import set_matching

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run

MODES = ("views", "verify", "full")
COPY, OTHER = "R0004", "R0060"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """``references/``, 24 photographs, a blank picture and a tiny one; ``queries/``; ``refs.ct`` of the references."""
    folder = tmp_path_factory.mktemp("collection")
    for name in ("references", "queries"):
        (folder / name).mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:96:4]:
        shutil.copy(path, folder / "references")
    cv2.imwrite(str(folder / "references" / "blank.png"), np.full((200, 300), 255, np.uint8))
    cv2.imwrite(str(folder / "references" / "tiny.png"), np.zeros((1, 1, 3), np.uint8))
    copy = cv2.imread(str(PHOTOS / "references" / f"{COPY}.jpg"))
    pasted = cv2.resize(cv2.imread(str(PHOTOS / "references" / "R0150.jpg")), (480, 360))
    other = cv2.imread(str(PHOTOS / "references" / f"{OTHER}.jpg"))
    pasted[90:290, 150:400] = cv2.resize(other, (250, 200), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "queries" / "mirrored.png"), copy[:, ::-1])
    cv2.imwrite(str(folder / "queries" / "pasted.png"), pasted)
    cv2.imwrite(str(folder / "queries" / "nothing.png"), np.zeros((90, 90), np.uint8))
    shutil.copy(PHOTOS / "references" / "R0151.jpg", folder / "queries" / "strange.jpg")
    engine.add_source(folder / "references", folder / "refs.ct")
    return folder


@pytest.fixture(scope="module")
def references(engine: Engine, folder: Path) -> References:
    return References.of(engine.embedder, open_source(folder / "references"))


def answers(references: object, engine: Engine, folder: Path, mode: str = "full") -> list[object]:
    matcher = Matcher(references, mode, engine=engine)  # type: ignore[arg-type]
    return list(matcher.match_source(open_source(folder / "queries")))


@pytest.mark.parametrize("mode", MODES)
def test_a_collection_answers_as_its_pictures_do(
    mode: str, engine: Engine, folder: Path, references: References
) -> None:
    """Everything: scores to the last bit, and the evidence."""
    expected = answers(references, engine, folder, mode)
    assert answers(folder / "refs.ct", engine, folder, mode) == expected
    with Collection.open(folder / "refs.ct") as collection:
        matcher = Matcher(collection, mode, engine=engine)  # type: ignore[arg-type]
    assert list(matcher.match_source(open_source(folder / "queries"))) == expected  # closed meanwhile
    best = {query.query_id: query.matches[0].reference_id for query in expected}  # type: ignore[attr-defined]
    assert (best["mirrored"], best["pasted"]) == (COPY, OTHER)


def test_bytes_of_features_and_thumbnails_come_back() -> None:
    features = extract(cv2.imread(str(PHOTOS / "references" / f"{COPY}.jpg")), 200)
    back = features_from_bytes(features_to_bytes(features))
    assert back.frame == features.frame and len(back) == len(features) > 50
    np.testing.assert_array_equal(back.descriptors, features.descriptors)
    np.testing.assert_array_equal(back.keypoints, features.keypoints)
    assert len(features_to_bytes(features)) == 16 + 136 * len(features)
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(thumbnail_from_bytes(thumbnail_to_bytes(grey)), grey)
    for damaged in (b"", b"\0" * 16, features_to_bytes(features)[:-1], b"\1" * (16 + 136 * 5000)):
        with pytest.raises(MatchError):
            features_from_bytes(damaged)
    for damaged in (b"", b"\0\0\1\0", thumbnail_to_bytes(grey)[:-1], thumbnail_to_bytes(grey) + b"\0"):
        with pytest.raises(MatchError):
            thumbnail_from_bytes(damaged)


def test_history_changes_no_answer(engine: Engine, folder: Path, tmp_path: Path, references: References) -> None:
    """In pieces, in another order, with others added and removed, and replaced, and compacted: all the same."""
    photos = sorted((folder / "references").iterdir())
    random.Random(1).shuffle(photos)
    path = tmp_path / "refs.ct"
    for number, part in enumerate((photos[9:], photos[:9])):
        (tmp_path / "list.txt").write_text("\n".join(map(str, part)))
        engine.add_source(tmp_path / "list.txt", path)
        engine.add_source(folder / "queries", path)
        with Collection.open(path, write=True) as collection:
            collection.remove(["mirrored", "strange"] if number else ["mirrored", "strange", "pasted", "nothing"])
    swapped = tmp_path / f"{photos[0].stem}.jpg"
    shutil.copy(folder / "queries" / "strange.jpg", swapped)
    for picture in (swapped, photos[0]):
        engine.add_source(picture, path, replace=True)
    with Collection.open(path, write=True) as collection:
        collection.remove(["pasted", "nothing"])
        collection.compact()
        assert collection.check() == []
    assert answers(path, engine, folder) == answers(references, engine, folder)


def test_on_the_command_line_a_collection_is_as_good_as_its_pictures(folder: Path, tmp_path: Path) -> None:
    for name, references in (("a", "references"), ("b", "refs.ct")):
        done = run(
            *("match", folder / "queries", folder / references, "-o", tmp_path / f"{name}.csv", "--mode", "full"),
            *("--evidence", tmp_path / f"{name}.jsonl", "--report", tmp_path / f"{name}.html"),
        )
        assert "local index flat: " in done.stderr and " MiB" in done.stderr
        candidates = tmp_path / "candidates.csv"
        candidates.write_text(f"query_id,reference_id,score\nmirrored,{COPY},1\nstrange,blank,2\nnothing,{OTHER},3\n")
        place = folder / references
        run("verify", folder / "queries", place, "--pairs", candidates, "-o", tmp_path / f"{name}-verified.csv")
    for name in (".csv", ".jsonl", ".html", "-verified.csv"):
        assert (tmp_path / f"a{name}").read_bytes() == (tmp_path / f"b{name}").read_bytes() != b""
    inside = folder / "refs.ct" / "catalogue.sqlite"
    done = run("match", folder / "queries", folder / "refs.ct", "-o", inside, code=1)
    assert len(done.stderr.splitlines()) == 1 and "is read by this command" in done.stderr


@pytest.fixture
def some(folder: Path, tmp_path: Path) -> Path:
    """Six pictures, among them the copied ones."""
    pictures = tmp_path / "some"
    pictures.mkdir()
    for path in sorted((folder / "references").iterdir())[:5]:
        shutil.copy(path, pictures)
    for name in (COPY, OTHER):
        shutil.copy(PHOTOS / "references" / f"{name}.jpg", pictures)
    return pictures


def test_references_without_features(some: Path, folder: Path, tmp_path: Path, engine: Engine) -> None:
    """Views need none; verification is refused, or, by pairs, asks for those of its candidates; adding again brings them."""
    path = tmp_path / "refs.ct"
    assert engine.add_source(some, path, features=False).added == 6
    assert engine.add_source(some, path).unchanged == 6  # as the collection does
    found = answers(path, engine, folder, "views")
    assert found == [
        query for query in found if all(match.evidence.reference_size == (0, 0) for match in query.matches)
    ]
    assert all(Evidence.from_json(m.evidence.to_json()) == m.evidence for query in found for m in query.matches)
    expected = answers(some, engine, folder, "views")
    assert [[(m.reference_id, m.score) for m in q.matches] for q in found] == [
        [(m.reference_id, m.score) for m in q.matches] for q in expected
    ]
    with pytest.raises(MatchError, match=r"6 of 6 references have no features, the first is .*--features"):
        Matcher(path, engine=engine)
    one = sorted(some.iterdir())[0]
    result = engine.add_source(one, path, features=True, metadata={one.stem: {"owner": "me"}})
    assert (result.added, result.replaced, result.unchanged) == (0, 1, 0)
    with pytest.raises(MatchError, match="5 of 6 references have no features"):
        Matcher(path, "full", engine=engine)
    with Collection.open(path) as collection:
        only = References.of_collection(collection, only={one.stem})
        assert collection.find([one.stem])[one.stem].metadata == {"owner": "me"}
    pairs = [("pasted", one.stem)]
    verified = list(Matcher(only, engine=engine).verify_source(open_source(folder / "queries"), pairs))
    assert [match.reference_id for match in verified[0].matches] == [one.stem]
    result = engine.add_source(some, path)
    assert (result.added, result.replaced, result.unchanged) == (0, 5, 1)
    with Collection.open(path) as collection:
        assert collection.find([one.stem])[one.stem].metadata == {"owner": "me"} and collection.check() == []
    assert answers(path, engine, folder) == answers(some, engine, folder)
    with pytest.raises(CollectionError, match="keeps local features"):
        engine.add_source(some, path, features=False)


def test_what_does_not_go_together_is_refused(some: Path, folder: Path, tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "refs.ct"
    engine.add_source(some, path)
    other = Engine(small_bundle(tmp_path / "small"))
    with pytest.raises(CollectionError, match="another space"):
        Matcher(path, engine=other)
    with pytest.raises(CollectionError, match="another precision: int8, not float32"):
        Matcher(path, engine=Engine(precision="float32"))
    with Collection.open(path, write=True) as collection:
        rows = np.ones((1, collection.dimension), np.float32)
        form, data = collection.find([COPY])[COPY], dict(collection.blobs(FEATURES, [COPY]))[COPY]
        assert data is not None and set(form.blobs) == {FEATURES, THUMBNAIL}
        newer = {FEATURES: [data._replace(version=99)], THUMBNAIL: [data]}
        collection.add(["newer"], rows, blobs=newer)
    with pytest.raises(MatchError, match="1 of 7 references have features of another form, the first is 'newer'"):
        Matcher(path, engine=engine)
    with Collection.open(path, write=True) as collection:
        collection.replace(["newer"], rows, blobs={FEATURES: [data._replace(data=b"junk")], THUMBNAIL: [data]})
    with pytest.raises(CollectionError, match="the features of 'newer': 4 bytes are no local features"):
        Matcher(path, "full", engine=engine)
    with Collection.open(path, write=True) as collection:
        collection.remove(collection.ids)
    with pytest.raises(CollectionError, match="has none of the references"):
        Matcher(path, engine=engine)
    for mode in MODES:
        done = run("match", folder / "queries", path, "-o", tmp_path / "m.csv", "--mode", mode, code=1)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


def test_a_damaged_feature_is_named_and_never_served(some: Path, folder: Path, tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "refs.ct"
    engine.add_source(some, path)
    (segment,) = path.glob("blobs-*.segment")
    data = bytearray(segment.read_bytes())
    data[5000] ^= 1
    segment.write_bytes(data)
    with pytest.raises(CollectionError, match=r"the (features|thumbnail) of '.*' are damaged; see collection check"):
        answers(path, engine, folder)
    with Collection.open(path) as collection:
        assert len(collection.check()) == 1


def test_a_bundle_without_matching_files_says_so(some: Path, tmp_path: Path) -> None:
    engine, notes = Engine(small_bundle(tmp_path / "small")), list[str]()
    engine.add_source(some, tmp_path / "refs.ct")
    for mode in MODES:
        matcher = Matcher(tmp_path / "refs.ct", mode, engine=engine, announce=notes.append)  # type: ignore[arg-type]
        assert matcher.match([some / f"{COPY}.jpg"])[0][0].reference_id == COPY
    assert sum("no constants of matching" in note for note in notes) == 3


def test_other_constants_are_noticed(some: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "small")
    Engine(bundle).add_source(some, tmp_path / "refs.ct")
    table = json.loads(Bundle().matching_file("constants")[0].read_text())
    (tmp_path / "c.json").write_text(json.dumps(table | {"penalties": {"whole": 0, "turn": 1, "region": 1, "crop": 1}}))
    notes: list[str] = []
    Matcher(tmp_path / "refs.ct", engine=Engine(bundle), announce=notes.append)
    assert not [note for note in notes if "have changed" in note]
    set_matching(bundle, {"constants": tmp_path / "c.json"})
    Matcher(tmp_path / "refs.ct", engine=Engine(bundle), announce=notes.append)
    assert len([note for note in notes if "have changed" in note]) == 1
    Engine(bundle).add_source(some, tmp_path / "refs.ct")
    notes.clear()
    Matcher(tmp_path / "refs.ct", engine=Engine(bundle), announce=notes.append)
    assert notes == []


def number_of(path: Path) -> int:
    """How many references there are; 0 while there is no collection yet."""
    try:
        with Collection.open(path) as collection:
            return len(collection)
    except CollectionError:
        return 0


def test_killed_while_adding(tmp_path: Path, engine: Engine) -> None:
    """What is there is whole and can be matched; the same command goes on."""
    photos, path = tmp_path / "photos", tmp_path / "refs.ct"
    photos.mkdir()
    for number, file in enumerate(sorted((PHOTOS / "references").glob("*.jpg"))[:120]):
        shutil.copy(file, photos / f"{number:03d}.jpg")
    for _ in range(2):
        before = number_of(path)
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "copytrace"), "collection", "add", str(path), str(photos)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and number_of(path) <= before:
            time.sleep(0.02)
        process.kill()
        process.wait()
        with Collection.open(path, write=True) as collection:
            assert collection.check() == [] and min(before + 1, 120) <= len(
                collection
            )  # slow to look, and all is there
            kept = collection.ids
        for name in kept[:: max(1, len(kept) // 3)]:
            best = Matcher(path, engine=engine).match([photos / f"{name}.jpg"])[0][0]
            assert best.reference_id == name and best.probability > 0.9


@pytest.mark.parametrize(("flat_rows", "builds"), [(recall.FLAT_ROWS, 1), (700, 1), (2000, 2)])
def test_a_matcher_follows_its_collection(
    flat_rows: int,
    builds: int,
    some: Path,
    folder: Path,
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After others were added and removed it answers as a new one does; its index is built anew only where the rule, which
    goes by the number of features, wants another kind."""
    monkeypatch.setattr(recall, "FLAT_ROWS", flat_rows)
    path, built = tmp_path / "refs.ct", list[str]()
    engine.add_source(some, path)
    queries = open_source(folder / "queries")
    with Collection.open(path) as reader:
        matcher = Matcher(reader, "full", engine=engine, announce=built.append)
        engine.add_source(folder / "references", path)
        with Collection.open(path, write=True) as collection:
            collection.remove([COPY, "tiny"])
            left = len(collection)
        assert matcher.match([some / f"{COPY}.jpg"])[0][0].reference_id == COPY  # as it was when the matcher was made
        matcher.update(reader)
        assert len(matcher.references) == left
        assert list(matcher.match_source(queries)) == answers(path, engine, folder)
        engine.add_source(some, path)
        with Collection.open(path, write=True) as collection:
            collection.remove([name for name in collection.ids if not (some / f"{name}.jpg").exists()][:14])
        matcher.update(reader)
        assert list(matcher.match_source(queries)) == answers(path, engine, folder)
    assert len(built) >= builds if builds > 1 else len(built) == 1
