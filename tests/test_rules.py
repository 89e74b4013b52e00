"""The design's rules, checked from the source: who imports whom, what is installed, lint and types."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

STAGES = {"read", "infer", "describe", "store", "search", "match", "score", "collection", "milvus"}
HEAVY = {
    "torch",
    "timm",
    "tensorrt",
    "tensorrt_rtx",
    "tensorrt_rtx_bindings",
    "cuda",
    "nvidia",
    "faiss",
    "onnxruntime",
    "ray",
    "pymilvus",
    "milvus_lite",
    "grpc",
    "augly",
    "albumentations",
    "torchvision",
}
SERVING = {"fastapi", "uvicorn", "httpx", "pydantic_settings", "prometheus_client", "threatexchange"}
"""What ``copytrace.engine.serve`` and ``copytrace.engine.threatexchange`` are made of; nothing else loads it."""
FOLDERS = ("engine", "export", "train")
_MADE_OF = {"attacks", "data", "models", "objectives"}
HOUSES = {
    "attacks": set(),
    "data": {"attacks"},
    "models": set(),
    "objectives": set(),
    "loop": {"data", "models", "objectives"},
    "bundles": {"data", "models", "objectives"},
    "tools": {"attacks", "data", "models"},
    "validation_sets": {"data"},  # no attacks: edits that choose between models are other code
    "detector": _MADE_OF | {"loop", "bundles", "run"},
    "run": _MADE_OF | {"loop", "bundles"},
    "verbs": _MADE_OF | {"loop", "bundles", "run", "detector", "presets"},
    "settings": set(),
    "presets": set(),
    "option": set(),
}
"""Every house of train/, and every module beside them -> the houses that it may import; all may import the settings."""


def imports(path: Path) -> list[tuple[str, bool]]:
    """(absolute dotted name, whether it is imported when the module is) of everything a file imports."""
    tree = ast.parse(path.read_text())
    package = ["copytrace", *path.relative_to(ROOT).parent.parts]
    top_level = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        now = id(node) in top_level
        if isinstance(node, ast.Import):
            found += [(alias.name, now) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(module, now), *((f"{module}.{alias.name}", now) for alias in node.names)]
    return found


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("engine"), ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_imports_follow_the_rules(path: Path) -> None:
    parts = path.relative_to(ROOT / "engine").parts
    for name, now in imports(path):
        words = name.split(".")
        assert words[0] not in HEAVY or not now, f"{name} is imported before it is needed"
        assert words[:2] not in (["copytrace", "export"], ["copytrace", "train"]), name
        if parts[0] in STAGES and words[:2] == ["copytrace", "engine"] and len(words) > 2:
            assert words[2] not in STAGES - {parts[0]}, f"stage {parts[0]} imports stage {words[2]}"
            assert words[2] not in {
                "pipeline",
                "run",
                "api",
                "cli",
                "decoding",
                "embedder",
                "found",
                "scoring",
                "gathering",
                "alike",
                "begun_runtime",
                "kept_looks",
                "local_recall",
                "matching",
                "matches",
                "milvus_index",
                "milvus_search",
                "source_metadata",
                "pictures",
                "references",
                "stored_looks",
                "exchange",
                "searching",
                "serve",
                "client",
                "signals",
                "plan",
                "bench",
                "shards",
                "distributed",
                "threatexchange",
            }, f"stage {parts[0]} looks back at {words[2]}"


def test_imports_go_from_train_over_export_to_engine() -> None:
    for path in sources("export"):
        assert not [name for name, _ in imports(path) if name.startswith("copytrace.train")], path


@pytest.mark.parametrize("house", HOUSES)
def test_houses_of_train_import_what_comes_before_them(house: str) -> None:
    allowed = HOUSES[house] | {house, "settings", "option", "_kernels"}
    for path in [*sources(f"train/{house}"), *(ROOT / "train").glob(f"{house}.py")]:
        for name, _ in imports(path):
            words = name.split(".")
            if words[:2] == ["copytrace", "train"] and len(words) > 2:
                assert words[2] in allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_every_module_of_train_is_in_a_house() -> None:
    found = {path.relative_to(ROOT / "train").parts[0].removesuffix(".py") for path in sources("train")}
    assert found - {"__init__"} == set(HOUSES)


@pytest.mark.parametrize("folder", [*FOLDERS, "tests", "benchmarks"])
def test_the_bare_folder_names_are_never_imported(folder: str) -> None:
    for path in sources(folder):
        for name, _ in imports(path):
            assert name.split(".")[0] not in FOLDERS, f"{path}: import copytrace.{name}"


def test_importing_the_engine_loads_nothing_heavy() -> None:
    code = f"import sys, copytrace.engine.cli; print(sorted({HEAVY | SERVING!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.strip() == "[]"


def test_no_module_with_a_bare_name_is_installed() -> None:
    code = "import importlib.util as u; print([n for n in ('engine', 'export', 'train') if u.find_spec(n)])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["clang-format", "--dry-run", "--Werror", *(str(p) for p in sorted((ROOT / "csrc").rglob("*.[ch]pp")))],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_lint(command: list[str]) -> None:
    subprocess.run(["make", "-s", ".venv/lint/copytrace"], check=True, cwd=ROOT)
    result = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_stay_readable() -> None:
    """The design asks for files of about 250 lines."""
    long = {}
    for folder in (*FOLDERS, "csrc", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".cpp", ".hpp"} and len(path.read_text().splitlines()) > 280:
                long[str(path)] = len(path.read_text().splitlines())
    assert not long
