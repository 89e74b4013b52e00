"""Other compilers than the one at hand; ``make test-arm`` adds another processor."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang")
def test_the_core_is_right_when_clang_builds_it() -> None:
    """Also that it gives the same float64 distances, to the last bit, on every instruction set."""
    result = subprocess.run(["make", "-s", "test-clang"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warning" not in result.stderr and result.stdout.count("as it should be") >= 1


@pytest.mark.parametrize("path", sorted((ROOT / "csrc").rglob("*.cpp")), ids=lambda path: str(path.relative_to(ROOT)))
def test_instruction_sets_are_named_for_gcc_and_for_clang(path: Path) -> None:
    text = path.read_text()
    assert text.count("#pragma GCC target") == text.count("#pragma clang attribute push")
    assert text.count("#pragma clang attribute push") == text.count("#pragma clang attribute pop")
    assert "#pragma GCC unroll" not in text


def test_a_platform_that_is_not_supported_is_one_line() -> None:
    code = "import sys; sys.platform = 'win32'; sys.argv = ['setup.py', '--version']; exec(open('setup.py').read())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and "Linux and macOS" in result.stderr
