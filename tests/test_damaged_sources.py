"""Sources attacked: every file, key and row that cannot be used is named and counted, the same by every way through them."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copytrace.engine import (
    Collection,
    ComparisonError,
    CopytraceError,
    Engine,
    convert_descriptors,
    embed_shard,
    merge_parts,
    open_descriptors,
)

from bundle_files import small_bundle
from conftest import PHOTOS
from tars import member, tar_of, write

BYTES = [path.read_bytes() for path in sorted((PHOTOS / "references").glob("*.jpg"))[:8]]
WHOLE = tar_of(member("w.jpg", BYTES[4]), member("w.json", b"{}"), member("x.jpg", BYTES[5]), member("x.json", b"{}"))
Make = Callable[[Path], Any]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(small_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), precision="float32")


def tars(name: str, data: bytes) -> Make:
    """A folder of a good tar, of images a to d, and another file."""

    def make(folder: Path) -> Path:
        members = (member(f"{key}.jpg", BYTES[i]) for i, key in enumerate("abcd"))
        write(folder / "a.tar", tar_of(*members))
        write(folder / name, data)
        return folder

    return make


def parquet(damage: Callable[[bytes, pq.FileMetaData], bytes] = lambda data, about: data, **columns: Any) -> Make:
    """The same with Parquet files, two rows in a group; damage: done to the other file, by its metadata."""

    def make(folder: Path) -> Path:
        pq.write_table(pa.table({"image": BYTES[:4], "id": list("abcd")}), folder / "a.parquet")
        other = folder / "b.parquet"
        pq.write_table(pa.table(columns), other, row_group_size=2, compression="NONE", write_page_checksum=True)
        write(other, damage(other.read_bytes(), pq.ParquetFile(other).metadata))
        return folder

    return make


def flipped(column: int, back: int) -> Callable[[bytes, pq.FileMetaData], bytes]:
    """One byte changed, ``back`` before the end of a column's data in the second row group."""

    def damage(data: bytes, about: pq.FileMetaData) -> bytes:
        chunk = about.row_group(1).column(column)
        place = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - back
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return damage


def listed(folder: Path) -> Path:
    """A list with what is good, and with all that is none of it."""
    for i, name in enumerate("abcd"):
        write(folder / f"{name}.jpg", BYTES[i])
    write(folder / "empty.jpg", b"")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to("none.jpg")
    names = [*"abcd", "empty", "pipe", "folder", "link", "none"]
    write(folder / "list.txt", "".join(f"{folder}/{name}.jpg\n" for name in names).encode())
    return folder / "list.txt"


ROWS = {"image": BYTES[4:8], "id": list("wxyz")}
CASES: list[
    tuple[Make, dict[str, str], int]
] = [  # what is given, a word of the reason of each failure, images with a row
    (tars("b.tar", WHOLE[: WHOLE.index(b"x.jpg") + 999]), {"x": "cut off: the tar ends inside it ("}, 5),
    (tars("b.tar", WHOLE[: WHOLE.index(b"x.jpg") + 99]), {"b.tar@": "cut off inside a header"}, 5),
    (tars("b.tar", WHOLE[: WHOLE.index(b"x.jpg")]), {"b.tar@": "without the two empty blocks"}, 5),
    (
        tars("b.tar", bytes(512) + WHOLE[512:]),
        {"b.tar@0": "an empty block in the place of a header", "w": "no image"},
        5,
    ),
    (tars("b.tar", b""), {"b.tar@0": "it may have been cut off"}, 4),
    (tars("b.tar", bytes(10240)), {}, 4),
    (tars("b.tar", gzip.compress(WHOLE)), {"b.tar": "compressed (gzip); decompress it first"}, 4),
    (tars("b.tgz", gzip.compress(WHOLE)[:999]), {"b.tgz": "compressed (gzip); decompress it first"}, 4),
    (tars("b.tar", tar_of(member("e.jpg", b""), member("f.jpg", b"x"))), {"e": "empty file", "f": "not an image"}, 4),
    (tars("b.tar", tar_of(member("l.jpg", kind=b"2", target="../../x"))), {"l": "a symbolic link to ../../x"}, 4),
    (listed, {"empty": "empty", "pipe": "no", "folder": "a folder", "link": "No such", "none": "line 9"}, 4),
    (parquet(image=[BYTES[4], None, b"", b"x"], id=list("wxyz")), {"x": "row 1 of b", "y": "empty", "z": "not an"}, 5),
    (parquet(**ROWS | {"id": ["w", None, "", "z"]}), {"b.parquet/000001": "row 1", "b.parquet/000002": "row 2"}, 6),
    (parquet(flipped(0, 9), **ROWS), {"y": "row group 1 of b.parquet", "z": "row group 1 of b.parquet"}, 6),
    (parquet(flipped(1, 3), **ROWS), {"b.parquet/000002": "row 2", "b.parquet/000003": "row 3 of b.parquet"}, 6),
    (parquet(lambda data, about: data[:-9], **ROWS), {"b.parquet": "not a readable Parquet file"}, 4),
    (parquet(lambda data, about: b"", **ROWS), {"b.parquet": "not a readable Parquet file"}, 4),
]


@pytest.mark.parametrize(("make", "expected", "embedded"), CASES)
def test_what_cannot_be_used_is_named_by_every_verb(
    engine: Engine, tmp_path: Path, make: Make, expected: dict[str, str], embedded: int
) -> None:
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in")
    one = engine.embed_source(source, tmp_path / "one.h5")
    failed = [(bad.id, bad.reason) for bad in one.failed]
    assert (one.images, one.embedded) == (embedded + len(expected), embedded)
    assert len(failed) == len(expected), failed
    for name, word in expected.items():
        assert any(bad.startswith(name) and word in why for bad, why in failed), failed
        assert all("\n" not in why for _, why in failed)
    if not expected:
        assert one.ignored == {"tar or Parquet file without images": 1}
    for i in range(2):
        embed_shard(engine, source, tmp_path / "parts", i, 2)
    merged = merge_parts(tmp_path / "parts", tmp_path / "m.h5")
    if not source.is_file():
        converted = convert_descriptors(tmp_path / "parts" / "part-00000-of-00002.h5", tmp_path / "p.parquet")
        assert converted.left_out == ("holders",)
    with open_descriptors(tmp_path / "m.h5") as file:
        assert (merged.images, file.failed()) == (embedded, failed)
    added = engine.add_source(source, tmp_path / "refs.ct", features=False)
    assert (added.added, [(bad.id, bad.reason) for bad in added.failed]) == (embedded, failed)
    with Collection.open(tmp_path / "refs.ct") as collection:
        assert len(collection) == embedded


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (tars("b.tar", tar_of(member("c.jpg"))), "two images have the id 'c': a.tar/c.jpg and b.tar/c.jpg"),
        (tars("b.tar", tar_of(member("x.jpg"), member("x.jpg"))), "b.tar/x.jpg is there twice, at bytes 512 and"),
        (parquet(**ROWS | {"id": list("wxyc")}), "two images have the id 'c': a.parquet/000002 and b.parquet/000003"),
        (parquet(**ROWS | {"id": [1.0, 2.0, 3.0, 4.0]}), "b.parquet: the column 'id' must be text or whole numbers"),
        (parquet(**ROWS | {"id": [True, False] * 2}), "b.parquet: the column 'id' must be text or whole numbers"),
        (parquet(**ROWS | {"image": list("wxyz")}), "b.parquet: one column of images is needed .* it has none"),
        (parquet(a=BYTES[4:8], b=BYTES[4:8]), "b.parquet: one column of images is needed .* it has several: a, b"),
    ],
)
def test_what_is_ambiguous_is_refused_by_every_verb(engine: Engine, tmp_path: Path, make: Make, words: str) -> None:
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in")
    for call in (
        lambda: engine.embed_source(source, tmp_path / "one.h5"),
        lambda: embed_shard(engine, source, tmp_path / "parts", 1, 2),
        lambda: engine.add_source(source, tmp_path / "refs.ct"),
    ):
        with pytest.raises(CopytraceError, match=words):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_two_columns_of_one_name_or_with_dots(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image.x": ["t", "u"], "image": BYTES[:2], "id": ["a", "b"]}), path)
    assert engine.embed_source(path, tmp_path / "x.h5").embedded == 2
    twice = pa.table([pa.array(BYTES[:1]), pa.array(["a"]), pa.array(["b"])], names=["image", "id", "id"])
    pq.write_table(twice, path)
    with pytest.raises(CopytraceError, match="2 columns are called 'id'"):
        engine.embed_source(path, tmp_path / "y.h5")
    path_of_no_text = pa.array([b"\xff"]).view(pa.string())
    images = pa.StructArray.from_arrays([pa.array(BYTES[:1]), path_of_no_text], ["bytes", "path"])
    pq.write_table(pa.table({"image": images}), path)
    assert engine.embed_source(path, tmp_path / "z.h5").embedded == 1


@pytest.mark.parametrize("kind", ["one tar", "tars", "parquet"])
def test_a_file_that_changes_between_two_parts_is_named(engine: Engine, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    name = "b.parquet" if kind == "parquet" else "b.tar"
    source = tmp_path / "in" / (name if kind == "one tar" else "")

    def make(first: int) -> None:
        if kind == "parquet":
            parquet(image=BYTES[first : first + 4], id=list("wxyz"))(tmp_path / "in")
        else:
            members = (member(f"{key}.jpg", BYTES[first + i]) for i, key in enumerate("wxyz"))
            tars(name, tar_of(*members))(tmp_path / "in")

    make(0)
    parts = tmp_path / "parts"
    for i in (0, 1):
        embed_shard(engine, source, parts, i, 3)
    make(4)
    embed_shard(engine, source, parts, 2, 3)
    with pytest.raises(ComparisonError, match=rf"{name}: was another file when .*part-0000\d-of-00003\.h5 was made"):
        merge_parts(parts, tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()
    for i in (0, 1):
        embed_shard(engine, source, parts, i, 3)  # what reads the file is made anew
    merge_parts(parts, tmp_path / "m.h5")
    engine.embed_source(source, tmp_path / "one.h5")
    with open_descriptors(tmp_path / "m.h5") as one, open_descriptors(tmp_path / "one.h5") as other:
        assert one.ids == other.ids and one.descriptors[:].tobytes() == other.descriptors[:].tobytes()
        assert "holders" not in one.datasets()
    os.utime(tmp_path / "in" / name)  # as a copy on another machine has it
    embed_shard(engine, source, tmp_path / "again", 0, 3)
    os.utime(tmp_path / "in" / name, (1, 1))
    for i in (1, 2):
        embed_shard(engine, source, tmp_path / "again", i, 3)
    merge_parts(tmp_path / "again", tmp_path / "m.h5")
