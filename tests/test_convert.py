"""Descriptors to NumPy and Parquet and back: every bit is kept, and what is odd is one error."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import CopytraceError, StoreError, convert_descriptors, open_descriptors, search
from copytrace.engine.store import write_descriptors, write_submission

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
import pyarrow  # noqa: E402

IDS = ["b", "a, ü", "10", 'quote " and blank']


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "copytrace"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def rows() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(4, 6)).astype(np.float32)
    values[0, :3] = [-0.0, 1e-42, 1e17]  # a negative zero, a denormal, a large one
    return values


@pytest.fixture
def file(tmp_path: Path, rows: np.ndarray) -> Path:
    attributes = {"role": "reference", "output": "projected", "space": "ab" * 32, "count": 3}
    path = tmp_path / "f.h5"
    write_descriptors(path, [(IDS, rows)], rows.shape, [("bad", "empty file")], attributes, [("b", "zeros")])
    return path


def content(path: Path) -> tuple[object, ...]:
    with open_descriptors(path) as file:
        return file.ids, file.descriptors[:].tobytes(), dict(file.attributes), file.failed(), file.damaged()


def test_parquet_keeps_everything(file: Path, rows: np.ndarray, tmp_path: Path) -> None:
    result = json.loads(run("convert", file, "-o", tmp_path / "f.parquet", "--json").stdout)
    assert result["rows"] == 4 and result["dimension"] == 6 and result["left_out"] == []
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column("id").to_pylist() == IDS and table.schema.field("descriptor").type.list_size == 6
    assert table.column("descriptor").to_pylist() == rows.tolist()
    run("convert", tmp_path / "f.parquet", "-o", tmp_path / "back.h5")
    assert content(tmp_path / "back.h5") == content(file)
    run("convert", file, "-o", tmp_path / "f.parquet")  # a file of the same kind may be replaced


def test_npy_keeps_rows_and_ids(file: Path, rows: np.ndarray, tmp_path: Path) -> None:
    done = convert_descriptors(file, tmp_path / "f.npy")
    assert done.left_out == ("attributes", "failed", "damaged")
    assert "not kept" in run("convert", file, "-o", tmp_path / "f.npy").stdout
    assert np.load(tmp_path / "f.npy").tobytes() == rows.tobytes()
    assert (tmp_path / "f.ids.txt").read_text().splitlines() == IDS
    convert_descriptors(tmp_path / "f.npy", tmp_path / "back.h5")
    assert content(tmp_path / "back.h5")[:2] == content(file)[:2]
    assert list(search(tmp_path / "back.h5", tmp_path / "back.h5", k=1)) == list(search(file, file, k=1))


def test_half_of_a_submission(file: Path, tmp_path: Path) -> None:
    queries = np.zeros((2, 6), np.float32)
    write_descriptors(tmp_path / "q.h5", [(["q1", "q2"], queries)], queries.shape, [], {})
    write_submission(tmp_path / "q.h5", file, tmp_path / "s.h5")
    assert convert_descriptors(tmp_path / "s.h5", tmp_path / "s.npy", role="query").rows == 2
    assert convert_descriptors(tmp_path / "s.h5", tmp_path / "s.npy").rows == 4


def test_tables_of_other_writers(tmp_path: Path) -> None:
    lists = pyarrow.array([[1.0, 2.0], [3.0, 4.0]], pyarrow.list_(pyarrow.float64()))
    parquet.write_table(pyarrow.table({"descriptor": lists, "id": [7, 8], "more": ["x", "y"]}), tmp_path / "o.parquet")
    convert_descriptors(tmp_path / "o.parquet", tmp_path / "o.h5")
    with open_descriptors(tmp_path / "o.h5") as file:
        assert file.ids == ["7", "8"] and file.descriptors[:].tolist() == [[1, 2], [3, 4]]


ODD_TABLES = {
    "no id": {"descriptor": [[1.0]]},
    "no descriptor": {"id": ["a"]},
    "lengths differ": {"id": ["a", "b"], "descriptor": [[1.0], [1.0, 2.0]]},
    "null": {"id": ["a", "b"], "descriptor": [[1.0], None]},
    "null value": {"id": ["a"], "descriptor": [[1.0, None]]},
    "null id": {"id": ["a", None], "descriptor": [[1.0], [2.0]]},
    "text": {"id": ["a"], "descriptor": [["x"]]},
    "no lists": {"id": ["a"], "descriptor": [1.0]},
    "nan": {"id": ["a"], "descriptor": [[float("nan")]]},
    "too large": {"id": ["a"], "descriptor": [[1e300]]},
    "twice": {"id": ["a", "a"], "descriptor": [[1.0], [2.0]]},
    "float ids": {"id": [1.5], "descriptor": [[1.0]]},
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_odd_tables_are_one_error(name: str, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table(ODD_TABLES[name]), tmp_path / "t.parquet")
    with pytest.raises(StoreError, match=r"t\.parquet"):
        convert_descriptors(tmp_path / "t.parquet", tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_odd_metadata_is_one_error(file: Path, tmp_path: Path) -> None:
    convert_descriptors(file, tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet")
    good = {"attributes": {}, "failed": [], "damaged": []}
    for odd in (
        [],
        {},
        {**good, "attributes": {"a": "zero \0"}},
        {**good, "attributes": {"a": 1 << 80}},
        {**good, "attributes": {"a": "\ud800"}},
        {**good, "failed": [["x\0", "y"]]},
        {**good, "damaged": [1]},
    ):
        changed = table.replace_schema_metadata({b"copytrace": json.dumps(odd).encode()})
        parquet.write_table(changed, tmp_path / "odd.parquet")
        with pytest.raises(StoreError, match=r"odd\.parquet"):
            convert_descriptors(tmp_path / "odd.parquet", tmp_path / "odd.h5")


def test_damaged_files_are_an_error_or_right(file: Path, tmp_path: Path) -> None:
    for suffix in ("parquet", "npy"):
        good = tmp_path / f"good.{suffix}"
        convert_descriptors(file, good)
        data, odd = good.read_bytes(), tmp_path / f"odd.{suffix}"
        (tmp_path / "odd.ids.txt").write_text("\n".join(IDS))
        rng = np.random.default_rng(1)
        for _ in range(150):
            changed = bytearray(data)
            changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
            odd.write_bytes(bytes(changed) if rng.random() < 0.8 else data[: rng.integers(len(data))])
            try:
                convert_descriptors(odd, tmp_path / "odd.h5")
            except CopytraceError as error:
                assert "\n" not in str(error)


def test_wrong_files_and_names(file: Path, tmp_path: Path) -> None:
    convert_descriptors(file, tmp_path / "f.npy")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "f.parquet").symlink_to(file)
    (tmp_path / "ids.npy").write_text("notes")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "objects.ids.txt").write_text("a\n")
    np.save(tmp_path / "lonely.npy", np.ones((2, 2), np.float32))
    (tmp_path / "mine.ids.txt").write_text("a text of somebody")
    for source, target in [
        (file, tmp_path / "x.h5"),
        (file, tmp_path / "x.txt"),
        (file, tmp_path / "f.parquet"),
        (file, tmp_path / "ids.npy"),
        (file, tmp_path / "mine.npy"),
        (tmp_path / "f.npy", tmp_path / "x.parquet"),
        (tmp_path / "f.npy", tmp_path / "nowhere" / "x.h5"),
        (tmp_path / "objects.npy", tmp_path / "x.h5"),
        (tmp_path / "lonely.npy", tmp_path / "x.h5"),
        (tmp_path / "none.parquet", tmp_path / "x.h5"),
    ]:
        with pytest.raises(StoreError):
            convert_descriptors(source, target)
    run("convert", file, "-o", tmp_path / "x.csv", code=1)
    assert {path: path.read_bytes() for path in before} == before
    rows = np.ones((1, 2), np.float32)
    write_descriptors(tmp_path / "line.h5", [(["two\nlines"], rows)], rows.shape, [], {})
    with pytest.raises(StoreError, match="cannot stand on a line"):
        convert_descriptors(tmp_path / "line.h5", tmp_path / "line.npy")
    convert_descriptors(tmp_path / "line.h5", tmp_path / "line.parquet")


def test_without_pyarrow_the_extra_is_named(file: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pyarrow"] = None
from copytrace.engine import MissingExtraError, convert_descriptors
try:
    convert_descriptors({str(file)!r}, {str(tmp_path / "f.parquet")!r})
except MissingExtraError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "copytrace[parquet]" in result.stdout
