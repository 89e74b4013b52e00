"""``copytrace collection`` and what joins collections with images, descriptor files and search."""

import csv
import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from copytrace.engine import (
    BadImageError,
    Collection,
    CollectionError,
    Engine,
    export_descriptors,
    import_descriptors,
    open_descriptors,
    search,
)
from copytrace.engine.store import write_descriptors

from conftest import PHOTOS
from in_process import run

DIMENSION = 256


def run_json(*arguments: object, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(run(*arguments, "--json", code=code).stdout)
    return found


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """r.h5, q.h5 and refs.ct of the package's photographs; none of them is changed."""
    folder = tmp_path_factory.mktemp("files")
    engine.embed_source(PHOTOS / "references", folder / "r.h5")
    engine.embed_source(PHOTOS / "queries", folder / "q.h5", role="query")
    engine.add_source(PHOTOS / "references", folder / "refs.ct", features=False)
    return folder


def test_the_verbs_one_after_another(photos: Path, tmp_path: Path) -> None:
    refs = tmp_path / "refs.ct"
    first = run_json("collection", "add", refs, photos)
    assert (first["images"], first["added"], first["unchanged"], first["failed"]) == (40, 40, 0, [])
    assert run_json("collection", "add", refs, photos)["unchanged"] == 40
    listed = run_json("collection", "list", refs)
    assert listed["count"] == 40 and [r["id"] for r in listed["references"]] == sorted(p.stem for p in photos.iterdir())
    some = run_json("collection", "list", refs, "--after", "R0003", "--limit", 2)["references"]
    assert [r["id"] for r in some] == ["R0004", "R0005"] and some[0]["size"] == (photos / "R0004.jpg").stat().st_size
    assert run("collection", "list", refs).stdout.splitlines()[-1] == f"40 references: {refs}"
    (tmp_path / "ids.txt").write_text("R0002\nR0003\n")
    removed = run_json("collection", "remove", refs, "R0001", "--from", tmp_path / "ids.txt")
    assert (removed["removed"], removed["references"]) == (3, 37)
    assert run_json("collection", "compact", refs)["freed_bytes"] > 3 * (DIMENSION * 4 + 20_000)  # features too
    assert run_json("collection", "check", refs) == {"collection": str(refs), "valid": True, "problems": []}
    assert run_json("collection", "export", refs, "-o", tmp_path / "e.h5")["references"] == 37
    assert run_json("collection", "import", tmp_path / "b.ct", tmp_path / "e.h5")["added"] == 37
    assert run_json("collection", "backup", refs, tmp_path / "copy.ct")["references"] == 37
    for verb in ("add", "remove", "list", "check", "export", "import", "backup", "compact"):
        assert verb in run("collection", "--help").stdout and verb in run("collection", verb, "--help").stdout


def test_search_takes_a_collection_and_finds_the_same(files: Path, tmp_path: Path) -> None:
    for options in ([], ["--k", 3], ["--max-distance", 0.9], ["--top", 100]):
        for name, references in (("h5.csv", "r.h5"), ("ct.csv", "refs.ct")):
            run("search", files / "q.h5", files / references, "-o", tmp_path / name, *options)
        assert (tmp_path / "h5.csv").read_bytes() == (tmp_path / "ct.csv").read_bytes()
    with Collection.open(files / "refs.ct") as collection:
        found = search(files / "q.h5", collection, k=1)
    assert found.origin["bundle"] and list(found) == list(search(files / "q.h5", files / "r.h5", k=1))
    assert "is no collection" in run("search", files / "q.h5", PHOTOS, "-o", tmp_path / "p.csv", code=1).stderr
    inside = files / "refs.ct" / "catalogue.sqlite"
    assert "is not overwritten" in run("search", files / "q.h5", files / "refs.ct", "-o", inside, code=1).stderr


def test_added_in_pieces_and_with_detours_it_is_the_same(files: Path, tmp_path: Path, engine: Engine) -> None:
    photos = sorted((PHOTOS / "references").iterdir())
    for number, part in enumerate((photos[150:], photos[:7], photos[7:150])):
        (tmp_path / f"{number}.txt").write_text("\n".join(map(str, part)))
        engine.add_source(tmp_path / f"{number}.txt", tmp_path / "refs.ct", features=False)
        engine.add_source(PHOTOS / "queries", tmp_path / "refs.ct")
        with Collection.open(tmp_path / "refs.ct", write=True) as collection:
            collection.remove([file.stem for file in (PHOTOS / "queries").iterdir()])
    with Collection.open(tmp_path / "refs.ct") as pieces, Collection.open(files / "refs.ct") as once:
        assert pieces.contents()[0] == once.contents()[0]
        assert pieces.descriptors()[:].tobytes() == once.descriptors()[:].tobytes()
        assert list(search(files / "q.h5", pieces)) == list(search(files / "q.h5", once))


def test_an_interrupted_add_goes_on(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    photos = sorted((PHOTOS / "references").glob("*.jpg"))
    for i in range(900):
        shutil.copy(photos[i % len(photos)], many / f"{i:05d}.jpg")
    refs = tmp_path / "refs.ct"
    often = "from copytrace.engine import gathering; gathering.COMMIT_SECONDS = 0.1"
    code = f"{often}; from copytrace.engine.cli import main; main()"
    command = [sys.executable, "-c", code, "collection", "add", "--no-features", "--threads", "1", str(refs), str(many)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    kept = 0
    while not kept and time.monotonic() < deadline:
        with suppress(CollectionError), Collection.open(refs) as collection:
            kept = len(collection)
        time.sleep(0.02)
    process.terminate()
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command again" in message and "Traceback" not in message
    with Collection.open(refs) as collection:
        kept = len(collection)
    assert 0 < kept < 900
    result = run_json("collection", "add", refs, many)
    assert (result["unchanged"], result["added"]) == (kept, 900 - kept)


def test_other_bytes_under_an_id_need_replace(photos: Path, tmp_path: Path, engine: Engine) -> None:
    refs = tmp_path / "refs.ct"
    engine.add_source(photos, refs, metadata={"R0003": {"owner": "me"}})
    shutil.copy(photos / "R0001.jpg", photos / "R0003.jpg")
    shutil.copy(photos / "R0001.jpg", photos / "new.jpg")
    result = run("collection", "add", refs, photos, code=1)
    assert result.stderr.startswith("error: ") and "'R0003' is there with other bytes" in result.stderr
    with Collection.open(refs) as collection:
        assert len(collection) == 40  # the new image is not added either
    done = run_json("collection", "add", refs, photos, "--replace")
    assert (done["added"], done["replaced"], done["unchanged"]) == (1, 1, 39)
    with Collection.open(refs) as collection:
        references, descriptors = collection.contents()
        rows = dict(zip(descriptors.ids, descriptors[:], strict=True))
        assert np.array_equal(rows["R0003"], rows["R0001"]) and np.array_equal(rows["new"], rows["R0001"])
        mine = {reference.id: reference for reference in references}
        assert mine["R0003"].metadata == {"owner": "me"} and mine["R0003"].sha256 == mine["R0001"].sha256


def test_metadata_from_a_file(photos: Path, tmp_path: Path) -> None:
    refs, table = tmp_path / "refs.ct", tmp_path / "m.csv"
    shutil.move(photos / "R0000.jpg", photos / 'it\'s ünï "q".jpg')
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "owner"], ['it\'s ünï "q"', "me"], ["R0005", "you"], ["other", "x"]])
    result = run("collection", "add", refs, photos, "--metadata", table, "--json")
    assert "metadata of 1 ids that are no image" in result.stderr and "'other'" in result.stderr
    assert json.loads(result.stdout)["unused_metadata"] == ["other"]
    (tmp_path / "m.jsonl").write_text('{"id": "R0005", "owner": ["they"]}\n')
    assert run_json("collection", "add", refs, photos, "--metadata", tmp_path / "m.jsonl")["unchanged"] == 40
    found = {r["id"]: r["metadata"] for r in run_json("collection", "list", refs)["references"]}
    assert found['it\'s ünï "q"'] == {"owner": "me"} and found["R0005"] == {"owner": ["they"]} and found["R0006"] == {}
    table.write_text("owner\nme\n")
    assert "column id" in run("collection", "add", refs, photos, "--metadata", table, code=1).stderr


def test_bad_images_are_listed(photos: Path, tmp_path: Path, engine: Engine) -> None:
    refs = tmp_path / "refs.ct"
    (photos / "R0007.jpg").write_bytes(b"broken")
    (photos / "R0008.jpg").write_bytes(b"")
    result = run_json("collection", "add", refs, photos)
    assert result["added"] == 38 and [bad["id"] for bad in result["failed"]] == ["R0007", "R0008"]
    with pytest.raises(BadImageError, match="R0007"):
        engine.add_source(photos, refs, on_error="fail")
    shutil.copy(photos / "R0001.jpg", photos / "R0007.jpg")
    assert engine.add_source(photos, refs).added == 1
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.jpg").write_bytes(b"x")
    assert "none of the 1 images" in run("collection", "add", tmp_path / "bad.ct", bad, code=1).stderr
    with Collection.open(tmp_path / "bad.ct") as collection:
        assert len(collection) == 0


def test_damaged_images_are_kept_or_left_out_and_listed(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "R0009.jpg").read_bytes()
    middle = len(whole) // 2
    (photos / "R0009.jpg").write_bytes(whole[:middle] + bytes(512) + whole[middle + 512 :])
    (photos / "note.txt").write_text("no image")
    kept = run_json("collection", "add", tmp_path / "kept.ct", photos)
    assert kept["added"] == 40 and [bad["id"] for bad in kept["damaged"]] == ["R0009"] and sum(kept["ignored"].values())
    left = run_json("collection", "add", tmp_path / "left.ct", photos, "--damaged", "skip")
    assert left["added"] == 39 and [bad["id"] for bad in left["failed"]] == ["R0009"]
    assert "R0009: damaged" in run("collection", "add", tmp_path / "text.ct", photos).stdout


def test_a_collection_of_another_kind_is_refused(files: Path, photos: Path, tmp_path: Path, engine: Engine) -> None:
    refs = tmp_path / "refs.ct"
    with open_descriptors(files / "r.h5") as file:
        attributes = {name: str(value) for name, value in file.attributes.items()}
    deciding = next(name for name in ("space", "bundle") if name in attributes)
    for changed, word in (
        ({deciding: "f" * 64}, f"another {deciding}"),
        ({"precision": "float32"}, "another precision"),
    ):
        shutil.rmtree(refs, ignore_errors=True)
        Collection.create(refs, DIMENSION, attributes | changed).close()
        with pytest.raises(CollectionError, match=word):
            engine.add_source(photos, refs)
        with pytest.raises(CollectionError, match=word):
            import_descriptors(files / "r.h5", refs)
    assert run_json("collection", "add", refs, photos)["added"] == 40  # by command, with the collection's own precision
    assert run("collection", "add", refs, photos, "--precision", "int8", code=1).stderr.count("another precision") == 1
    shutil.rmtree(refs)
    Collection.create(refs, 8, attributes).close()
    with pytest.raises(CollectionError, match="have 8 numbers, not 256"):
        engine.add_source(photos, refs)
    with pytest.raises(CollectionError, match="holds queries"):
        import_descriptors(files / "q.h5", tmp_path / "new.ct")
    assert not (tmp_path / "new.ct").exists()


def test_export_and_import_keep_everything_but_views(files: Path, tmp_path: Path) -> None:
    with Collection.open(files / "refs.ct") as collection:
        collection.backup(tmp_path / "a.ct")
    with Collection.open(tmp_path / "a.ct", write=True) as a:
        a.set_metadata({"R0001": {"ü": [1, None]}})
        a.add(["other"], np.ones((1, DIMENSION)))
        assert export_descriptors(a, tmp_path / "e.h5") == 201
        imported = import_descriptors(tmp_path / "e.h5", tmp_path / "b.ct")
        assert (imported.rows, imported.added) == (201, 201)
        with Collection.open(tmp_path / "b.ct") as b:
            assert a.contents()[0] == b.contents()[0]
            assert a.descriptors()[:].tobytes() == b.descriptors()[:].tobytes()
    again = import_descriptors(tmp_path / "e.h5", tmp_path / "b.ct")
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 201)
    with Collection.open(tmp_path / "b.ct") as b, open_descriptors(tmp_path / "e.h5") as file:
        rows, attributes = file.descriptors[:], {name: str(value) for name, value in file.attributes.items()}
        rows[3] = 0.5
        write_descriptors(tmp_path / "other.h5", [(file.ids, rows)], rows.shape, [], attributes)
        with pytest.raises(CollectionError, match="another descriptor"):
            import_descriptors(tmp_path / "other.h5", b.path)
        assert import_descriptors(tmp_path / "other.h5", b.path, replace=True).replaced == 1
        assert b.find(["R0001"])["R0001"].metadata == {"ü": [1, None]}  # the file has none
        assert b.descriptors()[3:4].tobytes() == rows[3].tobytes()
    with h5py.File(tmp_path / "e.h5") as file, h5py.File(files / "r.h5") as made:
        assert file["ids"].asstr()[:].tolist()[:200] == made["ids"].asstr()[:].tolist()
        assert file["descriptors"][4:200].tobytes() == made["descriptors"][4:].tobytes()
        assert file.attrs["role"] == "reference"


def test_local_features_go_along(photos: Path, tmp_path: Path, engine: Engine) -> None:
    """Through export and import, and in a backup; check looks at them too."""
    some = [*sorted(photos.iterdir())[:5], tmp_path / "blank.png"]
    Image.new("L", (90, 90), 128).save(some[-1])
    (tmp_path / "some.txt").write_text("\n".join(map(str, some)))
    engine.add_source(tmp_path / "some.txt", tmp_path / "a.ct")
    with Collection.open(tmp_path / "a.ct", write=True) as a:
        a.add(["bare"], np.ones((1, DIMENSION)))
        a.backup(tmp_path / "b.ct")
        export_descriptors(a, tmp_path / "e.h5")
        import_descriptors(tmp_path / "e.h5", tmp_path / "c.ct")
        for name in ("b.ct", "c.ct"):
            with Collection.open(tmp_path / name) as other:
                assert other.contents()[0] == a.contents()[0] and other.check() == [] and other.properties["features"]
                for kind in ("features", "thumbnail"):
                    blobs = list(other.blobs(kind))
                    assert blobs == list(a.blobs(kind)) and sum(blob is None for _, blob in blobs) == 1
    with (
        h5py.File(tmp_path / "e.h5") as file,
        h5py.File(tmp_path / "bad.h5", "w") as bad,
        h5py.File(tmp_path / "newer.h5", "w") as newer,
    ):
        for copy in (bad, newer):
            for name in file:
                file.copy(name, copy)
            copy.attrs.update(file.attrs)
        bad["features"][2] = np.arange(9, dtype=np.uint8)
        newer["thumbnail"].attrs["version"] = 99
    for name, word in (("bad", "9 bytes are no local features"), ("newer", "thumbnail are of form 99")):
        assert word in run("collection", "import", tmp_path / "d.ct", tmp_path / f"{name}.h5", code=1).stderr
        assert not (tmp_path / "d.ct").exists()


def test_files_of_other_writers_are_imported_or_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["descriptors"] = rows
        file["ids"] = np.arange(5)
    assert import_descriptors(tmp_path / "plain.h5", tmp_path / "p.ct").added == 5
    with Collection.open(tmp_path / "p.ct") as collection:
        assert collection.ids == list("01234") and collection.attributes == {}
    run("collection", "add", tmp_path / "p.ct", PHOTOS / "references", code=1)
    ids = list("abcde")
    bad = rows.copy()
    bad[4, 3] = np.nan
    cases = [
        ({"parts": [(ids, bad)]}, "'e' has NaN"),
        ({"parts": [(["a", "b", "a", "c", "d"], rows)]}, "an id is there twice"),
        ({"parts": [(["a", "", "b", "c", "d"], rows)]}, "cannot be an id"),
        ({"parts": [(ids, rows)], "columns": {"metadata": ["[1]"] * 5}}, "no JSON object"),
        ({"parts": [(ids, rows)], "columns": {"sha256": ["0"] * 5}}, "64 hexadecimal digits"),
    ]
    for case, word in cases:
        write_descriptors(tmp_path / "x.h5", case["parts"], (5, 12), [], {}, columns=case.get("columns"))
        with pytest.raises(CollectionError, match=word):
            import_descriptors(tmp_path / "x.h5", tmp_path / "x.ct")
        if (tmp_path / "x.ct").exists():
            with Collection.open(tmp_path / "x.ct") as collection:
                assert len(collection) == 0


def test_wrong_input_is_one_line(files: Path, photos: Path, tmp_path: Path) -> None:
    refs = files / "refs.ct"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("text")
    before = sorted(path.name for path in tmp_path.iterdir())
    for case in (
        ("list", tmp_path / "missing"),
        ("check", tmp_path / "mine"),
        ("check", files / "r.h5"),
        ("add", tmp_path / "new.ct", tmp_path / "missing"),
        ("add", tmp_path / "mine", photos),
        ("add", tmp_path / "no" / "refs.ct", photos),
        ("add", files / "r.h5", photos),
        ("add", refs, photos, "--bundle", tmp_path),
        ("add", refs, photos, "--metadata", tmp_path / "missing"),
        ("remove", refs, "nobody"),
        ("remove", refs, "--from", tmp_path / "missing"),
        ("remove", refs, "--from", files / "r.h5"),
        ("export", refs, "-o", tmp_path / "no" / "x.h5"),
        ("export", refs, "-o", tmp_path / "mine" / "text"),
        ("export", refs, "-o", refs / "descriptors-000001.segment"),
        ("import", tmp_path / "new.ct", tmp_path / "mine" / "text"),
        ("import", tmp_path / "new.ct", refs),
        ("backup", refs, tmp_path / "mine"),
        ("backup", refs, refs),
        ("backup", refs, files / "r.h5"),
    ):
        result = run("collection", *case, code=1)
        assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1 and not result.stdout, case
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for case in (("remove", refs), ("add", refs), ("list", refs, "--limit", 0), ("nonsense",)):
        run("collection", *case, code=2)


def test_two_that_would_change_one_collection(files: Path, photos: Path, tmp_path: Path) -> None:
    refs = tmp_path / "refs.ct"
    with Collection.open(files / "refs.ct") as collection:
        collection.backup(refs)
    with Collection.open(refs, write=True):
        for case in (("add", refs, photos), ("remove", refs, "R0001"), ("compact", refs)):
            assert "is being changed by process" in run("collection", *case, code=1).stderr
        run("collection", "list", refs)
        run("collection", "check", refs)
        run("search", files / "q.h5", refs, "-o", tmp_path / "p.csv")
    run("collection", "remove", refs, "R0001")
    with (refs / "descriptors-000001.segment").open("r+b") as file:
        file.seek(64 + 4 * DIMENSION * 20)
        file.write(b"\xff\xff")
    result = run("collection", "check", refs, code=1)
    assert result.stdout.splitlines() == [f"{refs}: the descriptor of 'R0020' is damaged"]
    assert run_json("collection", "check", refs, code=1)["valid"] is False
    assert "R0020" in run("search", files / "q.h5", refs, "-o", tmp_path / "q.csv", code=1).stderr
    assert "R0020" in run("collection", "export", refs, "-o", tmp_path / "e.h5", code=1).stderr
    assert not (tmp_path / "q.csv").exists() and not (tmp_path / "e.h5").exists()


def test_a_precision_of_a_later_version_is_one_line(tmp_path: Path) -> None:
    """Not taken for the default, and the same by every verb."""
    refs = tmp_path / "refs.ct"
    Collection.create(refs, 8, {"space": "s", "precision": "int2", "output": "projected"}).close()
    queries = PHOTOS / "queries"
    for arguments in (
        ("collection", "add", refs, queries),
        ("match", queries, refs, "-o", tmp_path / "m.csv"),
        ("serve", refs, "--no-auth"),
    ):
        line = run(*arguments, code=1).stderr
        assert line.count("\n") == 1 and "made with the precision 'int2', which this version does not know" in line
