"""Nothing acknowledged is lost and nothing damaged is served: kills, full and read-only disks, flipped bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Collection, CollectionError, search
from copytrace.engine.collection import Blob
from copytrace.engine.store import write_descriptors

DIMENSION = 16

# Adds, replaces, removes and compacts without end, small segments; says what was acknowledged, and before it, what is tried.
WORKER = """
import random, sys
import numpy as np
from copytrace.engine.collection import Blob, Collection, change

change.SEGMENT_BYTES, change.WRITE_BYTES = 6000, 1000
path, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
with Collection.open(path, write=True) as collection:
    known = {name: None for name in collection.ids}
    print("open", flush=True)
    turn = 0
    while True:
        turn += 1
        kind = rng.choice(["add", "add", "replace", "remove", "compact"])
        if kind == "add":
            ids = [f"{seed}-{turn}-{i}" for i in range(rng.randint(1, 12))]
        else:
            ids = rng.sample(sorted(known), min(len(known), rng.randint(1, 9))) if kind != "compact" else []
        print("try", kind, turn, *ids, flush=True)
        if kind in ("add", "replace") and ids:
            rows = np.full((len(ids), 16), seed * 1000 + turn, np.float32)
            blobs = {"features": [Blob(1, b"%d" % turn * rng.randint(0, 90)) for _ in ids]}
            collection.add(ids, rows, sizes=[seed * 1000 + turn] * len(ids), blobs=blobs, replace=kind == "replace")
            known.update(dict.fromkeys(ids))
        elif kind == "remove" and ids:
            collection.remove(ids)
            for name in ids:
                del known[name]
        else:
            collection.compact()
        print("done", flush=True)
"""


def _replay(state: dict[str, int], line: str, seed: int) -> dict[str, int]:
    """What the collection holds after a change: id -> the number that its row is full of."""
    _, kind, turn, *ids = line.split()
    if kind in ("add", "replace"):
        return state | dict.fromkeys(ids, seed * 1000 + int(turn))
    return {name: value for name, value in state.items() if kind != "remove" or name not in ids}


def _kill_once(path: Path, state: dict[str, int], seed: int, rng: random.Random) -> list[dict[str, int]]:
    """Let it make up to ten changes and kill it; the states that may be there: with the change under way, and without."""
    command = [sys.executable, "-c", WORKER, str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        lines = [process.stdout.readline() for _ in range(2 * rng.randint(0, 10))]
        time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        lines = "".join([*lines, process.stdout.read()]).splitlines()
    assert process.returncode == -signal.SIGKILL
    tried = None
    for line in lines:
        if line == "done" and tried is not None:
            state, tried = _replay(state, tried, seed), None
        elif line.startswith("try") and line.split()[1] in ("add", "replace", "remove", "compact"):
            tried = line
    return [state] if tried is None else [state, _replay(state, tried, seed)]


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "refs.ct"
    Collection.create(path, DIMENSION).close()
    rng = random.Random(5)
    state: dict[str, int] = {}
    changes = 0
    for seed in range(1, 21):
        possible = _kill_once(path, state, seed, rng)
        with Collection.open(path) as reader:  # before any writer has cut anything off
            assert reader.check() == []
        with Collection.open(path, write=True) as collection:
            assert collection.check() == []
            references, descriptors = collection.contents()
            found = {r.id: int(row[0]) for r, row in zip(references, descriptors[:], strict=True)}
            assert found in possible
            assert all(reference.size == found[reference.id] for reference in references)
            assert len(list(collection.blobs("features"))) == len(found)
            named = {segment.number: segment.length for segment in collection._catalogue.segments()}
            files = {int(file.stem.split("-")[1]): file.stat().st_size for file in path.glob("*.segment")}
            assert files == named  # what nobody names is gone
        changes += found != state
        state = found
    assert changes > 10 and state


def test_kills_while_a_collection_is_made_and_filled_by_command(tmp_path: Path) -> None:
    """An interrupted ``collection add`` goes on with the same command; also when it was killed before there was anything."""
    photos = Path(__file__).parent.parent / "engine" / "photos" / "references"
    path = tmp_path / "refs.ct"
    command = [
        str(Path(sys.executable).parent / "copytrace"),
        "collection",
        "add",
        "--no-features",
        str(path),
        str(photos),
    ]
    rng = random.Random(2)
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 3.0))
        process.kill()
        process.wait()
    assert subprocess.run(command, capture_output=True).returncode == 0
    with Collection.open(path) as collection:
        assert collection.ids == sorted(file.stem for file in photos.iterdir()) and collection.check() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_it_whole(small_disk: Path, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Collection.create(small_disk / "refs.ct", DIMENSION) as collection:
        with pytest.raises(CollectionError, match="No space left on device"):
            for turn in range(10_000):
                ids = [f"{turn}-{i}" for i in range(50)]
                collection.add(ids, np.full((50, DIMENSION), turn), blobs={"features": [Blob(1, b"x" * 200)] * 50})
                acknowledged += ids
        assert len(acknowledged) > 100
        assert collection.ids == sorted(acknowledged) and collection.check() == []  # reads go on
        with pytest.raises(CollectionError, match="No space left"):
            collection.add(["big"], np.zeros((1, DIMENSION)), blobs={"features": [Blob(1, b"x" * 2_000_000)]})
        with pytest.raises(CollectionError, match="No space left"):
            collection.backup(small_disk / "copy.ct")
        assert not (small_disk / "copy.ct").exists()
        collection.backup(tmp_path / "copy.ct")
    with Collection.open(small_disk / "refs.ct", write=True) as collection:
        assert collection.ids == sorted(acknowledged) and collection.check() == []
        subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
        collection.remove(acknowledged[:100])
        collection.compact()
        collection.add(["new"], np.zeros((1, DIMENSION)))
        assert len(collection) == len(acknowledged) - 99 and collection.check() == []
    with pytest.raises(CollectionError):
        Collection.create(small_disk, DIMENSION).close()  # a folder with other files
    with Collection.open(tmp_path / "copy.ct") as copy:
        assert copy.ids == sorted(acknowledged)


def test_the_command_on_a_full_disk(small_disk: Path) -> None:
    photos = Path(__file__).parent.parent / "engine" / "photos" / "references"
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 200_000))
    command = [
        str(Path(sys.executable).parent / "copytrace"),
        "collection",
        "add",
        "--no-features",
        str(small_disk / "refs.ct"),
        str(photos),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("adding: ")]
    assert result.returncode == 1 and len(lines) == 1 and "No space left on device" in lines[0]
    (small_disk / "filler").unlink()
    assert subprocess.run(command, capture_output=True).returncode == 0
    with Collection.open(small_disk / "refs.ct") as collection:
        assert len(collection) == 200 and collection.check() == []


def test_a_disk_too_full_for_a_collection(small_disk: Path) -> None:
    filler = small_disk / "filler"
    for left in (0, 4096, 16384, 40960, 65536):
        filler.write_bytes(b"")
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(b"x" * (free - left))
        with pytest.raises(CollectionError) as caught:
            Collection.create(small_disk / "refs.ct", DIMENSION).close()
            with Collection.open(small_disk / "refs.ct", write=True) as collection:
                collection.add(["a"], np.zeros((1, DIMENSION)), blobs={"features": [Blob(1, b"x" * 70_000)]})
        assert len(str(caught.value).splitlines()) == 1
    filler.unlink()
    with suppress(CollectionError):  # one that was not finished is made anew; one that was is there already
        Collection.create(small_disk / "refs.ct", DIMENSION).close()
    with Collection.open(small_disk / "refs.ct", write=True) as collection:
        collection.add(["a"], np.zeros((1, DIMENSION)))
        assert collection.ids == ["a"] and collection.check() == []


def test_a_read_only_disk_can_be_read(small_disk: Path) -> None:
    path = small_disk / "refs.ct"
    with Collection.create(path, DIMENSION) as collection:
        collection.add(["a", "b"], np.ones((2, DIMENSION)))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Collection.open(path) as reader:
        assert reader.ids == ["a", "b"] and reader.check() == [] and reader.descriptors()[:].sum() == 2 * DIMENSION
    with pytest.raises(CollectionError, match="Read-only file system"):
        Collection.open(path, write=True)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def _filled(path: Path) -> None:
    rng = np.random.default_rng(3)
    with Collection.create(path, DIMENSION, {"space": "s"}) as collection:
        ids = [f"reference {i}" for i in range(40)]
        blobs = {"features": [Blob(1, rng.bytes(50)) for _ in ids]}
        metadata = [{"owner": f"somebody {i}"} for i in range(40)]
        rows = rng.standard_normal((40, DIMENSION)).astype(np.float32)
        collection.add(ids, rows, sha256=[f"{i:064x}" for i in range(40)], metadata=metadata, blobs=blobs)
        collection.set_properties(thresholds={"match": 0.9})
        collection.remove(ids[:2])


def _everything(path: Path) -> object:
    with Collection.open(path) as collection:
        references, descriptors = collection.contents()
        blobs = list(collection.blobs("features"))
        table = collection.with_blobs(["features"])[1]["features"]
        assert [(name, table[i]) for i, name in enumerate(table.ids)] == blobs
        return (
            references,
            descriptors[:].tobytes(),
            blobs,
            collection.attributes,
            collection.properties,
            len(collection),
        )


def test_a_flipped_byte_is_found_and_never_served(tmp_path: Path) -> None:
    """Wherever it is: either it is of no account, and everything reads the same, or ``check`` and reading say so."""
    path = tmp_path / "refs.ct"
    _filled(path)
    expected = _everything(path)
    rng = random.Random(4)
    found = {"catalogue.sqlite": 0, "descriptors-000001.segment": 0, "blobs-000002.segment": 0}
    for name in found:
        whole = (path / name).read_bytes()
        places = range(len(whole)) if name != "catalogue.sqlite" else rng.sample(range(len(whole)), 400)
        for place in rng.sample(places, min(len(places), 400)):
            damaged = bytearray(whole)
            damaged[place] ^= rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
            (path / name).write_bytes(damaged)
            try:
                with Collection.open(path) as collection:
                    problems = collection.check()
            except CollectionError:
                problems = ["cannot be opened"]
            found[name] += bool(problems)
            try:
                served = _everything(path)
            except CollectionError:
                assert problems, (name, place, "reading fails, check finds nothing")
                continue
            assert served == expected, (name, place, "served other contents")
        for file in path.iterdir():
            if file.name.startswith("catalogue.sqlite-"):
                file.unlink()
        (path / name).write_bytes(whole)
    assert found["descriptors-000001.segment"] > 350 and found["blobs-000002.segment"] > 350
    assert found["catalogue.sqlite"] > 40  # most of its bytes are free room
    assert _everything(path) == expected


def test_a_writer_cuts_nothing_off_by_a_damaged_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "refs.ct"
    _filled(path)
    sizes = {file.name: file.stat().st_size for file in path.glob("*.segment")}
    whole = (path / "catalogue.sqlite").read_bytes()
    rng = random.Random(6)
    for place in rng.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[place] ^= rng.choice([1, 4, 16, 64, 255])
        (path / "catalogue.sqlite").write_bytes(damaged)
        try:
            Collection.open(path, write=True).close()
        except CollectionError as error:
            assert len(str(error).splitlines()) == 1
        assert {file.name: file.stat().st_size for file in path.glob("*.segment")} == sizes, place
        for file in path.glob("catalogue.sqlite-*"):
            file.unlink()


def test_damage_is_named_and_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "refs.ct"
    rows = np.random.default_rng(0).standard_normal((30, DIMENSION)).astype(np.float32)
    ids = [f"R{i:02d}" for i in range(30)]
    with Collection.create(path, DIMENSION) as collection:
        collection.add(ids, rows)
    with (path / "descriptors-000001.segment").open("r+b") as file:
        file.seek(64 + 4 * DIMENSION * 7 + 5)
        file.write(b"\xaa")
    write_descriptors(tmp_path / "q.h5", [(["q"], rows[:1])], (1, DIMENSION), [], {})
    with pytest.raises(CollectionError, match="'R07' is damaged"):
        search(tmp_path / "q.h5", path, k=1)
    with Collection.open(path, write=True) as collection:
        assert collection.check() == [f"{path}: the descriptor of 'R07' is damaged"]
        with pytest.raises(CollectionError, match="damaged"):
            collection.backup(tmp_path / "copy.ct")
        assert not (tmp_path / "copy.ct").exists()
        collection.remove(["R00"])
        with pytest.raises(CollectionError, match="'R07' is damaged"):
            collection.compact()
        with pytest.warns(UserWarning, match=r"not compacted.*'R07' is damaged"):
            assert collection.remove(ids[10:]) == 20
        collection.replace(["R07"], rows[7:8])
        collection.compact()
        assert collection.check() == [] and np.array_equal(collection.descriptors()[:], rows[1:10])


def test_lost_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "refs.ct"
    _filled(path)
    segment = path / "descriptors-000001.segment"
    data = segment.read_bytes()
    for damage, word in ((data[:-1], "cut off"), (None, "missing")):
        segment.unlink()
        if damage is not None:
            segment.write_bytes(damage)
        with Collection.open(path) as collection:
            problems = collection.check()
            assert len(problems) == 1 and word in problems[0]
            with pytest.raises(CollectionError, match=word):
                collection.descriptors()
        segment.write_bytes(data)
    with Collection.open(path, write=True) as collection:
        assert collection.check() == []
