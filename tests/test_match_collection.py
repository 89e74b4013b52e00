"""The second look at the references of a collection: the same answers as with the pictures themselves."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from copytrace.engine import Collection, Engine, MatchError
from copytrace.engine.match.features import extract
from copytrace.engine.match.stored import (
    features_from_bytes,
    features_to_bytes,
    thumbnail_from_bytes,
    thumbnail_to_bytes,
)
from copytrace.engine.matching import Matcher
from copytrace.engine.read import open_source
from copytrace.engine.references import References

from conftest import PHOTOS

MODES = ("views", "verify", "full")
COPY, OTHER = "R0004", "R0060"


def commandline(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "copytrace"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done


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
    for mode in ("verify", "full"):
        assert answers(path, engine, folder, mode) == answers(references, engine, folder, mode)
