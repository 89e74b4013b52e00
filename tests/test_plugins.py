"""Verbs that other packages bring along, broken ones too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("copytrace")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which more verbs are installed: one that can be used, one with the name of another, and some that are broken."""
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (tmp_path / "odd-1.dist-info" / "entry_points.txt").write_text(
        "[copytrace.verbs]\nabsent = no_such_module:app\nfailing = odd_verbs_failing:app\ngood = odd_verbs:good\n"
        "leaving = odd_verbs_leaving:app\nnumber = odd_verbs:number\nodd = odd_verbs:odd\nembed = odd_verbs:good\n"
    )
    (tmp_path / "odd_verbs_leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "odd_verbs_failing.py").write_text("raise RuntimeError('two\\nlines')\n")
    (tmp_path / "odd_verbs.py").write_text(
        "def good() -> None:\n    print('it works')\nnumber = 7\ndef odd(x: 'Unknown') -> None: ...\n"
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_broken_verb_leaves_the_others_alone(environment: dict[str, str]) -> None:
    for arguments in (["good"], ["--help"], ["embed", "--help"]):
        result = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, env=environment)
        assert result.returncode == 0 and ("it works" in result.stdout or "descriptor file" in result.stdout), (
            result.stderr
        )


@pytest.mark.parametrize(
    ("verb", "why"),
    [
        ("absent", "No module named"),
        ("failing", "RuntimeError: two lines"),
        ("leaving", "SystemExit: 3"),
        ("number", "must be a function or a typer.Typer, not int"),
        ("odd", "name 'Unknown' is not defined"),
    ],
)
def test_a_broken_verb_says_so_when_it_is_called(environment: dict[str, str], verb: str, why: str) -> None:
    command = [COMMAND, verb, "some", "--option", "3", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and why in json.loads(result.stdout)["error"]
    assert result.stderr.count("\n") == 1 and why in result.stderr
