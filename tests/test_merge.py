"""Parts of a source embedded apart and merged hold what the whole holds; what does not belong together is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from copytrace.engine import ComparisonError, Engine, StoreError, merge_descriptors, open_descriptors
from copytrace.engine.read import open_source
from copytrace.engine.store import write_descriptors

from bundle_files import small_bundle


def contents(path: Path) -> tuple[Any, ...]:
    with open_descriptors(path) as file:
        attributes = {name: value for name, value in file.attributes.items() if name != "run"}
        return file.ids, file.views, file.descriptors[:].tobytes(), file.failed(), file.damaged(), attributes


@pytest.mark.parametrize("views", ["whole", "turns"])
def test_merged_parts_hold_what_the_whole_does(tmp_path: Path, views: Any) -> None:
    engine = Engine(small_bundle(tmp_path / "bundle"), precision="float32")
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (9, 40, 48, 3), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    for name in ("1x", "6x"):
        (tmp_path / "in" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    source = open_source(tmp_path / "in")
    engine.embed_source(source, tmp_path / "whole.h5", views=views)
    parts = [tmp_path / f"{i}.h5" for i in range(3)]
    for i, path in enumerate(parts):
        engine.embed_source(source.part(i, 3), path, views=views)
    done = merge_descriptors(parts, tmp_path / "merged.h5")
    assert (done.images, done.failed, done.rows) == (9, 2, 9 if views == "whole" else 36)
    assert contents(tmp_path / "merged.h5") == contents(tmp_path / "whole.h5")
    merge_descriptors(reversed(parts), tmp_path / "merged.h5")  # type: ignore[arg-type]
    assert contents(tmp_path / "merged.h5") == contents(tmp_path / "whole.h5")


def write(path: Path, ids: list[str], rows: Any = None, failed: list[str] | None = None, **more: Any) -> Path:
    rows = np.eye(len(ids), 4, dtype=np.float32) if rows is None else rows
    columns = more.pop("columns", None)
    write_descriptors(path, [(ids, rows)], rows.shape, [(name, "bad") for name in failed or ()], more, columns=columns)
    return path


def test_rows_in_any_order_are_sorted_by_id(tmp_path: Path) -> None:
    a = write(tmp_path / "a.h5", ["z", "b", "m"], np.arange(12, dtype=np.float32).reshape(3, 4), kind="x", other="same")
    b = write(tmp_path / "b.h5", ["y", "a"], np.arange(12, 20, dtype=np.float32).reshape(2, 4), kind="y", other="same")
    run = [sys.executable, "-c", "from copytrace.engine.cli.main import main; main()", "merge"]
    command = [*run, str(b), str(a), "-o", str(tmp_path / "m.h5"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout)["rows"] == 5, done.stderr
    with open_descriptors(tmp_path / "m.h5") as file:
        assert file.ids == ["a", "b", "m", "y", "z"]
        assert file.descriptors[:, 0].tolist() == [16, 4, 8, 12, 0]
        assert dict(file.attributes) == {"other": "same"}


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.h5", ["a", "b"], failed=["f"], space="s1", role="reference")
    views = {"views": ["whole", "whole"]}
    alike: dict[str, Any] = {"space": "s1", "role": "reference"}
    for name, other, error, words in (
        ("id", {"ids": ["b", "c"]}, StoreError, "the id 'b' is in .*a.h5 too"),
        ("failed", {"ids": ["f", "c"]}, StoreError, "the id 'f' is in .*a.h5 too"),
        ("twice", {"ids": ["c", "c"]}, StoreError, "the id 'c' occurs twice"),
        ("space", {"ids": ["c"], "space": "s2"}, ComparisonError, "different space: .*a.h5 s1, .*space.h5 s2"),
        ("role", {"ids": ["c"], "role": "query"}, ComparisonError, "different role"),
        ("precision", {"ids": ["c"], "precision": "int8"}, ComparisonError, "different precision: .* not told"),
        ("size", {"ids": ["c"], "rows": np.ones((1, 5), np.float32)}, ComparisonError, "dimensions differ"),
        ("nan", {"ids": ["c"], "rows": np.full((1, 4), np.nan, np.float32)}, StoreError, "nan.h5: NaN"),
        ("views", {"ids": ["c", "d"], "columns": views}, ComparisonError, "only one of them holds views"),
        ("view", {"ids": ["c", "c"], "columns": views}, StoreError, "the view 'whole' of the id 'c' occurs twice"),
        ("more", {"ids": ["c"], "columns": {"metadata": ["{}"]}}, StoreError, "holds metadata, which merging"),
    ):
        b = write(tmp_path / f"{name}.h5", **(alike | other))
        first = write(tmp_path / "w.h5", ["a"], columns={"views": ["x"]}, **alike) if name == "view" else a
        with pytest.raises(error, match=words):
            merge_descriptors([first, b], tmp_path / "m.h5")
    with pytest.raises(StoreError, match="is read by this command"):
        merge_descriptors([a, a], a)
    with pytest.raises(StoreError, match=r"the id '.' is in"):
        merge_descriptors([a, a], tmp_path / "m.h5")
    for files, error in (([a], ValueError), ([], ValueError), (str(a), TypeError), ([a, 3], TypeError)):
        with pytest.raises(error):
            merge_descriptors(files, tmp_path / "m.h5")  # type: ignore[arg-type]
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for half in ("query", "reference"):
            file[half], file[f"{half}_ids"] = np.eye(2, 4, dtype=np.float32), [b"x", b"y"]
    with pytest.raises(StoreError, match=r"s\.h5: holds query, query_ids"):
        merge_descriptors([tmp_path / "s.h5", a], tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()
