"""Bundles: the smallest one, the verb, and how they are written."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from copytrace.engine import DEFAULT_BUNDLE, Bundle, BundleError, Engine
from copytrace.export.bundle import NetworkParts, parts_of, upgrade, write_bundle

import in_process
from bundle_files import (
    edit,
    format_1,
    rehash,
    small_bundle,
    small_parts,
    write_network,
)
from conftest import PHOTOS

COPYTRACE = str(Path(sys.executable).parent / "copytrace")
IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


def test_the_smallest_bundle_works(small: Path) -> None:
    engine = Engine(small)
    assert engine.embed(IMAGES, role="query").shape == (3, 8)
    assert engine.embed(IMAGES, output="raw").shape == (3, 12)


def test_the_verb_looks_into_every_file(small: Path) -> None:
    """Also into those that embedding does not need: the other precision, a detector, what is fitted for matching."""
    detector = NetworkParts("finder", 40, 1, {"int8": write_network(small / "finder", 40, 12)}, "detector")
    parts = parts_of(Bundle(small))
    write_bundle(replace(parts, networks=[*parts.networks, detector]), small)
    assert "12 values are none" in in_process.run("bundle", "info", small, code=1).stderr
    write_bundle(parts, small)
    write_network(small / "float32.onnx", 48, 12)
    rehash(small, "float32.onnx")
    assert "its input_size is 48, the manifest says 32" in in_process.run("bundle", "info", small, code=1).stderr
    write_network(small / "float32.onnx", 32, 12)
    rehash(small, "float32.onnx")
    for name in ("matching.json", "quantisers.npz"):
        shutil.copy(DEFAULT_BUNDLE / name, small)
    upgrade(small)
    in_process.run("bundle", "info", small)
    for name in ("matching.json", "quantisers.npz"):
        good = (small / name).read_bytes()
        (small / name).write_bytes(b"{}")
        rehash(small, name)
        assert name in in_process.run("bundle", "info", small, code=1).stderr
        (small / name).write_bytes(good)
        rehash(small, name)


def copytrace(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COPYTRACE, "bundle", *map(str, words)], capture_output=True, text=True)


def test_the_verb(small: Path) -> None:
    format_1(small)
    result = copytrace("upgrade", small)
    assert result.returncode == 0 and "format 2" in result.stdout, result.stderr
    result = copytrace("info", small)
    assert result.returncode == 0 and "32 x 32 pixels -> 12 values; int8, float32" in result.stdout, result.stderr
    result = copytrace("info", small, "--json")
    described = json.loads(result.stdout)
    assert described["matching"] == Bundle().matching
    assert described["space"] == Bundle(small).space and described["manifest"]["bank"]["rows"] == 20
    assert "constants of matching: those of the default bundle" in copytrace("info", small).stdout
    default = copytrace("info").stdout
    assert default.startswith(Bundle().manifest.name) and "quantisers of matching: quantisers.npz" in default
    edit(small, {"networks": 7})
    for verb in ("info", "upgrade"):
        result = copytrace(verb, small)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "networks" in result.stderr


def test_an_upgrade_that_cannot_be_written(small: Path) -> None:
    format_1(small)
    before = (small / "manifest.json").read_bytes()
    (small / "bank.npy").write_bytes(b"junk")
    with pytest.raises(BundleError):
        upgrade(small)
    assert (small / "manifest.json").read_bytes() == before


def test_parts_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    good = small_parts(tmp_path / "parts", {"a": (32, 12), "b": (64, 6)})
    write_bundle(good, tmp_path / "bundle")
    for change_parts in (
        {"mean": good.mean[:-1]},
        {"bank": good.bank[:, :-1]},
        {"eigenvalues": -good.eigenvalues},
        {"normalisation": {}},
        {"networks": []},
        {"networks": [good.networks[0], good.networks[0]]},
        {"networks": [good.networks[0], copy.copy(good.networks[1])]},
    ):
        parts = copy.copy(good)
        for name, value in change_parts.items():
            setattr(parts, name, value)
        if len(parts.networks) == 2 and parts.networks[1] is not good.networks[1]:
            parts.networks[1].size = 48
        with pytest.raises(BundleError):
            write_bundle(parts, tmp_path / "bundle")
        assert {path.name for path in tmp_path.iterdir()} == {"bundle", "parts"}
    assert len(Bundle(tmp_path / "bundle").manifest.networks) == 2


def test_what_others_keep_beside_a_bundle_is_not_touched(tmp_path: Path) -> None:
    kept = [tmp_path / name / "mine" for name in (".bundle.tmp", ".bundle.old")]
    for path in kept:
        path.mkdir(parents=True)
    for _ in range(2):
        write_bundle(small_parts(tmp_path / "parts", {"a": (32, 12)}), tmp_path / "bundle")
    assert all(path.exists() for path in kept) and len(list(tmp_path.iterdir())) == 4


def test_the_default_bundle_can_be_copied_anywhere(tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_BUNDLE, tmp_path / "a b é")
    assert (Engine(tmp_path / "a b é").embed(IMAGES) == Engine().embed(IMAGES)).all()
