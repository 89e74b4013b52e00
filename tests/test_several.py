"""Tars, WebDataset's among them, and Parquet files as sources: what is damaged, missing or there twice is named."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copytrace.engine import DuplicateIdError, Engine, SourceError, embed_shard, merge_parts, open_descriptors
from copytrace.engine.read import Source, open_source

from bundle_files import small_bundle
from conftest import PHOTOS
from tars import JPEG, member, tar_of, write

BYTES = [path.read_bytes() for path in sorted((PHOTOS / "references").glob("*.jpg"))[:12]]


def problems(source: Source) -> dict[str, str]:
    found = {}
    for image in source:
        try:
            image.read()
        except OSError as error:
            found[image.id] = str(error)
    return found


def tars(folder: Path) -> Path:
    """a.tar with 0 to 5, b.tar with 6 to 11, each with JSON beside it as WebDataset has it."""
    folder.mkdir()
    for name, start in (("a", 0), ("b", 6)):
        members = []
        for i in range(start, start + 6):
            members += [member(f"{i:03d}.jpg", BYTES[i]), member(f"{i:03d}.json", b'{"caption": "x"}')]
        write(folder / f"{name}.tar", tar_of(*members))
    return folder


def table(ids: list[Any] | None, images: list[Any], kind: str = "bytes") -> pa.Table:
    column = pa.array([{"bytes": data, "path": None} for data in images] if kind == "struct" else images)
    if kind == "large":
        column = column.cast(pa.large_binary())
    return pa.table({"image": column} | ({} if ids is None else {"id": ids}))


def test_a_folder_or_list_of_tars_is_a_source(tmp_path: Path) -> None:
    folder = tars(tmp_path / "in")
    (folder / "sub").mkdir()
    (folder / "b.tar").rename(folder / "sub" / "b.tar")
    listing = tmp_path / "tars.txt"
    listing.write_text("in/a.tar\nin/sub/b.tar\n")
    paths = [folder / "a.tar", folder / "sub" / "b.tar"]
    for place in (folder, listing, paths):
        source = open_source(place)
        assert source.ids() == [f"{i:03d}" for i in range(12)]
        assert [image.read() for image in pickle.loads(pickle.dumps(source))] == BYTES
        assert source.ignored == {"JSON beside an image": 12} and set(paths) <= set(source.files())
    assert open_source(folder, ids="path").ids()[6] == "sub/b.tar/006.jpg"
    (folder / "x.jpg").write_bytes(JPEG)
    assert open_source(folder).ids() == ["x"]
    assert open_source(folder).ignored == {"tar or Parquet file beside images": 2}
    with pytest.raises(SourceError, match=r"tars.txt: holds .*in/a.tar, of many images, and .*in/x.jpg"):
        listing.write_text("in/a.tar\nin/x.jpg\n")
        open_source(listing)


def test_keys_of_webdataset(tmp_path: Path) -> None:
    members = [member("d/a.1.jpg"), member("d/a.1.json", b"{}"), member("d/b.jpg"), member("d/b.json", b"{}")]
    path = write(tmp_path / "a.tar", tar_of(*members))
    assert open_source(path, ids="key").ids() == ["d/a", "d/b"]
    assert open_source(path).ids() == ["a.1", "b"]
    write(path, tar_of(*members, member("d/c.json", b"{}")))
    assert problems(open_source(path, ids="key")) == {"d/c": "no image beside d/c.json"}
    write(path, tar_of(member("a.jpg"), member("list.json", b"[]")))
    assert problems(open_source(path)) == {}  # no sample has JSON here: it is another file
    write(path, tar_of(member("a.input.jpg"), member("a.target.jpg")))
    with pytest.raises(DuplicateIdError, match=r"'a': a.input.jpg and a.target.jpg"):
        open_source(path, ids="key")


def test_damaged_tars_are_named(tmp_path: Path) -> None:
    folder = tars(tmp_path / "in")
    data = (folder / "a.tar").read_bytes()
    (folder / "a.tar").write_bytes(data[: 512 + len(BYTES[0]) // 2])
    (folder / "c.tar").write_bytes(b"")
    with pytest.raises(SourceError, match=r"cut off"):
        open_source(folder)
    source = open_source(folder, on_damage="skip")
    found = problems(source)
    assert set(found) == {"000", "c.tar@0"} and "the tar ends inside it" in found["000"]
    assert len(source) == 8
    write(folder / "b.tar", tar_of(*(member(f"{i:03d}.jpg", BYTES[i]) for i in range(6, 12))) + bytes(512))
    assert "b.tar has changed since it was listed" in problems(source)["006"]
    listing = tmp_path / "tars.txt"
    listing.write_text("in/b.tar\nin/none.tar\n")
    assert problems(open_source(listing, on_damage="skip"))[f"{folder.name}/none.tar"] == (
        "in/none.tar: cannot be read: No such file or directory"
    )


def test_one_id_in_two_files_is_named(tmp_path: Path) -> None:
    folder = tars(tmp_path / "in")
    write(folder / "c.tar", tar_of(member("003.jpg")))
    with pytest.raises(DuplicateIdError, match=r"'003': a.tar/003.jpg and c.tar/003.jpg"):
        open_source(folder)
    assert len(open_source(folder, ids="path")) == 13
    parquet = tmp_path / "parquet"
    parquet.mkdir()
    for name in "ab":
        pq.write_table(table(["x", name], BYTES[:2]), parquet / f"{name}.parquet")
    with pytest.raises(DuplicateIdError, match=r"'x': a.parquet/000000 and b.parquet/000000"):
        open_source(parquet)


@pytest.mark.parametrize("kind", ["bytes", "struct", "large"])
def test_parquet(tmp_path: Path, kind: str) -> None:
    order = [5, 3, 11, 0, 8, 1, 10, 2, 9, 4, 7, 6]
    for name, chosen in (("a", order[:7]), ("b", order[7:])):
        rows = table([f"{i:03d}" for i in chosen], [BYTES[i] for i in chosen], kind)
        pq.write_table(rows, tmp_path / f"{name}.parquet", row_group_size=3)
    source = pickle.loads(pickle.dumps(open_source(tmp_path)))
    assert source.ids() == [f"{i:03d}" for i in range(12)] and [image.read() for image in source] == BYTES
    one = open_source(tmp_path / "b.parquet", ids="path")
    assert one.ids() == [f"b.parquet/{i:06d}" for i in range(5)]
    pq.write_table(table(None, BYTES[:2], kind), tmp_path / "c.parquet")
    assert open_source(tmp_path / "c.parquet").ids() == ["c-000000", "c-000001"]
    pq.write_table(table([7, 12], BYTES[:2], kind), tmp_path / "c.parquet")
    assert open_source(tmp_path / "c.parquet").ids() == ["12", "7"]


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    rows = table(["a", "b", None, "d", "e"], [BYTES[0], None, BYTES[2], b"no image", BYTES[4]], "struct")
    path = tmp_path / "x.parquet"
    pq.write_table(rows, path, row_group_size=4, compression="NONE")
    with pytest.raises(SourceError, match=r"row 2 of x\.parquet has no id"):
        open_source(path)
    source = open_source(path, on_damage="skip", byte_limit=len(BYTES[4]) - 1)
    found = problems(source)
    assert found["b"].startswith("row 1 of x.parquet holds no image") and "not an image" in found["d"]
    assert found["x.parquet/000002"] == "row 2 of x.parquet has no id" and "exceed the limit" in found["e"]
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes(200) + data[300:])
    assert "has changed since" in problems(pickle.loads(pickle.dumps(source)))["a"]  # without what was read before
    path.write_bytes(data[: len(data) // 2])
    assert "x.parquet: not a readable Parquet file" in problems(open_source(path, on_damage="skip"))["x.parquet"]
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        open_source(path)
    at = pq.ParquetFile(_rewritten(path, data)).metadata.row_group(0).column(0)
    start = at.dictionary_page_offset or at.data_page_offset
    path.write_bytes(data[:start] + b"\xff" * 40 + data[start + 40 :])
    assert "row group 0 of x.parquet cannot be read" in problems(open_source(path, on_damage="skip"))["a"]
    assert "e" not in problems(open_source(path, on_damage="skip"))


def _rewritten(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_columns_that_are_none_are_refused(tmp_path: Path) -> None:
    for columns, words in (
        ({"text": ["x"]}, "it has none; it has text"),
        ({"a": [b"x"], "b": [b"y"]}, "it has several: a, b; call one of them 'image'"),
        ({"image": [b"x"], "id": [1.5]}, "'id' must be text or whole numbers, not double"),
    ):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        with pytest.raises(SourceError, match=words):
            open_source(tmp_path / "x.parquet", on_damage="skip")
    (tmp_path / "y.tar").write_bytes(tar_of(member("a.jpg")))
    with pytest.raises(SourceError, match="files of one kind that hold many images, not of"):
        open_source(tmp_path)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_shards_of_damaged_files_are_what_one_run_makes(tmp_path: Path, kind: str) -> None:
    engine = Engine(small_bundle(tmp_path / "bundle"), precision="float32")
    folder = tars(tmp_path / "in") if kind == "tar" else tmp_path / "in"
    if kind == "tar":
        data = (folder / "b.tar").read_bytes()
        (folder / "b.tar").write_bytes(data[: len(data) // 2])
    else:
        folder.mkdir()
        for name, chosen in (("a", range(0, 12, 2)), ("b", range(1, 12, 2)), ("c", range(1))):
            pq.write_table(
                table([name + str(i) for i in chosen], [BYTES[i] for i in chosen]), folder / f"{name}.parquet"
            )
        data = (folder / "c.parquet").read_bytes()
        (folder / "c.parquet").write_bytes(data[:-20])
    engine.embed_source(folder, tmp_path / "w.h5")
    for i in range(3):
        embed_shard(engine, folder, tmp_path / "parts", i, 3)
    merge_parts(tmp_path / "parts", tmp_path / "m.h5")
    with open_descriptors(tmp_path / "w.h5") as one, open_descriptors(tmp_path / "m.h5") as other:
        assert one.failed() and one.ids == other.ids and one.failed() == other.failed()
        assert one.descriptors[:].tobytes() == other.descriptors[:].tobytes()
