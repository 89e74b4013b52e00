"""A run that is gone on with takes the runtime it was begun with, which a new choice of the faster one need not be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copytrace.engine.begun_runtime import begun_runtime
from copytrace.engine.store import Journal, Shard, write_descriptors

from conftest import PHOTOS
from in_process import run

TENSORRT, ORT = "TensorRT 10.13.2 on NVIDIA H200", "ONNX Runtime 1.23.2 on NVIDIA H200"


def begun(path: Path, runtime: str | None) -> None:
    Journal(path, {"role": "reference"} | ({} if runtime is None else {"runtime": runtime}), 8, resume=False).close()


def done(path: Path, runtime: str) -> None:
    write_descriptors(path, [(["a"], np.ones((1, 8), np.float32))], (1, 8), [], {"runtime": runtime})


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (TENSORRT, "tensorrt"),
        ("TensorRT for RTX 1.1.1 on NVIDIA RTX", "tensorrt"),
        (ORT, "onnxruntime"),
        (f"{ORT}; {ORT}", "onnxruntime"),
        (f"{ORT}; {TENSORRT}", "auto"),
        ("something new", "auto"),
        (None, "auto"),
    ],
)
def test_a_journal_names_it(tmp_path: Path, told: str | None, name: str) -> None:
    assert begun_runtime(tmp_path / "f.h5") == "auto"
    begun(tmp_path / "f.h5", told)
    assert begun_runtime(tmp_path / "f.h5") == name
    if told is not None:
        (tmp_path / "f.h5.partial").unlink()
        done(tmp_path / "f.h5", told)
        assert begun_runtime(tmp_path / "f.h5") == name


@pytest.mark.parametrize(
    "data", [b"", b"copytrace journal", b"copytrace journal [1]\n", b"copytrace journal {\n", b"\xff" * 99]
)
def test_a_journal_that_cannot_be_read_names_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.h5.partial").write_bytes(data)
    assert begun_runtime(tmp_path / "f.h5") == begun_runtime(tmp_path) == begun_runtime(Path()) == "auto"


def test_of_a_shard_that_is_not_begun_another_is_asked(tmp_path: Path) -> None:
    assert begun_runtime(tmp_path / "none", Shard(0, 4)) == "auto"
    done(tmp_path / Shard(0, 3).file, ORT)  # of another run
    assert begun_runtime(tmp_path, Shard(0, 4)) == "auto"
    begun(tmp_path / Shard(3, 4).file, TENSORRT)
    assert begun_runtime(tmp_path, Shard(0, 4)) == "tensorrt"
    done(tmp_path / Shard(1, 4).file, ORT)
    assert begun_runtime(tmp_path, Shard(0, 4)) == "onnxruntime"
    begun(tmp_path / Shard(0, 4).file, TENSORRT)
    assert begun_runtime(tmp_path, Shard(0, 4)) == "tensorrt"


@pytest.mark.parametrize("options", [["--resume"], ["--shard", "0/2"]])
def test_embed_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    given: list[Any] = []

    class OpenedError(Exception):
        pass

    def opened(bundle: Path, **how: Any) -> None:
        given.append(how["runtime"])
        raise OpenedError

    monkeypatch.setattr("copytrace.engine.cli.embed.open_engine", opened)
    shard = "--shard" in options
    begun(tmp_path / Shard(0, 2).file if shard else tmp_path / "f.h5", TENSORRT)
    command = ("embed", PHOTOS / "queries", "-o", tmp_path if shard else tmp_path / "f.h5")
    for more in ([*options], [*options, "--runtime", "onnxruntime"], *([] if shard else [[]])):
        with pytest.raises(OpenedError):
            run(*command, *more)
    assert given == ["tensorrt", "onnxruntime", *([] if shard else ["auto"])]
