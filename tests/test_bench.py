"""What ``copytrace bench`` prints: the figures belong together, and what cannot be measured is one line. No time is judged."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image as Picture

from copytrace.engine import DEFAULT_BUNDLE, CopytraceError
from copytrace.engine.bench import Throughput, machine_record, machine_text, measure_cold
from copytrace.engine.read import open_source

import in_process
from conftest import PHOTOS


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Three photographs and one file that is none, whatever its name says."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:3]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than that")
    return folder


def test_latency(few: Path, tmp_path: Path) -> None:
    picture = tmp_path / "h.png"
    options = ["--images", few, "--rounds", 4, "--cold", 1, "--role", "query", "--picture", picture]
    found = json.loads(in_process.run("bench", "latency", *options, "--json").stdout)
    for stage in ("bytes_to_descriptor", "decode", "model", "describe"):
        assert 0 < found[stage]["p50_ms"] <= found[stage]["p95_ms"] <= found[stage]["p99_ms"]
    parts = found["decode"]["p50_ms"] + found["model"]["p50_ms"]
    assert found["over_decode_and_model"] == pytest.approx(found["bytes_to_descriptor"]["p50_ms"] / parts, rel=0.01)
    assert (found["images"], found["calls"], [bad["id"] for bad in found["skipped"]]) == (3, 12, ["broken"])
    cold = found["cold"]
    assert cold["total_ms"] > cold["import_ms"] + cold["load_ms"] + cold["first_image_ms"] > 0
    assert found["precision"] == "int8" and found["role"] == "query" and found["machine"]["processors"] >= 1
    assert Picture.open(picture).size[0] > 500


def test_latency_as_text(few: Path) -> None:
    text = in_process.run("bench", "latency", "--images", few, "--rounds", 1, "--cold", 0, "--count", 4).stdout
    assert "broken: " in text and "bytes to descriptor / (decode + model)" in text and "fresh process" not in text
    assert "3 images, 3 calls each" in text


def test_throughput(few: Path) -> None:
    options = ["--images", few, "--rounds", 3, "--count", 22, "--threads", 2, "--batch-size", 3]
    found = json.loads(in_process.run("bench", "throughput", *options, "--json").stdout)
    rates = found["images_per_second"]
    assert set(rates) == {"whole", "read", "decode", "model", "describe", "write"}
    for spread in (*rates.values(), found["ceiling"], found["whole_of_ceiling"]):
        assert 0 < spread["least"] <= spread["median"] <= spread["most"]
    assert rates[found["slowest"]]["median"] == min(rates[s]["median"] for s in rates if s != "whole")
    assert found["million_seconds"] == pytest.approx(1e6 / rates["whole"]["median"], rel=0.01)
    assert found["ceiling"]["decode_and_model"] == "shared processors"
    assert found["ceiling"]["most"] <= min(rates["decode"]["most"], rates["model"]["most"])
    assert len(found["failed"]) == 5 and (found["images"], found["threads"], found["batch"]) == (22, 2, 3)


def test_throughput_as_text(few: Path) -> None:
    text = in_process.run("bench", "throughput", "--images", few, "--rounds", 1, "--count", 4).stdout
    assert (
        "slowest stage: " in text and "1,000,000 images: " in text and "broken" not in text.partition("images per")[2]
    )


def test_ceilings() -> None:
    rates = {"whole": [30.0, 36.0], "decode": [100.0, 60.0], "model": [50.0, 120.0]}
    shared, apart = (Throughput(rates, 10, apart, []) for apart in (False, True))
    assert shared.ceilings == pytest.approx([100 / 3, 40]) and shared.whole_of_ceiling == pytest.approx([0.9, 0.9])
    assert apart.ceilings == [50, 60] and (apart.slowest, apart.million_seconds) == ("decode", 1e6 / 33)


@pytest.mark.parametrize("verb", ["latency", "throughput"])
def test_refusals(verb: str, few: Path, tmp_path: Path) -> None:
    for path in few.glob("R*.jpg"):
        path.unlink()
    for options, code in (
        (["--images", few], 1),
        (["--images", tmp_path / "nowhere"], 1),
        (["--bundle", tmp_path], 1),
        (["--count", 0], 2),
        (["--rounds", 0], 2),
        (["--precision", "int4"], 2),
        (["--device", "cpu", "--runtime", "tensorrt"], 1),
        (["--images", ""], 2),
    ):
        ended = in_process.run("bench", verb, *options, "--json", code=code)
        assert set(json.loads(ended.stdout)) == {"error", "kind"} and "Traceback" not in ended.stderr
    assert "none of the" in in_process.run("bench", verb, "--images", few, code=1).stderr


def test_a_picture_replaces_pictures_only(few: Path) -> None:
    for name in ("R0000.jpg", "broken.jpg"):
        before = (few / name).read_bytes()
        in_process.run("bench", "latency", "--images", few, "--picture", few / name, code=1)
        assert (few / name).read_bytes() == before


def test_a_cold_process_that_fails_is_one_line() -> None:
    with pytest.raises(CopytraceError, match=r"^a fresh process could not embed an image: .*image 0: .*$"):
        measure_cold(b"none", {"bundle": str(DEFAULT_BUNDLE)}, "reference")


def test_machine_record() -> None:
    record = machine_record()
    json.dumps(record)
    libraries = record["libraries"]
    assert isinstance(libraries, dict) and {"copytrace", "numpy", "onnxruntime"} <= set(libraries)
    assert f"{record['processors']} processors" in machine_text(record) and "\n" not in machine_text(record)


def test_images_again_and_again() -> None:
    source = open_source(PHOTOS / "references")
    again = source.cycled(450)
    assert len(again) == 450 and again.ids() == sorted(set(again.ids()))
    assert again[0].read() == again[200].read() == again[400].read() == source[0].read()
    assert [image.read() for image in source.cycled(2)] == [source[0].read(), source[1].read()]
    with pytest.raises(ValueError, match="count"):
        source.cycled(0)
