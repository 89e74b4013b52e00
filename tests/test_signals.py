"""Signals: descriptors as text."""

import base64
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrace.engine import Bundle, BundleError, SignalError
from copytrace.engine.signals import Signals

from bundle_files import small_bundle


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Signals:
    return Signals(Bundle(small_bundle(tmp_path_factory.mktemp("bundle") / "small")))


@cache
def package() -> Signals:
    """Those of the package's bundle."""
    return Signals(Bundle())


def unit(*values: float) -> np.ndarray:
    row = np.array(values, np.float32)
    return row / np.linalg.norm(row)


def test_a_signal_and_its_descriptor(small: Signals) -> None:
    row = unit(1, -2, 3, -4, 5, -6, 7, -8)
    signal = small.encode(row)
    data = base64.b64decode(signal, validate=True)
    assert data == b"ct1" + bytes.fromhex(small.space)[:8] + row.astype("<f4").tobytes()
    for form in (signal, f" {signal}\r\n", signal.rstrip("="), signal.replace("+", " "), signal.replace("/", "_")):
        assert np.array_equal(small.decode(form), row) and small.normalised(form) == signal
    assert small.encode(np.zeros(8, np.float32)) == ""


def test_signals_belong_to_one_bundle(small: Signals) -> None:
    other = package()
    signal = small.encode(unit(1, 2, 3, 4, 5, 6, 7, 8))
    with pytest.raises(SignalError, match=f"another bundle: its descriptor space is {small.space[:16]}"):
        other.decode(signal)
    assert other.max_distance == 0.648  # what the docstring says of the package's bundle


def test_what_is_no_signal_is_refused(small: Signals) -> None:
    row = unit(1, 2, 3, 4, 5, 6, 7, 8)
    signal = small.encode(row)
    bad = ["", " ", "ü", "a", "\0", "\ud800", "A" * 99, signal[:8], signal[:-4], signal + "AAAA", "=" + signal]
    for text in (*bad, *(small.encode(row * np.float32(factor)) for factor in (2, 1e30, 1e-30, np.nan, np.inf))):
        with pytest.raises(SignalError, match=r"^[^\n]{1,200}$"):
            small.decode(text)
    with pytest.raises(SignalError, match="must be text"):
        small.decode(signal.encode())  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(text=st.text(), place=st.integers(0, 50), letter=st.characters())
def test_any_other_text_is_refused_or_is_a_descriptor(text: str, place: int, letter: str) -> None:
    signals = package()
    signal = signals.encode(unit(*range(1, 257)))
    for changed in (text, signal[:place] + letter + signal[place + 1 :], signal[:place] + text):
        try:
            row = signals.decode(changed)
        except SignalError as error:
            assert "\n" not in str(error)
        else:
            assert abs(np.linalg.norm(row) - 1) < 0.01


def test_the_distance_of_a_match_is_the_banks() -> None:
    bank = Bundle().bank.astype(np.float64)
    distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * bank @ bank.T))
    np.fill_diagonal(distances, np.inf)
    assert np.mean(distances.min(axis=1) <= package().max_distance) == pytest.approx(0.01, abs=0.002)
    bundle = Bundle()
    bundle.bank = bundle.bank[:1]
    with pytest.raises(BundleError, match="fewer than 2 rows"):
        _ = Signals(bundle).max_distance


def test_distances_are_those_of_the_descriptors(small: Signals) -> None:
    first, second = unit(1, 2, 3, 4, 5, 6, 7, 8), unit(8, 7, 6, 5, 4, 3, 2, 1)
    expected = float(np.linalg.norm(first.astype(np.float64) - second.astype(np.float64)))
    assert small.distance(first, second) == pytest.approx(expected, abs=1e-15)
    assert small.distance(first, first) == 0.0 and small.distance(second, first) == small.distance(first, second)
