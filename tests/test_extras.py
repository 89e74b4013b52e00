"""What is said where an optional library is missing, or cannot be loaded for want of one of the system's."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from copytrace.engine import MissingExtraError
from copytrace.engine.errors import optional_module
from copytrace.engine.extras import BROUGHT

from conftest import PHOTOS, ROOT

HIDING = """
import sys
error, hidden = eval(sys.argv[1]), set(sys.argv[2].split(","))
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise error(name)
sys.meta_path.insert(0, Hidden())
from copytrace.engine.cli import main
for command in sys.argv[3:]:
    sys.argv = ["copytrace", *command.split("|")]
    try:
        main()
    except SystemExit as end:
        print(end.code, flush=True)
"""
MISSING = "lambda name: ModuleNotFoundError(f'No module named {name!r}', name=name)"
NO_CUDA = "lambda name: ImportError('libcublasLt.so.12: cannot open shared object file', name=name)"


def outcomes(error: str, *commands: str) -> list[tuple[str, str]]:
    """Exit code and line of each command, where no optional library can be imported."""
    every = ",".join({module for modules in BROUGHT.values() for module in modules})
    result = subprocess.run([sys.executable, "-c", HIDING, error, every, *commands], capture_output=True, text=True)
    codes, lines = result.stdout.split(), result.stderr.splitlines()
    assert len(codes) == len(lines) == len(commands), result.stdout + result.stderr
    return list(zip(codes, lines, strict=True))


@pytest.mark.parametrize(("error", "why"), [(MISSING, "is not installed; "), (NO_CUDA, "libcublasLt.so.12")])
def test_every_verb_that_needs_an_extra_names_it_in_one_line(error: str, why: str, tmp_path: Path) -> None:
    queries, bundle = PHOTOS / "queries", ROOT / "engine" / "bundles" / "default"
    needed = {
        f"embed|{queries}|-o|{tmp_path}/f.h5|--runtime|onnxruntime": "cpu",  # the native core needs no extra
        f"embed|{queries}|-o|{tmp_path}/f.h5|--precision|float32": "cpu",
        f"match|{queries}|{queries}|-o|{tmp_path}/m.csv|--runtime|onnxruntime": "cpu",
        f"dedup|{queries}|-o|{tmp_path}/g.csv|--runtime|onnxruntime": "cpu",
        f"collection|add|{tmp_path}/refs.ct|{queries}|--runtime|onnxruntime": "cpu",
        f"embed|{queries}|-o|{tmp_path}/f.h5|--ray|auto|--shards|2": "ray",
        f"serve|{tmp_path}/refs.ct|--no-auth": "serve",
        f"client|match|{queries}": "serve",
        f"train|{queries}|-o|{tmp_path}/run": "train",
        f"train|fit-bank|{bundle}|{queries}": "train",
        f"train|tune|{bundle}|{queries}": "train",
        f"train|detector|{queries}|-o|{tmp_path}/run": "train",
    }
    for (code, line), (command, extra) in zip(outcomes(error, *needed), needed.items(), strict=True):
        assert code == "1" and line.startswith("error: ") and why in line, (command, line)
        assert f'pip install "copytrace[{extra}]"' in line, (command, line)
    assert not list(tmp_path.iterdir())


def test_a_bundle_is_shown_without_a_runtime_and_that_is_said() -> None:
    result = subprocess.run(
        [sys.executable, "-c", HIDING, MISSING, "onnxruntime", "bundle|info"], capture_output=True, text=True
    )
    assert "networks were not opened: onnxruntime is not installed" in result.stderr
    assert len(result.stderr.splitlines()) == 1 and "bank: " in result.stdout


@pytest.mark.parametrize("error", [ImportError("libcuda.so.1: cannot open"), OSError("libgomp.so.1: cannot open")])
def test_a_library_that_lacks_one_of_the_systems(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise error

    monkeypatch.setattr("copytrace.engine.errors.import_module", load)
    with pytest.raises(
        MissingExtraError, match=r'faiss cannot be loaded: lib.* cannot open; pip install "copytrace\[cpu\]"'
    ):
        optional_module("faiss", "cpu", "gpu")


def test_the_extras_are_those_that_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert BROUGHT.keys() <= project["optional-dependencies"].keys()
