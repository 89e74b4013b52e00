"""What stands beside images in tars and Parquet files is their metadata; what is wrong with it is named."""

import datetime
import decimal
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copytrace.engine.read import Source, open_source, sidecars

from tars import JPEG, member, tar_of, write


def metadata(source: Source) -> dict[str, Any]:
    """By id the metadata, None where there is nothing of the kind, or why it cannot be read."""
    found: dict[str, Any] = {}
    for image in source:
        try:
            found[image.id] = image.metadata()
        except OSError as error:
            assert error.errno is None
            found[image.id] = str(error)
    return found


def beside(path: Path, *json: bytes) -> Any:
    """What is read for a.jpg with these members a.json beside it, and b.jpg with good ones."""
    others = [member("b.jpg"), member("b.json", b"{}")]
    write(path, tar_of(member("a.jpg"), *(member("a.json", data) for data in json), *others))
    found = metadata(open_source(path))
    assert found["b"] == {}
    return found["a"]


def test_json_belongs_to_the_image_of_its_name_or_key(tmp_path: Path) -> None:
    members = [
        *(member(f"d/{name}") for name in ("a.1.jpg", "a.2.jpg", "b.jpg", "c.jpg")),
        *(member(f"./d/{name}.json", b'{"of": "%s"}' % name.encode()) for name in ("a.1", "a", "b", "a.meta")),
        member("d/e.json", b"{}"),
        member("d/f.jpg", kind=b"2", target="none.jpg"),
    ]
    for place in (write(tmp_path / "x.tar", tar_of(*members)), tmp_path):
        source = pickle.loads(pickle.dumps(open_source(place)))
        assert metadata(source) == {
            "a.1": {"of": "a.1"},
            "a.2": {"of": "a"},
            "b": {"of": "b"},
            "c": "no JSON beside it, as other images of its tar have",
            "e": None,  # is no image, which is what is said of it
            "f": "no JSON beside it, as other images of its tar have",
        }
        assert source.ignored == {"JSON beside an image": 3, "not an image": 1}
    write(tmp_path / "x.tar", tar_of(member("a.jpg"), member("x.json", b"[]"), member("y.json", b"")))
    assert metadata(open_source(tmp_path)) == {"a": None}
    assert open_source(tmp_path).ignored == {"not an image": 2}


@pytest.mark.parametrize(
    ("json", "problem"),
    [
        (b"", "a.json: not JSON: Expecting value"),
        (b'{"a": 1', "a.json: not JSON: Expecting ',' delimiter"),
        (b"[1]", "a.json: its JSON is no object"),
        (b"null", "a.json: its JSON is no object"),
        (b'{"a": NaN}', "a.json: not JSON: NaN is no number"),
        (b'{"a": -Infinity}', "a.json: not JSON: -Infinity is no number"),
        (b'{"a": 1e999}', "a.json: not JSON: 1e999 is too large"),
        (b'{"a": 1, "a": 2}', "a.json: not JSON: the key 'a' stands twice"),
        (b'{"a": "\\ud800"}', "a.json: not JSON: 'utf-8' codec can't encode"),
        (b'{"a": "\xff"}', "a.json: not UTF-8 text"),
        ('{"a": 1}'.encode("utf-16"), "a.json: not UTF-8 text"),
        (b"[" * 100_000, "a.json: not JSON: nested too deeply"),
        (b'{"a": ' + b"9" * 400 + b"}", "a.json: not JSON: a whole number is too large"),
        (b'{"a": "' + b"x" * 999 + b'"}', "a.json: 1008 bytes exceed the limit of 1000 for the metadata of one image"),
    ],
)
def test_json_that_cannot_be_metadata_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json: bytes, problem: str
) -> None:
    if len(json) < 2000:
        monkeypatch.setattr(sidecars, "LARGEST", 1000)
    found = beside(tmp_path / "x.tar", json)
    assert isinstance(found, str) and found.startswith(problem) and "\n" not in found


def test_json_is_read_as_it_is(tmp_path: Path) -> None:
    assert beside(tmp_path / "x.tar", '\ufeff{"ü": [1, 2.5, null, {"x": true}], "id": 7}'.encode()) == {
        "ü": [1, 2.5, None, {"x": True}],
        "id": 7,
    }
    assert beside(tmp_path / "x.tar", b"{}", b"{}") == "a.json is there twice"
    assert open_source(tmp_path / "x.tar").ignored == {"JSON beside an image": 3}


def test_json_in_a_damaged_or_changed_tar(tmp_path: Path) -> None:
    data = tar_of(member("a.jpg"), member("a.json", b"{}"), member("b.jpg"), member("b.json", b"{}" + b" " * 600))
    for place in (tmp_path / "x.tar", tmp_path):
        write(tmp_path / "x.tar", data)
        listed = open_source(place)
        cut = data.index(b"{}" + b" " * 600) + 100
        write(tmp_path / "x.tar", data[:cut])
        found = metadata(open_source(place, on_damage="skip"))
        assert found["b"] == "b.json: cut off: the tar ends inside it (100 of 602 bytes are there)"
        assert found["a"] == {} and len(found) == 3  # with the damage
        assert metadata(listed)["b"] == "x.tar has changed since it was listed"
    lost = data[: data.index(b"b.json")] + b"x" + data[data.index(b"b.json") + 1 :]
    write(tmp_path / "x.tar", lost)
    found = metadata(open_source(tmp_path / "x.tar", on_damage="skip"))
    assert found["b"] == "no JSON beside it, as other images of its tar have" and len(found) == 3


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table({"image": [JPEG] * 3, "id": ["a", "b", "c"], **columns}), path, row_group_size=2)
    return path


def test_other_columns_are_metadata(tmp_path: Path) -> None:
    columns = {
        "text": ["x", None, "ü"],
        "number": [1, 2, 3],
        "score": [0.5, float("nan"), float("inf")],
        "labels": [[1], [], None],
        "struct": [{"x": 1, "d": datetime.date(2020, 1, 2)}] * 3,
        "when": [datetime.datetime(2020, 1, 2, 3, 4, 5)] * 3,
        "price": [decimal.Decimal("1.50")] * 3,
        "mask": [b"1"] * 3,
        "pairs": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
    }
    source = pickle.loads(pickle.dumps(open_source(parquet(tmp_path / "x.parquet", **columns))))
    found = metadata(source)
    assert found["a"] == {
        "text": "x",
        "number": 1,
        "score": 0.5,
        "labels": [1],
        "struct": {"x": 1, "d": "2020-01-02"},
        "when": "2020-01-02T03:04:05",
        "price": "1.50",
    }
    assert found["b"] == "the column 'score' in row 1 of x.parquet: NaN is no number"
    assert found["c"] == "the column 'score' in row 2 of x.parquet: Infinity is no number"
    assert source.ignored == {"column that metadata cannot hold": 2}
    assert [image.read() for image in source] == [JPEG] * 3
    assert metadata(open_source(parquet(tmp_path / "x.parquet"))) == {"a": None, "b": None, "c": None}
    twice = pa.table([pa.array([JPEG]), pa.array([1]), pa.array([2])], names=["image", "n", "n"])
    pq.write_table(twice, tmp_path / "x.parquet")
    assert metadata(open_source(tmp_path / "x.parquet")) == {"x-000000": None}
    assert open_source(tmp_path / "x.parquet").ignored == {"column that metadata cannot hold": 2}


def test_a_column_called_metadata_is_all_of_it(tmp_path: Path) -> None:
    texts = ['{"a": 1}', None, '{"a": NaN}']
    found = metadata(open_source(parquet(tmp_path / "x.parquet", metadata=texts, other=[1, 2, 3])))
    assert found == {
        "a": {"a": 1},
        "b": None,
        "c": "the column 'metadata' in row 2 of x.parquet: not JSON: NaN is no number",
    }
    found = metadata(open_source(parquet(tmp_path / "x.parquet", metadata=[{"a": 1}, None, {"a": None}])))
    assert found == {"a": {"a": 1}, "b": None, "c": {"a": None}}
    found = metadata(open_source(parquet(tmp_path / "x.parquet", metadata=["[]", "x", ""])))
    assert [text.partition(": ")[2][:14] for text in found.values()] == [
        "its JSON is no",
        "not JSON: Expe",
        "not JSON: Expe",
    ]
    found = metadata(open_source(parquet(tmp_path / "x.parquet", metadata=[1, 2, 3])))
    assert set(map(str, found.values())) == {
        f"the column 'metadata' in row {i} of x.parquet: neither text with a JSON object nor a struct" for i in range(3)
    }
