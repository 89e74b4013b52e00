"""Collections: the same answers whatever way one was made, views and blobs, one writer, many readers, formats."""

import json
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Collection, CollectionError, read_metadata
from copytrace.engine.collection import Blob, Keys, change, schema

ODD_IDS = [
    "a b",
    "it's",
    'say "x"',
    "ünïcödé-図",
    "e\u0301",
    "line\nbreak",
    "tab\t",
    " ",
    "%s; DROP TABLE blob",
    "💥",
    "-x",
]
DIMENSION = 24


def rows(ids: list[str], seed: int = 0) -> np.ndarray:
    """A row for each id that depends on the id alone."""
    made = [np.random.default_rng([seed, *name.encode()]).standard_normal(DIMENSION) for name in ids]
    return np.asarray(made, np.float32).reshape(-1, DIMENSION)


def contents(collection: Collection) -> list[tuple[object, ...]]:
    references, descriptors = collection.contents()
    values = descriptors[:]
    assert descriptors.ids == [reference.id for reference in references] == collection.ids
    return [(r.id, r.sha256, r.size, r.metadata, row.tobytes()) for r, row in zip(references, values, strict=True)]


def add(collection: Collection, ids: list[str], **more: object) -> None:
    digests = [f"{len(name):064x}" for name in ids]
    metadata = [{"n": name, "list": [1, None, "ü"]} for name in ids]
    collection.add(ids, rows(ids), sha256=digests, sizes=[len(name) for name in ids], metadata=metadata, **more)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with Collection.create(tmp_path / "refs.ct", DIMENSION, {"space": "s"}) as made:
        yield made


def test_one_made_at_once_in_pieces_or_with_detours_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "SEGMENT_BYTES", 40 * DIMENSION * 4)  # many segments
    monkeypatch.setattr(change, "WRITE_BYTES", 11 * DIMENSION * 4)
    ids = [f"R{i:04d}" for i in range(300)] + ODD_IDS
    others = [f"X{i}" for i in range(200)]
    with Collection.create(tmp_path / "once.ct", DIMENSION) as once:
        add(once, ids)
        expected = contents(once)
    assert [row[0] for row in expected] == sorted(ids)
    with Collection.create(tmp_path / "pieces.ct", DIMENSION, auto_compact=False) as pieces:
        for start in range(0, len(ids), 7):
            add(pieces, ids[::-1][start : start + 7])
            add(pieces, others[start : start + 7])
        pieces.add(others[:20], rows(others[:20], 1), replace=True)
        pieces.remove(ids[3:90])
        pieces.remove(others)
        add(pieces, ids[3:90])
        assert contents(pieces) == expected and pieces.dead_bytes > 0
        before = sum(path.stat().st_size for path in pieces.path.glob("*.segment"))
        assert pieces.compact() > 0 and pieces.dead_bytes == 0
        assert sum(path.stat().st_size for path in pieces.path.glob("*.segment")) < before
        assert contents(pieces) == expected and pieces.check() == []
    with Collection.open(tmp_path / "pieces.ct") as again:
        assert contents(again) == expected and len(again) == len(ids) and "it's" in again and "its" not in again


def test_compacting_several_segments_of_which_the_last_has_room(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "SEGMENT_BYTES", 64 + 100 * DIMENSION * 4)
    monkeypatch.setattr(change, "WRITE_BYTES", 10 * DIMENSION * 4)
    ids = [f"{i:03d}" for i in range(220)]
    blobs = {"features": [Blob(1, name.encode() * 40) for name in ids]}
    add(collection, ids, blobs=blobs)
    collection.remove(ids[::3])
    kept = [name for name in ids if name not in ids[::3]]
    assert collection.compact() > 0 and collection.dead_bytes == 0 and collection.check() == []
    assert np.array_equal(collection.descriptors()[:], rows(kept))
    assert list(collection.blobs("features")) == [(name, Blob(1, name.encode() * 40)) for name in kept]


def test_what_was_removed_leaves_the_folder(collection: Collection) -> None:
    secret = np.full((1, DIMENSION), 1.2345, np.float32)
    collection.add(
        ["secret-id"], secret, metadata=[{"owner": "secret-owner"}], blobs={"features": [Blob(1, b"secret-blob")]}
    )
    add(collection, ["a", "b", "c"])
    collection.remove(["secret-id"])
    collection.compact()
    left = b"".join(path.read_bytes() for path in sorted(collection.path.iterdir()))
    for part in (b"secret-id", b"secret-owner", b"secret-blob", secret.tobytes()):
        assert part not in left
    assert collection.check() == []


def test_compaction_by_itself_once_more_is_dead_than_alive(collection: Collection) -> None:
    ids = [f"{i:03d}" for i in range(100)]
    add(collection, ids)
    collection.remove(ids[:50])
    assert collection.dead_bytes == 50 * DIMENSION * 4
    collection.remove(ids[50:51])
    assert collection.dead_bytes == 0 and collection.ids == ids[51:] and collection.check() == []
    collection.remove(ids[51:])
    assert len(collection) == 0 and contents(collection) == [] and collection.check() == []
    assert not list(collection.path.glob("*.segment"))
    add(collection, ids)
    assert collection.ids == ids


def test_views_and_blobs(collection: Collection) -> None:
    three = np.stack([rows(["a", "b"], seed) for seed in range(3)], axis=1)
    thumbnails = [Blob(2, b"\0" * 10), None]
    views = ["crop-1", "whole", "crop-2"]
    features = [Blob(1, b""), Blob(7, b"x")]
    collection.add(["b", "a"], three[::-1], views=views, blobs={"thumbnail": thumbnails, "features": features})
    collection.add(["c"], rows(["c"]))
    assert np.array_equal(collection.descriptors()[:], np.concatenate([three[:, 1], rows(["c"])]))
    assert np.array_equal(collection.descriptors("crop-2")[:], three[:, 2])
    everything = collection.descriptors(None)
    assert everything.ids == ["a"] * 3 + ["b"] * 3 + ["c"] and everything.views == views * 2 + ["whole"]
    assert np.array_equal(everything.take(np.array([6, 4, 0]))[1:], np.stack([three[1, 1], three[0, 0]]))
    assert list(collection.blobs("thumbnail")) == [("a", None), ("b", Blob(2, b"\0" * 10)), ("c", None)]
    assert list(collection.blobs("features", ["b", "a"])) == [("b", Blob(1, b"")), ("a", Blob(7, b"x"))]
    with pytest.raises(CollectionError, match="no 'z'"):
        list(collection.blobs("features", ["a", "z"]))
    assert collection.find(["b"])["b"].blobs == ("features", "thumbnail")
    collection.remove(["a"])
    collection.compact()
    assert list(collection.blobs("features")) == [("b", Blob(1, b"")), ("c", None)] and collection.check() == []
    collection.replace(["b"], rows(["b"]))
    assert list(collection.blobs("features", ["b"])) == [("b", None)] and collection.find(["b"])["b"].views == (
        "whole",
    )


def test_large_blobs_go_to_segments_of_their_own(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr(change, "WRITE_BYTES", 300)
    ids = [f"{i}" for i in range(9)]
    blobs = [Blob(1, bytes([i]) * (150 * i)) for i in range(9)]
    collection.add(ids, rows(ids), blobs={"features": blobs})
    collection.remove(["3", "5"])
    collection.compact()
    assert list(collection.blobs("features")) == [(str(i), blobs[i]) for i in range(9) if i not in (3, 5)]
    assert len(list(collection.path.glob("blobs-*"))) > 3 and collection.check() == []


def test_what_cannot_be_added_changes_nothing(collection: Collection) -> None:
    add(collection, ["a", "b"])
    expected = contents(collection)
    one = rows(["x"])
    wrong: list[tuple[type[Exception], object, dict[str, object]]] = [
        (CollectionError, ["a"], {}),
        (CollectionError, [""], {}),
        (CollectionError, ["x\0y"], {}),
        (CollectionError, ["\udcff"], {}),
        (TypeError, [5], {}),
        (ValueError, ["x"], {"sha256": ["00"]}),
        (ValueError, ["x"], {"sha256": []}),
        (ValueError, ["x"], {"sizes": [-1]}),
        (ValueError, ["x"], {"sizes": [1.5]}),
        (CollectionError, ["x"], {"metadata": [{"a": float("nan")}]}),
        (CollectionError, ["x"], {"metadata": [{"a": object()}]}),
        (CollectionError, ["x"], {"metadata": ["text"]}),
        (ValueError, ["x"], {"views": ["crop"]}),
        (ValueError, ["x"], {"views": ["whole", "a,b"]}),
        (CollectionError, ["x"], {"views": ["whole", "crop"]}),
        (ValueError, ["x"], {"blobs": {"a b": [Blob(1, b"")]}}),
        (TypeError, ["x"], {"blobs": {"features": [(1, "text")]}}),
    ]
    for error, ids, more in wrong:
        with pytest.raises(error):
            collection.add(ids, one, **more)
    shapes = (np.zeros((1, DIMENSION + 1)), np.zeros((2, DIMENSION)), np.zeros(DIMENSION))
    for bad in (np.full((1, DIMENSION), np.nan), np.full((1, DIMENSION), 1e300), *shapes):
        with pytest.raises(CollectionError):
            collection.add(["x"], bad)
    with pytest.raises(ValueError, match="numbers"):
        collection.add(["x"], np.full((1, DIMENSION), "a"))
    with pytest.raises(CollectionError, match="twice"):
        collection.add(["x", "x"], rows(["x", "x"]))
    with pytest.raises(CollectionError, match="no 'x'"):
        collection.remove(["a", "x"])
    with pytest.raises(CollectionError, match="no 'x'"):
        collection.set_metadata({"a": {}, "x": {}})
    with pytest.raises(ValueError, match="cannot be changed"):
        collection.set_properties(dimension=3)
    assert contents(collection) == expected and collection.check() == []


def test_metadata_and_properties(collection: Collection) -> None:
    add(collection, ODD_IDS)
    collection.set_metadata({"it's": {"new": True}, "💥": {}})
    assert collection.find(["it's"])["it's"].metadata == {"new": True} and collection.check() == []
    collection.set_properties(thresholds={"match": 0.9, "review": 0.5})
    assert collection.properties["thresholds"] == {"match": 0.9, "review": 0.5}
    with pytest.raises(CollectionError):
        collection.set_properties(thresholds={1, 2})
    paged, after = [], None
    while page := collection.references(after, 3):
        paged += [reference.id for reference in page]
        after = page[-1].id
    assert paged == sorted(ODD_IDS)


def test_one_writer_and_many_readers(collection: Collection) -> None:
    add(collection, ["a"])
    with pytest.raises(CollectionError, match=r"is being changed by process \d+"):
        Collection.open(collection.path, write=True)
    with Collection.open(collection.path) as reader, Collection.open(collection.path) as second:
        for attempt in (lambda: add(reader, ["b"]), lambda: reader.remove(["a"]), reader.compact):
            with pytest.raises(CollectionError, match="not open for changes"):
                attempt()
        add(collection, ["b"])
        assert reader.ids == second.ids == ["a", "b"]
        kept = reader.descriptors()
        collection.remove(["a", "b"])
        assert reader.ids == [] and np.array_equal(kept[:], rows(["a", "b"]))  # what was opened stays what it was
    collection.close()
    with Collection.open(collection.path, write=True) as again:
        add(again, ["c"])
    with pytest.raises(CollectionError, match="already"):
        Collection.create(collection.path, DIMENSION)


def _write_for_a_while(path: Path, stop: "multiprocessing.synchronize.Event") -> None:
    with Collection.open(path, write=True) as collection:
        turn = 0
        while not stop.is_set():
            ids = [f"{turn % 5}-{i}" for i in range(20)]
            add(collection, ids, replace=True)
            if turn % 3 == 2:
                collection.remove(ids)
                collection.compact()
            turn += 1


def test_readers_see_whole_moments_while_another_program_writes(collection: Collection) -> None:
    collection.close()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=_write_for_a_while, args=(collection.path, stop))
    writer.start()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with Collection.open(collection.path) as reader:
                for _ in range(60):
                    moment = contents(reader)
                    assert len(moment) % 20 == 0
                    assert all(row[-1] == rows([str(row[0])]).tobytes() for row in moment)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
        writer.join()
    assert failures == [] and writer.exitcode == 0
    with Collection.open(collection.path) as reader:
        assert reader.check() == []


def test_threads_share_one_open_collection(collection: Collection) -> None:
    def work(number: int) -> None:
        for i in range(8):
            add(collection, [f"{number}-{i}-{j}" for j in range(3)])
            collection.remove([f"{number}-{i}-0"])
            assert f"{number}-{i}-1" in collection.descriptors().ids

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collection.ids == sorted(f"{n}-{i}-{j}" for n in range(4) for i in range(8) for j in (1, 2))
    assert collection.check() == []


def test_a_live_collection_is_backed_up_whole(collection: Collection, tmp_path: Path) -> None:
    add(collection, ODD_IDS)
    collection.remove(["a b"])
    expected = contents(collection)
    with Collection.open(collection.path) as reader:
        reader.backup(tmp_path / "copy.ct")
        for place in (tmp_path / "copy.ct", collection.path, collection.path / "inside", tmp_path / "no" / "x.ct"):
            with pytest.raises(CollectionError):
                reader.backup(place)
    assert not (collection.path / "inside").exists()
    add(collection, ["later"])
    with Collection.open(tmp_path / "copy.ct", write=True) as copy:
        assert contents(copy) == expected and copy.check() == []
        add(copy, ["later"])
        assert contents(copy) == contents(collection)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    with pytest.raises(CollectionError, match=r"mine\.txt"):
        collection.backup(tmp_path / "folder")


def test_a_backup_that_was_killed_is_begun_again(collection: Collection, tmp_path: Path) -> None:
    add(collection, ["a"])
    target = tmp_path / "copy.ct"
    target.mkdir()
    for name in ("lock", "descriptors-000009.segment", "catalogue.sqlite.copy"):
        (target / name).write_bytes(b"cut off")
    with pytest.raises(CollectionError, match="no collection"):
        Collection.open(target)
    collection.backup(target)
    with Collection.open(target) as copy:
        assert contents(copy) == contents(collection)
    assert sorted(path.name for path in target.glob("*.segment")) == ["descriptors-000001.segment"]


def test_an_older_format_is_migrated_and_a_newer_one_refused(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add(collection, ["a", "b"])
    expected = contents(collection)
    collection.backup(tmp_path / "second.ct")
    collection.close()
    newer = (*schema.MIGRATIONS, ("CREATE TABLE decision (query TEXT)",))
    with monkeypatch.context() as patch:
        for module in ("schema", "making"):
            patch.setattr(f"copytrace.engine.collection.{module}.MIGRATIONS", newer)
        for write, path in ((True, collection.path), (False, tmp_path / "second.ct")):
            with Collection.open(path, write=write) as migrated:
                assert contents(migrated) == expected and migrated.check() == []
                migrated._catalogue._connection.execute("SELECT query FROM decision")
    with pytest.raises(CollectionError, match=f"format {len(newer)} is newer than this copytrace reads"):
        Collection.open(collection.path)


def test_a_collection_of_format_1_gets_its_keys_and_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for module in ("schema", "making"):
            patch.setattr(f"copytrace.engine.collection.{module}.MIGRATIONS", schema.MIGRATIONS[:1])
        with Collection.create(tmp_path / "old.ct", DIMENSION) as old:
            add(old, ["a", "b"])
            expected = contents(old)
    with Keys(tmp_path / "old.ct") as keys:
        keys.add("first", "read", "the test")
    with Collection.open(tmp_path / "old.ct") as opened:
        assert contents(opened) == expected and opened.check() == []
        assert [entry.what for entry in opened.audit()] == [{"name": "first", "role": "read"}]


def test_a_failed_migration_leaves_the_older_format(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    add(collection, ["a"])
    collection.close()
    with monkeypatch.context() as patch:
        broken = (*schema.MIGRATIONS, ("CREATE TABLE decision (query TEXT)", "NO SQL"))
        for module in ("schema", "making"):
            patch.setattr(f"copytrace.engine.collection.{module}.MIGRATIONS", broken)
        with pytest.raises(CollectionError):
            Collection.open(collection.path, write=True)
    with Collection.open(collection.path, write=True) as opened:
        assert opened.ids == ["a"] and opened.check() == []


def test_what_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "catalogue.sqlite").write_text("no database, but long enough to be looked at" * 100)
    (tmp_path / "foreign").mkdir()
    other = sqlite3.connect(tmp_path / "foreign" / "catalogue.sqlite")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "catalogue.sqlite").touch()
    for name in ("file", "empty", "text", "foreign", "unfinished", "missing"):
        for write in (False, True):
            with pytest.raises(CollectionError):
                Collection.open(tmp_path / name, write=write)
    for name in ("file", "text", "foreign", "missing/x"):
        with pytest.raises(CollectionError):
            Collection.create(tmp_path / name, DIMENSION)
    assert (tmp_path / "text" / "catalogue.sqlite").read_text().startswith("no database")
    for name in ("empty", "unfinished"):  # nothing was ever acknowledged there
        with Collection.create(tmp_path / name, DIMENSION) as made:
            add(made, ["a"])
            assert made.check() == []


def test_metadata_files(tmp_path: Path) -> None:
    table, lines = tmp_path / "m.csv", tmp_path / "m.jsonl"
    table.write_bytes('\ufeffowner,id,note\r\nme,it\'s,"a, b"\r\n,💥,\r\n'.encode())
    assert read_metadata(table) == {"it's": {"owner": "me", "note": "a, b"}, "💥": {"owner": "", "note": ""}}
    lines.write_text('{"id": "a", "n": [1, {"x": null}]}\n\n' + json.dumps({"id": "b", "t": "ü"}) + "\n")
    assert read_metadata(lines) == {"a": {"n": [1, {"x": None}]}, "b": {"t": "ü"}}
    for text, word in (
        ("owner\nme\n", "column id"),
        ("id,id\na,b\n", "one name"),
        ("id,n\na\n", "line 2: 1 cells"),
        ("id,n\na,1\na,2\n", "line 3: the id 'a' is there already, on line 2"),
        ('id,n\n"a,1\n', "not CSV"),
        ("id,n\n,1\n", "line 2"),
        ("", "column id"),
        ('{"n": 1}\n', "line 1"),
        ('{"id": 1}\n', "line 1: an id must be text"),
        ('{"id": "a"}\n{"id": "b", "x": NaN}\n', "line 2: not JSON"),
        ('{"id": "a", "id": "b"}\n', "twice"),
        ("[1]\n", "line 1"),
        ('{"id": "a"\n', "line 1: not JSON"),
    ):
        table.write_text(text)
        with pytest.raises(CollectionError, match=word):
            read_metadata(table)
    table.write_bytes(b"id\n\xff\n")
    with pytest.raises(CollectionError, match="UTF-8"):
        read_metadata(table)
