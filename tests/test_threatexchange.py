"""The extension of ThreatExchange: the signal type, its index, and both behind ThreatExchange's own command line."""

import base64
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle_files import small_bundle
from conftest import PHOTOS

pytest.importorskip("threatexchange", reason="the extra threatexchange is not installed")

from threatexchange.cli.exceptions import CommandError
from threatexchange.cli.main import inner_main
from threatexchange.content_type.photo import PhotoContent
from threatexchange.exchanges.fetch_state import FetchedSignalMetadata, SignalOpinion, SignalOpinionCategory
from threatexchange.exchanges.impl.fb_threatexchange_api import FBThreatExchangeIndicatorRecord, FBThreatExchangeOpinion
from threatexchange.extensions.manifest import ThreatExchangeExtensionManifest
from threatexchange.signal_type.signal_base import BytesHasher, SimpleSignalType

from copytrace.engine import Engine, SignalError
from copytrace.engine.threatexchange import TX_MANIFEST, CopytraceIndex, CopytraceSignal
from copytrace.engine.threatexchange.process import VARIABLE, signals

MODULE = "copytrace.engine.threatexchange"
REFERENCE = PHOTOS / "references" / "R0006.jpg"


def random_signals(count: int) -> tuple[list[str], Any]:
    """Of five directions with something else added, so that some are near each other; and their rows."""
    rng = np.random.default_rng(count)
    rows = rng.normal(size=(5, signals().dimension))[rng.integers(0, 5, count)]
    rows += rng.normal(size=rows.shape) * rng.uniform(0.1, 2.0, (count, 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return [signals().encode(row) for row in rows], rows


def written(index: CopytraceIndex[Any]) -> bytes:
    stream = io.BytesIO()
    index.serialize(stream)
    return stream.getvalue()


def read(data: bytes) -> CopytraceIndex[Any]:
    return CopytraceIndex.deserialize(io.BytesIO(data))


def found(index: CopytraceIndex[Any], signal: str) -> list[tuple[float, Any]]:
    return [(match.similarity_info.distance, match.metadata) for match in index.query(signal)]


def test_the_manifest_is_found_by_the_name_of_the_module() -> None:
    assert ThreatExchangeExtensionManifest.load_from_module_name(MODULE) is TX_MANIFEST
    assert TX_MANIFEST.signal_types == (CopytraceSignal,)
    assert issubclass(CopytraceSignal, SimpleSignalType) and issubclass(CopytraceSignal, BytesHasher)
    assert CopytraceSignal.get_name() == "copytrace" and CopytraceSignal.get_content_types() == [PhotoContent]
    assert CopytraceSignal.get_index_cls() is CopytraceIndex


def test_a_signal_is_the_descriptor_in_base64() -> None:
    (row,) = Engine().embed([REFERENCE])
    signal = CopytraceSignal.hash_from_file(REFERENCE)
    assert signal == CopytraceSignal.hash_from_bytes(REFERENCE.read_bytes()) and len(signal) == 1380
    data = base64.b64decode(signal, validate=True)
    assert data[:3] == b"ct1" and data[3:11].hex() == signals().space[:16]
    assert np.array_equal(np.frombuffer(data[11:], "<f4"), row)


def test_what_is_no_image_has_the_empty_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for data in (b"", b"no image", REFERENCE.read_bytes()[:200]):
        (tmp_path / "bad.jpg").write_bytes(data)
        assert CopytraceSignal.hash_from_bytes(data) == CopytraceSignal.hash_from_file(tmp_path / "bad.jpg") == ""
    assert "bad.jpg has no signal: empty file" in caplog.text
    with pytest.raises(FileNotFoundError):
        CopytraceSignal.hash_from_file(tmp_path / "missing.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert CopytraceSignal.hash_from_file(tmp_path) == CopytraceSignal.hash_from_file(tmp_path / "pipe") == ""


def test_signals_are_validated_and_compared() -> None:
    first, second = CopytraceSignal.get_examples()[:2]
    assert len(CopytraceSignal.get_examples()) == 20
    same = CopytraceSignal.compare_hash(first, first)
    assert same.match and same.distance.pretty_str() == "0.0000"
    other = CopytraceSignal.compare_hash(first, second)
    a, b = (signals().decode(text).astype(np.float64) for text in (first, second))
    assert not other.match and other.distance.distance == pytest.approx(float(np.linalg.norm(a - b)), abs=1e-12)
    assert CopytraceSignal.compare_hash(second, first) == other
    for form in (f" {first}\n", first.replace("+", " ").replace("/", "_"), first.replace("+", "-")):
        assert CopytraceSignal.validate_signal_str(form) == first
    random = CopytraceSignal.get_random_signal()
    assert CopytraceSignal.validate_signal_str(random) == random != CopytraceSignal.get_random_signal()
    for bad in ("", "banana", first[:-4], first + "AAAA", "A" + first[1:], first[:20] + "?" + first[21:]):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            CopytraceSignal.validate_signal_str(bad)
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            CopytraceSignal.compare_hash(first, bad)


def test_the_index_finds_what_brute_force_does() -> None:
    texts, rows = random_signals(2000)
    index = CopytraceIndex.build(zip(texts[:1500], range(1500), strict=True))
    for place in range(1500, 2000):
        index.add(texts[place], place)
    distances = np.sqrt(((rows[:40, None].astype(np.float64) - rows[None].astype(np.float64)) ** 2).sum(axis=2))
    pairs = 0
    for query in range(40):
        order = np.lexsort((np.arange(2000), distances[query]))
        expected = [place for place in order.tolist() if distances[query, place] <= signals().max_distance]
        result = found(index, texts[query])
        assert [value for _, value in result] == expected
        pairs += len(expected)
        assert np.allclose([distance for distance, _ in result], distances[query, expected], rtol=0, atol=1e-12)
        for distance, value in result[:3]:
            compared = CopytraceSignal.compare_hash(texts[query], texts[value])
            assert compared.match and compared.distance.distance == distance
    assert 1000 < pairs < 40_000
    assert found(read(written(index)), texts[7]) == found(index, texts[7])


def test_the_empty_signal_is_like_nothing_and_bad_ones_are_refused() -> None:
    (signal,), _ = random_signals(1)
    index: CopytraceIndex[str] = CopytraceIndex.build([(signal, "one"), (signal, "two")])
    assert index.query("") == index.query("\n") == [] == CopytraceIndex.build([]).query(signal)
    assert found(index, signal) == [(0.0, "one"), (0.0, "two")]
    for bad in ("", "banana", signal[:-8]):
        with pytest.raises(SignalError):
            index.add(bad, "three")
    with pytest.raises(SignalError):
        index.query("banana")
    assert len(index) == 2


@dataclass
class Opinion(FetchedSignalMetadata):
    """As an exchange of somebody else may have it."""

    opinions: list[SignalOpinion]
    places: tuple[int, ...]


VALUES: list[Any] = [
    None,
    0,
    -(1 << 70),
    1.5,
    "tëxt",
    [True, {"a": (1, 2), 3: {"x", "y"}}],
    [("Sample Signals", FetchedSignalMetadata())],
    FBThreatExchangeIndicatorRecord(
        [FBThreatExchangeOpinion(True, SignalOpinionCategory.POSITIVE_CLASS, {"a tag"}, 7, None)]
    ),
    Opinion([SignalOpinion.get_trivial()], (1, 2)),
]


def test_what_goes_with_signals_is_kept_without_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load", "loads", "dump", "dumps"):
        monkeypatch.setattr(pickle, name, None)
    texts, _ = random_signals(len(VALUES))
    index = CopytraceIndex.build(zip(texts, VALUES, strict=True))
    data = written(index)
    again = read(data)
    for text in texts:
        assert found(again, text) == found(index, text)
        assert [type(value) for _, value in found(again, text)] == [type(value) for _, value in found(index, text)]
    assert written(again) == data == written(index)
    again.add(texts[0], "more")
    assert "more" in [value for _, value in found(again, texts[0])] and len(again) == len(index) + 1
    assert len(read(written(CopytraceIndex()))) == 0


def test_values_that_cannot_be_kept_are_refused() -> None:
    (signal,), _ = random_signals(1)

    @dataclass
    class Hidden:
        field: int

    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (b"bytes", object(), Hidden(1), deep, "\ud800", Path(), OrderedDict()):
        with pytest.raises(SignalError, match=r"^[^\n]+$"):
            written(CopytraceIndex.build([(signal, value)]))


def test_foreign_and_damaged_files_are_refused() -> None:
    texts, _ = random_signals(3)
    data = written(CopytraceIndex.build(zip(texts, [1, "two", [3]], strict=True)))
    cases = [b"", b"\x80\x04N.", pickle.dumps([1]), data[:-1], data + b"x", data[:30], data[:2000]]
    cases += [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(0, len(data), 97)]
    cases += [data[:44] + b"\xff" * 8 + data[52:], data[:52] + b"\xff" * 8 + data[60:]]  # lengths beyond all memory
    for case in cases:
        with pytest.raises(SignalError, match=r"^[^\n]+$"):
            read(case)


def test_files_that_somebody_has_forged_are_refused() -> None:
    texts, rows = random_signals(2)
    data = written(CopytraceIndex.build(zip(texts, "ab", strict=True)))[:-32]
    head, values = data[:60], b'["a", "b"]'
    assert data == head + rows.tobytes() + values

    def forged(rows: Any, values: bytes) -> bytes:
        whole = head[:52] + len(values).to_bytes(8, "little") + rows.tobytes() + values
        return whole + hashlib.sha256(whole).digest()

    assert len(read(forged(rows, values))) == 2
    for text in (b'["a", {}]', b'["a"]', b"[" * 9, b"[" * 100_000, b"\xff", b"5", b'["a", {"set": 5}]'):
        with pytest.raises(SignalError, match=r"^[^\n]+$"):
            read(forged(rows, text))
    for factor in (np.nan, 1000):
        with pytest.raises(SignalError, match="damaged"):
            read(forged((rows * factor).astype(np.float32), values))


@pytest.mark.parametrize(
    "value",
    [
        {"dataclass": "subprocess:Popen", "fields": {}},
        {"dataclass": "os:system", "fields": {}},
        {"dataclass": "never.loaded:Thing", "fields": {}},
        {"dataclass": 5, "fields": {}},
        {"dataclass": f"{SignalOpinion.__module__}:SignalOpinion", "fields": {"__class__": 1}},
        {"dataclass": f"{SignalOpinion.__module__}:SignalOpinion", "fields": {"get_trivial": 1}},
        {"enum": "builtins:eval", "value": "1"},
        {"enum": f"{SignalOpinionCategory.__module__}:SignalOpinionCategory", "value": 77},
        {"set": [[1]]},
        {"dict": [1]},
        {"tuple": 1},
        {"call": "x"},
        {},
    ],
    ids=str,
)
def test_metadata_runs_nothing(value: Any) -> None:
    from copytrace.engine.threatexchange.metadata import from_json

    with pytest.raises(SignalError, match=r"^[^\n]+$"):
        from_json(json.loads(json.dumps([value])))


def test_an_index_of_another_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _ = random_signals(2)
    data = written(CopytraceIndex.build(zip(texts, "ab", strict=True)))
    monkeypatch.setenv(VARIABLE, str(small_bundle(tmp_path / "bundle")))
    other = CopytraceSignal.hash_from_file(REFERENCE)
    assert len(base64.b64decode(other)) == 11 + 4 * 8
    with pytest.raises(SignalError, match="another bundle"):
        read(data)
    with pytest.raises(SignalError, match="another bundle"):
        CopytraceIndex.build([(other, 1)]).query(texts[0])
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(SignalError, match="another bundle"):
        CopytraceSignal.validate_signal_str(other)


def test_searches_while_signals_are_added() -> None:
    texts, _ = random_signals(600)
    index = CopytraceIndex.build(zip(texts[:100], range(100), strict=True))
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for text in texts[:150]:
                for match in index.query(text):
                    assert texts[match.metadata]
                written(index)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for place in range(100, 600):
        index.add(texts[place], place)
    for thread in threads:
        thread.join()
    assert not failures and len(read(written(index))) == 600


Tx = Callable[..., str]


@pytest.fixture
def tx(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tx:
    """ThreatExchange's command line with a state of its own: what it prints."""
    state = tmp_path / "state"

    def run(*args: object) -> str:
        monkeypatch.setattr(sys, "argv", ["tx", *map(str, args)])
        capsys.readouterr()
        inner_main([str(arg) for arg in args], state_dir=state)
        return capsys.readouterr().out

    return run


def test_the_command_line(tx: Tx, tmp_path: Path) -> None:
    listed = "Signal:\n  copytrace - CopytraceSignal\n"
    assert tx("config", "extensions", "add", MODULE) == listed == tx("config", "extensions", "list", MODULE)
    assert tx("config", "extensions", "list").split() == [MODULE, *listed.split()]
    signal = CopytraceSignal.hash_from_file(REFERENCE)
    assert tx("hash", "-S", "copytrace", "photo", REFERENCE) == f"copytrace {signal}\n"
    assert f"copytrace {signal}\n" in tx("hash", "photo", REFERENCE)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert tx("hash", "-S", "copytrace", "photo", tmp_path / "bad.jpg") == ""
    match = "copytrace 0.0000 (Sample Signals) INVESTIGATION_SEED\n"
    assert tx("match", "-S", "copytrace", "photo", REFERENCE) == match  # it is one of the examples
    assert tx("match", "-H", "-S", "copytrace", "photo", "--", signal) == match
    assert tx("match", "-S", "copytrace", "photo", tmp_path / "bad.jpg") == ""
    assert tx("match", "-S", "copytrace", "photo", PHOTOS / "references" / "R0100.jpg") == ""
    with pytest.raises(CommandError, match="not a valid hash for copytrace") as error:
        tx("match", "-H", "-S", "copytrace", "photo", "--", "banana")
    assert error.value.returncode == 2
    tx("config", "extensions", "remove", MODULE)
    assert tx("config", "extensions", "list") == ""


def test_signals_of_ones_own_are_fetched_and_matched(tx: Tx, tmp_path: Path) -> None:
    tx("config", "extensions", "add", MODULE)
    own = sorted((PHOTOS / "references").iterdir())[100:104]
    (tmp_path / "own.txt").write_text(tx("hash", "-S", "copytrace", "photo", *own))
    tx("config", "collab", "edit", "local_file", "--create", "Mine", "--filename", tmp_path / "own.txt")
    tx("fetch")
    assert tx("match", "-S", "copytrace", "photo", own[2], REFERENCE) == "copytrace 0.0000 (Mine) INVESTIGATION_SEED\n"


def test_without_the_extra_its_name_is_said() -> None:
    code = (
        "import sys; sys.modules['threatexchange'] = None\n"
        "import copytrace.engine, copytrace.engine.signals\n"
        "from copytrace.engine import MissingExtraError\n"
        "try: import copytrace.engine.threatexchange\n"
        "except MissingExtraError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert "copytrace[threatexchange]" in result.stdout
