"""Bundles: what a manifest may say, files that are broken, the two hashes, and manifests of format 1."""

import copy
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copytrace.engine import DEFAULT_BUNDLE, Bundle, BundleError, Engine
from copytrace.engine.manifest import read_manifest
from copytrace.export.bundle import NetworkParts, parts_of, set_matching, upgrade, write_bundle

import in_process
from bundle_files import change, edit, format_1, rehash, small_bundle, small_parts, write_network
from conftest import PHOTOS

COPYTRACE = str(Path(sys.executable).parent / "copytrace")
IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]


def refused(bundle: Path, *words: str) -> None:
    """The bundle ends in one BundleError, on one line that names its folder."""
    with pytest.raises(BundleError) as error:
        Engine(bundle)
    text = str(error.value)
    assert "\n" not in text and str(bundle) in text
    assert not words or all(word in text for word in words), text


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


def test_the_smallest_bundle_works(small: Path) -> None:
    engine = Engine(small)
    assert engine.embed(IMAGES, role="query").shape == (3, 8)
    assert engine.embed(IMAGES, output="raw").shape == (3, 12)


# Each: a path into the manifest, the value put there (or a function of the old one), and words of the error.
NETWORK = ("networks", 0)
REMOVED = object()
WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("format",), True, "format"),
    (("format",), 2.0, "format"),
    (("format",), "2", "format"),
    (("format",), 0, "format"),
    (("format",), 99, "newer"),
    (("format",), REMOVED, "no format"),
    (("name",), 7, "name"),
    (("name",), "a\0b", "name"),
    (("name",), "a\x9bb", "name"),
    (("name",), "a\u202eb", "name"),
    (("author",), "me", "author"),
    (("networks",), {}, "networks"),
    (("networks",), [], "networks"),
    (("networks",), REMOVED, "networks"),
    ((*NETWORK, "name"), "../a", "name"),
    ((*NETWORK, "name"), REMOVED, "name"),
    ((*NETWORK, "role"), "oracle", "role"),
    ((*NETWORK, "resize"), "letterbox", "resize"),
    ((*NETWORK, "colour"), "BGR", "colour"),
    ((*NETWORK, "layout"), "NCHW", "layout"),
    ((*NETWORK, "input_size"), 224, "input_size"),
    ((*NETWORK, "input_size"), 32.0, "input_size"),
    ((*NETWORK, "input_size"), "32", "input_size"),
    ((*NETWORK, "batch"), 0, "batch"),
    ((*NETWORK, "batch"), True, "batch"),
    ((*NETWORK, "batch"), 10**9, "batch"),
    ((*NETWORK, "dimension"), 13, "13"),
    ((*NETWORK, "dtype"), "uint8", "dtype"),
    ((*NETWORK, "precisions"), {}, "precisions"),
    ((*NETWORK, "precisions", "int4"), {"file": "a", "sha256": "0" * 64}, "int4"),
    ((*NETWORK, "precisions", "int8", "file"), REMOVED, "file"),
    ((*NETWORK, "precisions", "int8", "file"), "../int8.onnx", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "/etc/passwd", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "..", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "a\\b", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "a\0", "file"),
    ((*NETWORK, "precisions", "int8", "file"), "float32.onnx", "listed twice"),
    ((*NETWORK, "precisions", "int8", "file"), "manifest.json", "manifest.json"),
    ((*NETWORK, "precisions", "int8", "sha256"), "0" * 64, "changed"),
    ((*NETWORK, "precisions", "int8", "sha256"), "0" * 63, "sha256"),
    ((*NETWORK, "precisions", "int8", "sha256"), REMOVED, "sha256"),
    (("projection",), "projection.npz", "projection"),
    (("projection",), REMOVED, "projection"),
    (("projection", "input_dimension"), 11, "11"),
    (("projection", "dimension"), 9, "components"),
    (("bank",), REMOVED, "bank"),
    (("bank", "rows"), 19, "bank"),
    (("bank", "rows"), 0, "rows"),
    (("normalisation", "method"), 3, "method"),
    (("normalisation", "method"), True, "method"),
    (("normalisation", "beta"), REMOVED, "beta"),
    (("normalisation", "beta"), {"1": 1.0}, "beta"),
    (("normalisation", "beta"), 1.5, "beta"),
    (("normalisation", "beta", "1"), None, "beta"),
    (("normalisation", "beta", "1"), float("nan"), "NaN"),
    (("normalisation", "beta", "1"), float("inf"), "Infinity"),
    (("normalisation", "beta", "1"), 1e300, "beta"),
    (("normalisation", "beta", "1"), -0.5, "beta"),
    (("normalisation", "beta", "3"), 1.0, "beta"),
    (("normalisation", "cosines"), 0, "cosines"),
    (("normalisation", "directions"), -1, "directions"),
    (("score_normalisation",), {"alpha": 1.0}, "score_normalisation"),
    (("score_normalisation",), {"alpha": 1.0, "n": 0}, "score_normalisation"),
    (("score_normalisation",), {"alpha": "1", "n": 1}, "score_normalisation"),
    (("thresholds",), [0.5], "thresholds"),
    (("thresholds",), {"copy": "high"}, "thresholds"),
    (("matching",), [], "matching"),
    (("matching",), {"weights": {"file": "a", "sha256": "0" * 64}}, "matching"),
    (("matching",), {"constants": {"file": "bank.npy", "sha256": "0" * 64}}, "twice"),
    (("origin",), "here", "origin"),
    (("quality",), {"micro_ap": float("nan")}, "NaN"),
]


def put(manifest: Any, path: tuple[Any, ...], value: Any) -> None:
    *way, last = path
    for step in way:
        manifest = manifest[step]
    if value is REMOVED:
        del manifest[last]
    else:
        manifest[last] = value


@pytest.mark.parametrize(
    ("path", "value", "word"), WRONG, ids=lambda value: "removed" if value is REMOVED else str(value)[:40]
)
def test_manifests_that_say_what_cannot_be(small: Path, path: tuple[Any, ...], value: Any, word: str) -> None:
    change(small, lambda manifest: put(manifest, path, value))
    refused(small, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "no format"),
        ("null", "no format"),
        ("7", "no format"),
        ('{"format": 2, "format": 2}', "twice"),
        ('{"format": 2, "name": 1e999}', "too large"),
        ('{"format": ' + "9" * 5000 + "}", "manifest.json"),
        ("[" * 100_000, "nested"),
        ('{"format": 2, "name": "\\ud800"}', "manifest.json"),
        (b'{"format": 2, "name": "\xff"}', "JSON"),
        (b"\xff\xfe{\0", "JSON"),
    ],
)
def test_manifests_that_are_none(small: Path, text: str | bytes, word: str) -> None:
    (small / "manifest.json").write_bytes(text.encode() if isinstance(text, str) else text)
    refused(small, word)


def test_folders_that_are_no_bundles(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder" / "manifest.json").mkdir(parents=True)
    for name in ("nowhere", "file", "folder"):
        refused(tmp_path / name, "not a bundle")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value, the way to it as a path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, part in inner for place in places(part, (*path, key))]


@pytest.mark.parametrize("version", [1, 2])
def test_any_change_to_a_manifest_is_refused_in_one_line_or_works(small: Path, version: int) -> None:
    """Hypothesis puts anything anywhere, adds and removes keys; what is still accepted gives finite rows."""
    if version == 1:
        format_1(small)
    original = json.loads((small / "manifest.json").read_text())
    kinds = st.sampled_from(["set", "remove", "add", "swap"])

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(places(original)), kinds, JSON), min_size=1, max_size=3))
    def mutate(changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
        manifest = copy.deepcopy(original)
        for path, kind, value in changes:
            try:
                if kind == "add":
                    put(manifest, (*path[:-1], "extra"), value)
                else:
                    put(manifest, path, REMOVED if kind == "remove" else [value] if kind == "swap" else value)
            except (KeyError, TypeError, IndexError):
                continue  # an earlier change took the place away
        (small / "manifest.json").write_text(json.dumps(manifest))
        try:
            engine = Engine(small)
        except BundleError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(engine.embed(IMAGES[:1], role="query")).all()

    mutate()


def test_ordinary_changes_are_accepted(small: Path) -> None:
    edit(small, {"score_normalisation": {"alpha": 0.5, "n": 10}, "thresholds": {"precision_90": -0.9}})
    edit(small, {"name": "é ü 名"})
    manifest = Bundle(small).manifest
    assert manifest.score_normalisation is not None and manifest.score_normalisation.n == 10
    assert manifest.thresholds == {"precision_90": -0.9} and manifest.name == "é ü 名"


def write_projection(path: Path, **arrays: Any) -> None:
    rng = np.random.default_rng(0)
    good = {"mean": np.zeros(12), "components": rng.normal(size=(8, 12)), "eigenvalues": np.ones(8)}
    with path.open("wb") as file:
        np.savez(file, **{name: value for name, value in (good | arrays).items() if value is not None})


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def bad_numbers(shape: tuple[int, ...], value: float) -> Any:
    array = np.ones(shape)
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": None},
        {"eigenvalues": None},
        {"mean": np.zeros(11)},
        {"mean": np.zeros((1, 12))},
        {"components": np.ones((12, 8))},
        {"components": np.diag([1.0] * 7 + [0.0]) @ np.ones((8, 12))},
        {"components": np.ones(96)},
        {"eigenvalues": np.zeros(8)},
        {"eigenvalues": -np.ones(8)},
        {"eigenvalues": bad_numbers((8,), np.nan)},
        {"mean": bad_numbers((12,), np.inf)},
        {"mean": bad_numbers((12,), 1e300)},
        {"components": bad_numbers((8, 12), np.nan)},
        {"mean": np.zeros(12, complex)},
        {"mean": np.zeros(12, int)},
        {"mean": np.array(["a"] * 12)},
        {"mean": np.array([{}] * 12)},
    ],
    ids=str,
)
def test_projections_that_are_none(small: Path, arrays: dict[str, Any]) -> None:
    write_projection(small / "projection.npz", **arrays)
    rehash(small, "projection.npz")
    refused(small, "not a projection")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mean", np.full(12, 3e38)),
        ("components", bad_numbers((8, 12), 3e38)),
        ("bank", bad_numbers((20, 8), 3e38)),
        ("bank", np.full((20, 8), 1e31)),
    ],
    ids=["mean", "components", "a row of the bank", "the bank"],
)
def test_values_that_cannot_be_computed_with(small: Path, name: str, values: Any) -> None:
    """Finite, but what follows from them is not."""
    if name == "bank":
        (small / "bank.npy").write_bytes(npy(values.astype(np.float32)))
    else:
        write_projection(small / "projection.npz", **{"eigenvalues": np.full(8, 1e-4), name: values})
    rehash(small, "bank.npy" if name == "bank" else "projection.npz")
    refused(small, "cannot be used")
    line = in_process.run("bundle", "info", small, code=1).stderr
    assert line.count("\n") == 1 and "cannot be used" in line
    with pytest.raises(BundleError, match="cannot be used"):
        write_bundle(parts_of(Bundle(small)), small)


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


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros(8),
        np.zeros((0, 8)),
        np.zeros((20, 9)),
        np.zeros((19, 8)),
        np.zeros((20, 8, 1)),
        bad_numbers((20, 8), np.nan),
        bad_numbers((20, 8), -np.inf),
        np.zeros((20, 8), np.uint8),
        np.array([{"a": 1}], dtype=object),
        np.float32(3),
    ],
    ids=lambda rows: f"{rows.dtype}{rows.shape}",
)
def test_banks_that_are_none(small: Path, rows: Any) -> None:
    (small / "bank.npy").write_bytes(npy(rows))
    rehash(small, "bank.npy")
    refused(small, "not a bank")


def test_files_of_another_kind(small: Path) -> None:
    original = {name: (small / name).read_bytes() for name in ("projection.npz", "bank.npy", "int8.onnx")}
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("mean.npy", b"junk")
    for junk in (b"", b"junk", b"\x93NUMPY\x01\x00", b"PK\x03\x04junk", npy(np.ones(3)), zipped.getvalue()):
        for name, data in original.items():
            (small / name).write_bytes(junk)
            rehash(small, name)
            refused(small, name)
            (small / name).write_bytes(data)
            rehash(small, name)
    huge = npy(np.zeros((20, 8), np.float32)).replace(b"(20, 8)", b"(20, 9**9)"[:7])
    (small / "bank.npy").write_bytes(huge)
    rehash(small, "bank.npy")
    refused(small, "not a bank")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["projection.npz", "bank.npy", "int8.onnx"])
def test_files_that_are_cut(small: Path, name: str, cut: float) -> None:
    data = (small / name).read_bytes()
    (small / name).write_bytes(data[: int(cut * len(data))])
    rehash(small, name)
    refused(small, name)


@pytest.mark.parametrize("name", ["int8.onnx", "float32.onnx", "projection.npz", "bank.npy"])
def test_files_that_changed_or_are_missing(small: Path, name: str) -> None:
    data = bytearray((small / name).read_bytes())
    data[len(data) // 2] ^= 1
    (small / name).write_bytes(data)
    refused(small, f"{name}: changed")
    (small / name).unlink()
    refused(small, f"{name}: No such file")
    (small / name).mkdir()
    refused(small, f"{name}: not a file")
    (small / name).rmdir()
    os.mkfifo(small / name)
    refused(small, f"{name}: not a file")


@pytest.mark.parametrize(("size", "dimension", "word"), [(48, 12, "input_size is 48"), (32, 13, "dimension is 13")])
def test_networks_are_what_the_manifest_says(small: Path, size: int, dimension: int, word: str) -> None:
    write_network(small / "int8.onnx", size, dimension)
    rehash(small, "int8.onnx")
    refused(small, word, "the manifest says")
    Engine(small, precision="float32")


def test_networks_of_another_shape(small: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    for pixels, embedding in (
        (["n", 32, 32, 3], ["n", "d"]),
        ([1, 32, 32, 3], [1, 12]),
        (["n", "s", "s", 3], ["n", 12]),
        (["n", 3, 32, 32], ["n", 12]),
        ([], ["n", 12]),
    ):
        graph = helper.make_graph(
            [helper.make_node("ConstantOfShape", ["shape"], ["y"]), helper.make_node("Shape", ["x"], ["shape"])][::-1],
            "g",
            [value("x", TensorProto.UINT8, pixels)],
            [value("y", TensorProto.FLOAT, embedding)],
        )
        graph.output[0].type.tensor_type.ClearField("shape") if embedding == ["n", "d"] else None
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, small / "int8.onnx")
        rehash(small, "int8.onnx")
        refused(small, "int8.onnx")


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
