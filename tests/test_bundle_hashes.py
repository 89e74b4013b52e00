"""A bundle's two hashes, what is fitted for matching, and manifests of format 1."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copytrace.engine import Bundle, BundleError, Engine
from copytrace.engine.manifest import read_manifest
from copytrace.export.bundle import parts_of, set_matching, upgrade, write_bundle

from bundle_files import REMOVED, change, edit, format_1, npy, put, refused, rehash, small_bundle, write_projection
from conftest import PHOTOS

IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


def test_hashes_follow_what_they_stand_for(small: Path) -> None:
    space, recipe = Bundle(small).space, Bundle(small).recipe
    assert space != recipe
    edit(small, {"name": "other", "thresholds": {"copy": -1.0}, "quality": {"x": 1}})
    assert (Bundle(small).space, Bundle(small).recipe) == (space, recipe)
    change(small, lambda manifest: put(manifest, ("normalisation", "cosines"), 5))
    assert Bundle(small).space == space and Bundle(small).recipe != recipe
    change(small, lambda manifest: put(manifest, ("normalisation", "cosines"), 3))
    (small / "bank.npy").write_bytes(npy(Bundle(small).bank[::-1].copy()))
    rehash(small, "bank.npy")
    assert Bundle(small).space == space and Bundle(small).recipe != recipe
    write_projection(small / "projection.npz")
    rehash(small, "projection.npz")
    assert Bundle(small).space != space


def test_what_is_fitted_for_matching_is_part_of_it(small: Path) -> None:
    """Taken in by upgrade, checked on load, kept when other parts are written anew; descriptors and their hashes stay."""
    plain = Bundle(small)
    assert plain.matching == Bundle().matching  # that of the default bundle
    for name in ("constants", "quantisers"):
        path, _ = Bundle().matching_file(name)
        shutil.copy(path, small)
    assert Bundle(small).manifest.matching == {}  # what only lies there is no part
    upgrade(small)
    whole = Bundle(small)
    assert set(whole.manifest.matching) == {"constants", "quantisers"} and whole.matching == plain.matching
    assert (whole.space, whole.recipe) == (plain.space, plain.recipe)
    write_bundle(replace(parts_of(whole), bank=whole.bank[:7]), small)
    assert Bundle(small).manifest.matching == whole.manifest.matching and Bundle(small).space == plain.space
    table = json.loads((small / "matching.json").read_text())
    (small.parent / "other.json").write_text(
        json.dumps(table | {"penalties": {"whole": 0, "turn": 1, "region": 1, "crop": 1}})
    )
    set_matching(small, {"constants": small.parent / "other.json"})
    assert Bundle(small).matching != plain.matching and Bundle(small).space == plain.space
    with pytest.raises(BundleError, match="not the constants of matching"):
        set_matching(small, {"constants": small / "manifest.json"})
    (small / "quantisers.npz").write_bytes(b"junk")
    refused(small, "quantisers.npz", "changed")


FIRST = {
    "format": 1,
    "networks": {
        name: {"file": f"{name}.onnx", "input_size": 224, "dimension": 256, "batch": 4}
        | {"layout": "NHWC", "colour": "RGB", "resize": "stretch"}
        for name in ("int8", "float32")
    },
    "projection": {"file": "projection.npz", "input_dimension": 256, "dimension": 256},
    "bank": {"file": "bank.npy", "rows": 4000},
    "normalisation": {"method": 1, "beta": {"1": 1.5, "2": 1.2}, "cosines": 3, "directions": 100},
    "sha256": {
        "int8.onnx": "d4c040f82ea904ba0a0bc7cc816f099e50f5762f2918aa0e57f968c1ecf435a0",
        "float32.onnx": "b59ef2155b113667ec3edac040ecba41a2744488f4db0f08e64645c1729d69e2",
        "projection.npz": "9106f2207ab6b7eb53cd86c0c08bfcf41a955250c6d041a59dbd363597d63a98",
        "bank.npy": "49f8a3b0d68e8901c6ce83b1a3d61ac9df38dc172f5bc65ea3d24963302e4ae7",
    },
}
"""What the manifest of the first default bundle says; its files are in the repository's history only."""


def test_the_first_bundles_hashes_are_those_that_its_files_hold(tmp_path: Path) -> None:
    """Descriptor files that copytrace 0.1 wrote hold the second; what it is made from must not change."""
    (tmp_path / "manifest.json").write_text(json.dumps(FIRST))
    bundle = object.__new__(Bundle)
    bundle.manifest = read_manifest(tmp_path)
    assert bundle.space == "1221318575388e885fea5b1b9306696e51445e1ef9ee0f5337b549c05363f164"
    assert bundle.recipe == "4dc69fca09d54e4a3d7d080e009a9e59b73bc6aa6d274646240556c65a2626dc"


def test_bundles_of_format_1_are_read_and_upgraded(tmp_path: Path) -> None:
    small = small_bundle(tmp_path / "bundle")
    new, rows = Bundle(small), Engine(small).embed(IMAGES, role="query")
    format_1(small)
    old = Bundle(small)
    assert old.manifest.networks[0].name == "descriptor"
    assert (old.space, old.recipe) == (new.space, new.recipe)
    assert (Engine(small).embed(IMAGES, role="query") == rows).all()
    files = {path.name: path.read_bytes() for path in small.iterdir()}
    assert upgrade(small).format == 2 and json.loads((small / "manifest.json").read_text())["format"] == 2
    assert {path.name for path in small.iterdir()} == set(files)
    assert all((small / name).read_bytes() == data for name, data in files.items() if name != "manifest.json")
    assert Bundle(small).manifest == old.manifest
    text = (small / "manifest.json").read_bytes()
    upgrade(small)
    assert (small / "manifest.json").read_bytes() == text


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("networks",), [], "networks"),
        (("networks", "int8", "file"), REMOVED, "file"),
        (("networks", "int8", "resize"), "letterbox", "resize"),
        (("networks", "int8", "batch"), 8, "differ"),
        (("networks", "fp4"), {}, "fp4"),
        (("projection", "file"), "../evil.npz", "file"),
        (("projection", "dimension"), 7, "components"),
        (("bank",), REMOVED, "bank"),
        (("sha256",), {}, "no sha256"),
        (("sha256", "letter.txt"), "0" * 64, "letter.txt"),
        (("normalisation", "method"), 7, "method"),
        (("format",), True, "format"),
    ],
)
def test_broken_bundles_of_format_1(small: Path, path: tuple[Any, ...], value: Any, word: str) -> None:
    format_1(small)
    change(small, lambda manifest: put(manifest, path, value))
    refused(small, word)
