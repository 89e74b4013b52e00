"""The program behind ``make bench-gpu``, on the CPU and small: that it runs, refuses what differs, and writes its record."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import embedding, searching
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.figure import Figure, Report
from copytrace.engine import Engine
from copytrace.engine.errors import DeviceError
from copytrace.engine.search import Pairs


def test_the_searches_are_measured_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["--queries", "60", "--references", "700", "--top", "100", "--rounds", "1"]
    words = ["gpu", "--device", "cpu", "--only", "search", *sizes, "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    main()
    record = json.loads((tmp_path / "gpu-cpu.json").read_text())
    assert [figure["name"][:8] for figure in record["figures"]] == ["exact to", "exact 10"] and not record["failed"]
    assert record["machine"]["processors"] >= 1 and record["settings"]["references"] == "700"


def test_pairs_that_are_missing_are_noticed() -> None:
    q, r = searching.rows(20, 8, 1), searching.rows(300, 8, 2)
    distances = ((q[:, None].astype(np.float64) - r) ** 2).sum(2).ravel()
    order = np.argsort(distances)[:200]
    whole = Pairs(order // 300, order % 300, distances[order])
    searching._nothing_is_missing(whole, q, r, 200)
    replaced = order.copy()
    replaced[0] = np.argsort(distances)[-1]
    with pytest.raises(AssertionError, match="missing"):
        searching._nothing_is_missing(Pairs(replaced // 300, replaced % 300, distances[order]), q, r, 200)


def test_networks_by_the_code_of_the_card() -> None:
    networks = embedding.batched(Engine(precision="int8", device="cpu"), on_card=False)
    assert [network.input_size for network in networks] == [224, 128]
    alone, ratio = embedding.from_memory(networks[1:], 1, 1, on_card=False)
    assert alone.median > 0 and ratio.wanted == 0.97 and ratio.median > 0


def test_a_part_that_fails_is_told_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([], {})

    def fails() -> list[Figure]:
        raise DeviceError("no\ncard")

    report.measure("a", fails)
    report.measure("b", lambda: [Figure("fast", [3.0, 1.0, 2.0], 2.5), Figure("small", [1.0], 2.0, at_most=True)])
    assert report.failed == {"a": "no card"} and [figure.reached for figure in report.figures] == [False, True]
    out = capsys.readouterr().out
    assert out.startswith("a: no card\n") and out.count("NOT REACHED") == 1
    assert report.figures[0].record()["median"] == 2.0 and Figure("told", [1.0]).reached is None
