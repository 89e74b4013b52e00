"""Milvus as an index of a collection, on Milvus Lite: in this process, and as a server in another."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Collection, Engine, MilvusError, MissingExtraError, SearchError
from copytrace.engine.alike import CROPS
from copytrace.engine.candidates import nearest_references
from copytrace.engine.match.views import REFERENCE_VIEWS
from copytrace.engine.milvus import MilvusAddress, RecallSample, StoredRows
from copytrace.engine.milvus_index import OWNER, IndexState, bring_up_to_date, index_state, open_candidates, open_index
from copytrace.engine.milvus_search import MilvusSearch
from copytrace.engine.references import References
from copytrace.engine.search import Index, IndexPairs

from conftest import PHOTOS
from in_process import run
from lite import DIMENSION, LiteServer, collection_of, descriptors, lite_server

pymilvus = pytest.importorskip("pymilvus", reason="needs the extra milvus")


def lite(folder: Path, more: str = "") -> MilvusAddress:
    return MilvusAddress.parse(f"milvus://{folder}/x.db{more}")


@contextmanager
def searching(address: MilvusAddress, collection: Collection) -> Iterator[tuple[MilvusSearch, StoredRows, IndexState]]:
    """An index that is up to date, and searches by it."""
    stored = open_index(address, collection)
    try:
        state = bring_up_to_date(stored, collection)
        yield MilvusSearch(stored, lambda numbers: collection.rows_numbered(numbers.tolist())), stored, state
    finally:
        stored.close()


def in_memory(collection: Collection) -> Index:
    index = Index(collection.dimension)
    whole = collection.descriptors()
    index.add(whole.ids, whole[:])
    return index


def pairs(found: IndexPairs) -> list[tuple[int, str, float]]:
    return list(zip(found.queries.tolist(), found.references, found.distances.tolist(), strict=True))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteServer]:
    with lite_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.mark.parametrize(
    ("text", "uri", "path", "name"),
    [
        ("milvus://h/refs", "http://h:19530", None, "refs"),
        ("milvus+tls://h:443/_r1", "https://h:443", None, "_r1"),
        ("milvus://[::1]:9/refs", "http://[::1]:9", None, "refs"),
        ("milvus:///a/b%20c/x.db", None, "/a/b c/x.db", "copytrace"),
        ("milvus:x.db", None, "x.db", "copytrace"),
    ],
)
def test_addresses(text: str, uri: str | None, path: str | None, name: str) -> None:
    address = MilvusAddress.parse(text)
    assert (address.uri, address.path, address.name) == (uri, path, name)
    assert (address.index_type, address.oversampling, address.database) == ("HNSW", 10, "")
    assert str(address) == text


def test_options_of_addresses() -> None:
    address = MilvusAddress.parse("milvus://h/r?index=DISKANN&oversampling=4&database=d")
    assert (address.index_type, address.oversampling, address.database) == ("DISKANN", 4, "d")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no address"),
        ("http://h:19530/refs", "no address"),
        ("milvus://h:70000/refs", "no address"),
        ("milvus://h/refs#x", "no address"),
        ("milvus://h", "the collection's name"),
        ("milvus://h/a/b", "the collection's name"),
        ("milvus://h/1refs", "the collection's name"),
        ("milvus://:19530/refs", "no host"),
        ("milvus://user:secret@h/refs", "COPYTRACE_MILVUS_TOKEN"),
        ("milvus:///a/x", "must end in .db"),
        ("milvus:///a/.db", "must end in .db"),
        ("milvus+tls:///a/x.db", "neither databases nor TLS"),
        ("milvus:///a/x.db?database=d", "neither databases nor TLS"),
        ("milvus:///a/x.db?index=DISKANN", "Milvus Lite's index is one of"),
        ("milvus://h/r?index=hnsw", "index must be one of"),
        ("milvus://h/r?oversampling=0", "a whole number from 1 to 100"),
        ("milvus://h/r?oversampling=2&oversampling=3", "gives oversampling twice"),
        ("milvus://h/r?token=x", "no option 'token'"),
        ("milvus://h/r?database=a-b", "the database's name"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    with pytest.raises(MilvusError, match=why) as error:
        MilvusAddress.parse(text)
    assert "secret" not in str(error.value)


def test_the_collections_rows_decide_with_ties_by_ids(tmp_path: Path) -> None:
    """Integers, full of duplicates; few enough rows that Milvus proposes all of them."""
    rows = np.random.default_rng(0).integers(-2, 3, (90, 4)).astype(np.float32)
    queries = np.random.default_rng(1).integers(-2, 3, (7, 4)).astype(np.float32)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path, "?oversampling=100"), collection) as (search, _, state),
    ):
        exact = in_memory(collection)
        assert (state.rows, state.added, state.removed, state.recall_at_10) == (90, 90, 0, 1.0)
        ids = list("gfedcba")
        for k in (1, 3, 90, 200):
            assert pairs(search.nearest(queries, k)) == pairs(exact.nearest(queries, k))
            assert pairs(search.nearest(queries, k, query_ids=ids)) == pairs(exact.nearest(queries, k, query_ids=ids))
        for distance in (0.0, 1.5, 3.0, 100.0):
            assert pairs(search.within(queries, distance)) == pairs(exact.within(queries, distance))
        assert pairs(search.nearest(queries[:0], 3)) == []
        for wrong, why in ((np.full((1, 4), np.nan), "NaN"), (np.zeros((1, 5)), "dimensions differ")):
            with pytest.raises(SearchError, match=why):
                search.nearest(wrong.astype(np.float32), 1)
        for question in (lambda: search.nearest(queries, 0), lambda: search.within(queries, -1.0)):
            with pytest.raises(SearchError, match="must be at least"):
                question()


def test_what_a_query_finds_does_not_depend_on_those_beside_it(tmp_path: Path) -> None:
    """Rows in all directions, of which an index finds the fewest."""
    rows = np.random.default_rng(0).standard_normal((1500, 64)).astype(np.float32)
    queries = np.random.default_rng(1).standard_normal((40, 64)).astype(np.float32)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path, "?oversampling=1&index=IVF_FLAT"), collection) as (search, _, state),
    ):
        assert state.recall_at_10 is not None and state.recall_at_10 < 1.0
        for find in (lambda q: search.nearest(q, 20), lambda q: search.within(q, 9.6)):
            together = pairs(find(queries))
            alone = [(i, *rest) for i in range(len(queries)) for _, *rest in pairs(find(queries[i : i + 1]))]
            assert sorted(together) == sorted(alone) and together == sorted(
                together, key=lambda pair: (pair[2], pair[0])
            )


def test_an_index_is_brought_up_to_date_by_what_differs(tmp_path: Path) -> None:
    rows = descriptors(400)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path), collection) as (search, stored, _),
    ):
        assert index_state(stored, collection) is not None
        collection.remove(["R00003", "R00004"])
        collection.replace(["R00005"], rows[3:4])
        collection.add(["new"], rows[4:5])
        assert index_state(stored, collection) is None
        state = bring_up_to_date(stored, collection)
        assert (state.rows, state.added, state.removed) == (399, 2, 3)
        assert search.nearest(rows[3:5], 1).references == ["R00005", "new"]
        assert bring_up_to_date(stored, collection).added == 0
        collection.set_metadata({"new": {"a": 1}})  # which the index knows nothing of
        assert (bring_up_to_date(stored, collection).added, len(stored)) == (0, 399)
        collection.remove(collection.ids)
        assert (bring_up_to_date(stored, collection).rows, len(stored)) == (0, 0)
        assert search.nearest(rows[:2], 3).references == []
        assert search.within(rows[:2], 9.0).references == []


def test_what_was_removed_is_never_found_though_milvus_still_has_it(tmp_path: Path) -> None:
    rows = descriptors(600)
    queries = rows[:5]
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path, "?oversampling=1"), collection) as (search, stored, _),
    ):
        exact = in_memory(collection)
        gone = sorted(set(exact.nearest(queries, 150).references))
        collection.remove(gone)
        exact.remove(gone)
        assert len(stored) == 600
        found = search.nearest(queries, 3)
        assert not set(found.references) & set(gone)
        assert pairs(found) == pairs(exact.nearest(queries, 3)), "it asks on behind what is gone"


def test_rows_under_the_same_numbers_are_told_apart_by_their_checksums(tmp_path: Path) -> None:
    """A collection that was restored from a backup has gone another way since."""
    rows = descriptors(60)
    with (
        collection_of(tmp_path / "refs.ct", rows[:50]) as collection,
        searching(lite(tmp_path), collection) as (_, stored, _),
    ):
        collection.backup(tmp_path / "backup.ct")
        collection.add(["a", "b"], rows[50:52])
        bring_up_to_date(stored, collection)
    with Collection.open(tmp_path / "backup.ct", write=True) as restored:
        restored.add(["c", "d"], rows[54:56])
        with searching(lite(tmp_path), restored) as (search, _, state):
            assert (state.rows, state.added, state.removed) == (52, 2, 0)
            assert search.nearest(rows[54:56], 1).references == ["c", "d"]


def test_references_with_crops(tmp_path: Path) -> None:
    """Whole pictures and crops are searched each for themselves, as by exact search."""
    rows = descriptors(300).reshape(30, 10, DIMENSION)
    with Collection.create(tmp_path / "refs.ct", DIMENSION, {}, properties={CROPS: True}) as collection:
        collection.add([f"A{n}" for n in range(15)], rows[:15], views=REFERENCE_VIEWS)
        collection.add(["twice-seen"], rows[15:16, :2], views=["whole", "another"])
        collection.remove(["twice-seen"])
        collection.add([f"B{n}" for n in range(15)], rows[15:], views=REFERENCE_VIEWS)
    with open_candidates(lite(tmp_path), tmp_path / "refs.ct") as (nearest, state):
        assert state.rows == 300 and state.recall_at_10 == 1.0
        with Collection.open(tmp_path / "refs.ct") as collection:
            references = References.of_collection(collection, local=False)
        queries = descriptors(6, seed=1)
        for k in (1, 4, 30):
            for crops in (True, False):
                expected, got = (
                    search(queries, references, k, crops=crops, threads=2) for search in (nearest_references, nearest)
                )
                for one, other in zip(expected, got, strict=True):
                    np.testing.assert_array_equal(one, other)


def test_recall_of_a_small_set_is_nearly_whole(tmp_path: Path) -> None:
    rows = descriptors(3000, 64)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path), collection) as (search, _, state),
    ):
        assert state.recall_at_10 is not None and state.recall_at_10 >= 0.99
        queries = RecallSample(rows[::40], seed=3).queries
        exact, found = (set(pairs(by.nearest(queries, 10))) for by in (in_memory(collection), search))
        assert len(exact & found) / len(exact) >= 0.99
        assert f"recall@10 against exact search {state.recall_at_10:.4f}" in state.line()


def test_a_sample_counts_what_is_missed() -> None:
    sample = RecallSample(np.eye(4, dtype=np.float32))
    sample.see(lambda queries, k: np.array([[1.0, 2.0]] * 4))
    sample.see(lambda queries, k: np.array([[0.5, np.inf]] * 4))
    assert sample.recall(np.array([[0.5, 1.0, 2.0] + [np.inf] * 7] * 4)) == 1.0
    assert sample.recall(np.array([[0.5, 2.0] + [np.inf] * 8] * 2 + [[np.inf] * 10] * 2)) == pytest.approx(1 / 3)
    assert sample.recall(np.array([[0.5, 1.0, 2.5] + [np.inf] * 7] * 4)) == pytest.approx(2 / 3)


KILLED = """
import os, signal, sys
from pathlib import Path
from copytrace.engine import Collection
from copytrace.engine.milvus import MilvusAddress
from copytrace.engine.milvus_index import bring_up_to_date, open_index
folder, last = Path(sys.argv[1]), sys.argv[2]
collection = Collection.open(folder / "refs.ct", write=True)
rows = open_index(MilvusAddress.parse(f"milvus://{folder}/x.db"), collection)
bring_up_to_date(rows, collection)  # which ends with a flush
if last == "add":
    import numpy as np
    collection.add(["late"], np.ones((1, 16), np.float32))
    collection.remove(["R00000"])
    rows.add(np.array([16 * (collection.next_number - 1)]), np.array([0]), np.ones((1, 16), np.float32), part="whole")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("last", ["flush", "add"])
def test_a_kill_loses_nothing_that_was_flushed(tmp_path: Path, last: str) -> None:
    rows = descriptors(300)
    collection_of(tmp_path / "refs.ct", rows).close()
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, last], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with (
        Collection.open(tmp_path / "refs.ct", write=True) as collection,
        searching(lite(tmp_path), collection) as (search, _, state),
    ):
        assert (state.rows, state.added, state.removed) == ((300, 0, 0) if last == "flush" else (300, 1, 1))
        found = search.nearest(rows[1:], 1)
        assert sorted(found.references) == [f"R{number:05d}" for number in range(1, 300)]


def test_a_filling_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    with collection_of(tmp_path / "refs.ct", descriptors(50)) as collection:
        stored = open_index(lite(tmp_path), collection)
        bring_up_to_date(stored, collection, is_wanted=lambda: False)
        stored.close()
        stored = open_index(lite(tmp_path), collection)
        assert not stored.is_new and index_state(stored, collection) is None
        assert bring_up_to_date(stored, collection).added == 50
        stored.close()


@pytest.mark.parametrize("kind", ["FLAT", "IVF_FLAT"])
def test_other_kinds_of_index(tmp_path: Path, kind: str) -> None:
    rows = descriptors(200)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(lite(tmp_path, f"?index={kind}"), collection) as (search, _, state),
    ):
        assert state.recall_at_10 is not None and state.recall_at_10 > 0.9
        assert search.nearest(rows[:9], 1).references == [f"R{number:05d}" for number in range(9)]


def test_a_collection_of_another_or_of_something_else(tmp_path: Path, server: LiteServer) -> None:
    rows = descriptors(20)
    with collection_of(tmp_path / "a.ct", rows) as a, collection_of(tmp_path / "b.ct", rows) as b:
        address = MilvusAddress.parse(server.address("mine"))
        open_index(address, a).close()
        with pytest.raises(MilvusError, match="is the index of another collection; drop it there, or take another"):
            open_index(address, b)
        b.set_properties(**{OWNER: a.properties[OWNER]})
        open_index(address, b).close()
        with collection_of(tmp_path / "c.ct", rows, space="ffff") as c:
            c.set_properties(**{OWNER: a.properties[OWNER]})
            with pytest.raises(MilvusError, match="another space: 0123456789ab/int8/projected, not ffff/int8"):
                open_index(address, c)
        with collection_of(tmp_path / "d.ct", descriptors(20, 8)) as d:
            d.set_properties(**{OWNER: a.properties[OWNER]})
            with pytest.raises(MilvusError, match="rows of 16 numbers, not 8"):
                open_index(address, d)
        client = pymilvus.MilvusClient(address.uri)
        client.create_collection("other", dimension=DIMENSION)
        with pytest.raises(MilvusError, match="something else than rows of copytrace; take another name"):
            open_index(MilvusAddress.parse(server.address("other")), a)
        assert client.has_collection("other")
        client.close()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with collection_of(tmp_path / "refs.ct", descriptors(5)) as collection:
        for text in ("milvus://127.0.0.1:9/refs", "milvus://no-such-host.invalid:9/refs"):
            with pytest.raises(MilvusError) as error:
                open_index(MilvusAddress.parse(text), collection)
            assert str(error.value) == f"{text}: does not answer"


def test_a_server_that_goes_and_comes_back(tmp_path: Path, server: LiteServer) -> None:
    rows = descriptors(30)
    with (
        collection_of(tmp_path / "refs.ct", rows) as collection,
        searching(MilvusAddress.parse(server.address("gone")), collection) as (search, _, _),
    ):
        server.kill()
        for question in (lambda: search.nearest(rows[:1], 1), lambda: search.within(rows[:1], 1.0)):
            with pytest.raises(MilvusError, match=r"does not answer$"):
                question()
        server.start()
        assert retried(lambda: search.nearest(rows[:1], 1).references) == ["R00000"]


def retried(question: Callable[[], list[str]]) -> list[str]:
    """A connection is tried again after a second or two."""
    for _ in range(600):
        try:
            return question()
        except MilvusError:
            time.sleep(0.1)
    return question()


OPEN = """
import sys
from pathlib import Path
from copytrace.engine import Collection, MilvusError
from copytrace.engine.milvus import MilvusAddress
from copytrace.engine.milvus_index import open_index
with Collection.open(sys.argv[1]) as collection:
    try:
        open_index(MilvusAddress.parse(sys.argv[2]), collection)
    except MilvusError as error:
        print(error)
"""


def test_one_process_on_a_folder_of_milvus_lite(tmp_path: Path) -> None:
    with collection_of(tmp_path / "refs.ct", descriptors(5)) as collection:
        address = lite(tmp_path)
        first, second = open_index(address, collection), open_index(address, collection)
        first.close()
        assert second.facts()["dimension"] == str(DIMENSION), "what one lets go of, the other still has"
        other = subprocess.run(
            [sys.executable, "-c", OPEN, tmp_path / "refs.ct", str(address)], capture_output=True, text=True
        )
        why = "is open in another process, and Milvus Lite's folder is for one process at a time"
        assert (other.stdout, other.stderr) == (f"{address}: {why}\n", "")
        second.close()
        other = subprocess.run(
            [sys.executable, "-c", OPEN, tmp_path / "refs.ct", str(address)], capture_output=True, text=True
        )
        assert (other.stdout, other.stderr) == ("", "")


def test_folders_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("of something else")
    with collection_of(tmp_path / "refs.ct", descriptors(5)) as collection:
        for name, why in (("none/x.db", "there is no folder"), ("file.db", "cannot be opened: File exists")):
            with pytest.raises(MilvusError, match=why):
                open_index(MilvusAddress.parse(f"milvus://{tmp_path}/{name}"), collection)


def test_a_damaged_folder_of_milvus_lite_can_be_deleted(tmp_path: Path) -> None:
    with collection_of(tmp_path / "refs.ct", descriptors(50)) as collection:
        with searching(lite(tmp_path), collection):
            pass
        for file in (tmp_path / "x.db").rglob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-50])
        with pytest.raises(
            MilvusError, match=r"; if the folder is damaged, delete it: it is made again from the collection$"
        ) as error:
            open_index(lite(tmp_path), collection)
        assert len(str(error.value).splitlines()) == 1
        shutil.rmtree(tmp_path / "x.db")
        with searching(lite(tmp_path), collection) as (_, _, state):
            assert state.added == 50


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with collection_of(tmp_path / "refs.ct", descriptors(20_000, 64)) as collection:
            stored = open_index(lite(disk), collection)
            with pytest.raises(MilvusError, match=r"cannot be written: No space left on device$"):
                bring_up_to_date(stored, collection)
            stored.close()
            assert len(collection) == 20_000
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with (
        collection_of(tmp_path / "refs.ct", descriptors(5)) as collection,
        pytest.raises(MissingExtraError, match=r'pip install "copytrace\[milvus\]"'),
    ):
        open_index(lite(tmp_path), collection)


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``refs.ct`` of 20 photographs, and ``queries/``, three of the edited ones."""
    folder = tmp_path_factory.mktemp("matched")
    for name, count in (("references", 20), ("queries", 3)):
        (folder / name).mkdir()
        for path in sorted((PHOTOS / name).glob("*.jpg"))[:count]:
            shutil.copy(path, folder / name)
    Engine(threads=2).add_source(folder / "references", folder / "refs.ct", features=False)
    return folder


def match(folder: Path, *options: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    where = (folder / "queries", folder / "refs.ct", "-o", folder / "m.csv", "--mode", "views", "--threads", 2)
    return run("match", *where, *options, code=code)


def test_match_with_an_index(matched: Path) -> None:
    match(matched)
    expected = (matched / "m.csv").read_bytes()
    address = f"milvus://{matched}/x.db"
    first = match(matched, "--index", address)
    assert (matched / "m.csv").read_bytes() == expected
    assert (
        f"{address}: 20 rows, 20 added, 0 removed; approximate: recall@10 against exact search 1.0000" in first.stderr
    )
    assert "candidates by an approximate index" in first.stdout
    told = json.loads(match(matched, "--index", address, "--json").stdout)["index"]
    assert told == {"address": address, "rows": 20, "added": 0, "removed": 0, "recall_at_10": 1.0}
    assert json.loads(match(matched, "--json").stdout)["index"] is None


def test_match_says_what_is_wrong_with_an_index(matched: Path) -> None:
    for options, code, why in (
        (("--index", "milvus://127.0.0.1:9/refs"), 1, "milvus://127.0.0.1:9/refs: does not answer"),
        (("--index", "refs.db"), 2, "is no address of Milvus"),
    ):
        done = match(matched, *options, code=code)
        assert why in " ".join(done.stderr.split()), done.stderr
    failed = json.loads(match(matched, "--index", "milvus://127.0.0.1:9/refs", "--json", code=1).stdout)
    assert failed["error"].endswith("does not answer")
    done = run(
        "match", matched / "queries", matched / "references", "-o", matched / "n.csv", "--index", "milvus:x.db", code=2
    )
    assert "is no collection, and an index is of one" in " ".join(done.stderr.replace("│", " ").split())


def test_an_index_that_cannot_be_brought_up_to_date(matched: Path, tmp_path: Path) -> None:
    """While a service, say, changes the collection, and its index is of another state."""
    shutil.copytree(matched / "refs.ct", tmp_path / "refs.ct")
    with (
        Collection.open(tmp_path / "refs.ct", write=True),
        pytest.raises(MilvusError, match="is not of the collection's present state, and stays so: "),
        open_candidates(lite(tmp_path), tmp_path / "refs.ct"),
    ):
        pass
