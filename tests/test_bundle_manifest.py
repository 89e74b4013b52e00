"""What a manifest may say, and what it may not."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copytrace.engine import Bundle, BundleError, Engine

from bundle_files import (
    REMOVED,
    change,
    edit,
    format_1,
    put,
    refused,
    small_bundle,
)
from conftest import PHOTOS

IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


# Each: a path into the manifest, the value put there (or a function of the old one), and words of the error.
NETWORK = ("networks", 0)
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
