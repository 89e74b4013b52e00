"""What is given away: a source distribution that can be built, and a wheel that does the whole job where it is installed."""

import py_compile
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT

FOLDERS = ("engine", "export", "train")


def run(*command: str | Path, cwd: Path = Path("/")) -> str:
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd)
    assert result.returncode == 0, f"{command}: {result.stdout[-2000:]}{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this one, with what was built in place: making an archive writes beside the sources, where other tests run."""
    folder = tmp_path_factory.mktemp("checkout") / "copytrace"
    left_out = (".git", ".venv", "*cache*", "build", "dist", "runs", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out))
    py_compile.compile(str(folder / "engine" / "errors.py"))
    return folder


@pytest.fixture(scope="module")
def archive(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, which leaves out what was built in place."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", code, cwd=checkout)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from nothing but the archive, with the tools this environment has, so that no index is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, archive)
    return next(folder.glob("*.whl"))


def test_the_source_distribution_has_what_building_and_testing_need(checkout: Path, archive: Path) -> None:
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    present = {str(path.relative_to(checkout)) for folder in ("csrc", "tests", "benchmarks", *FOLDERS)
               for path in (checkout / folder).rglob("*") if path.is_file()}  # fmt: skip
    built = {name for name in present if name.endswith((".so", ".pyc"))}
    assert not sorted(present - built - names)
    assert built and not built & names
    assert {"Makefile", "README.md", "LICENSE", "pyproject.toml", "setup.py", ".ci/run", ".clang-format"} <= names


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert all(name.split("/")[0] == "copytrace" or ".dist-info/" in name for name in names)
    assert not [name for name in names if name.endswith((".cpp", ".hpp", ".md")) and "bundles" not in name]
    assert not [name for name in names if "/container/" in name]
    assert {
        f"copytrace/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    } <= names
    assert {
        "copytrace/engine/bundles/default/whole.int8.onnx",
        "copytrace/engine/photos/truth.csv",
        "copytrace/engine/py.typed",
        "copytrace/engine/_core.pyi",
        "copytrace/engine/score/templates/report.html.j2",
    } <= names
    assert [name for name in names if name.startswith("copytrace/engine/_core.") and not name.endswith(".pyi")]


def test_the_wheel_does_the_whole_job_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's libraries but not this checkout."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")  # a .pth inside these, as ours, is not followed
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    where = run(python, "-c", "import copytrace.engine; print(copytrace.engine.__file__)").strip()
    assert where.startswith(str(site))
    output = run(tmp_path / "env" / "bin" / "copytrace", "demo", "-o", tmp_path / "demo", "--json")
    assert "micro_ap" in output and (tmp_path / "demo" / "pairs.csv").is_file()
