"""All of it on a machine with a graphics card, with the record in ``benchmarks/results``: ``make bench-gpu``.

``--device cpu --small`` runs the same program on the CPU, for which it is no measurement: so it is known to run.
"""

import argparse
import datetime
import json
import re
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from copytrace.engine import Engine
from copytrace.engine.bench import machine_record, machine_text
from copytrace.engine.bundle import Bundle
from copytrace.engine.device import DeviceArray, pinned

from . import embedding, searching
from .figure import Figure, Report

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EVALUATION = ROOT.parent / "shared" / "data" / "eval" / "references"
PARTS = ("copy", "embedding", "torch", "search")


def main() -> None:
    args = _arguments()
    machine = machine_record()
    print(machine_text(machine), flush=True)
    report = Report([], {})
    on_card = args.device == "cuda"
    if "copy" in args.only and on_card:
        report.measure("copies to the card", lambda: _copies(args.rounds))
    for precision in args.precision or Bundle().precisions:
        if {"embedding", "torch"} & set(args.only):
            _embedding(report, args, precision, on_card)
    if "search" in args.only:
        _search(report, args)
    record = {
        "machine": machine,
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "settings": {name: str(value) for name, value in vars(args).items()},
        "figures": [figure.record() for figure in report.figures],
        "failed": report.failed,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / f"{_name(machine, args.device)}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    missed = [figure.name for figure in report.figures if figure.reached is False]
    print(f"{len(report.figures)} figures, {len(missed)} not reached, {len(report.failed)} parts failed: {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--images", type=Path, help="JPEGs (default: the evaluation set or the demo's)")
    parser.add_argument(
        "--count", type=int, default=50_000, help="images a round, the same ones again where they are fewer"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--top", type=int, default=500_000)
    parser.add_argument("--precision", action="append", help="default: all that the bundle has")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the record")
    parser.add_argument("--small", action="store_true", help="sizes for a machine without a card")
    args = parser.parse_args()
    args.images = args.images or (EVALUATION if EVALUATION.is_dir() else ROOT / "engine" / "photos" / "references")
    if args.small:
        args.count, args.rounds, args.queries, args.references, args.top = 24, 1, 300, 20_000, 2000
    return args


def _embedding(report: Report, args: Any, precision: str, on_card: bool) -> None:
    opened: list[Engine] = []

    def opening() -> list[Figure]:
        start = time.perf_counter()
        opened.append(Engine(precision=precision, device=args.device))
        return [Figure(f"{precision}: seconds until ready, {opened[0].runtime}", [time.perf_counter() - start])]

    report.measure(f"{precision}: opening", opening)
    if not opened:
        return
    engine = opened[0]
    if "embedding" in args.only:
        some = list(islice(sorted(args.images.rglob("*.jpg")), 8 if args.small else 500))
        report.measure(f"{precision}: parity", lambda: embedding.parity(engine, some))
        report.measure(
            f"{precision}: end to end", lambda: embedding.whole(engine, args.images, args.count, args.rounds)
        )
    networks = embedding.batched(engine, on_card)
    batches = 2 if args.small else 32
    if "embedding" in args.only:
        report.measure(
            f"{precision}: from memory", lambda: embedding.from_memory(networks, batches, args.rounds, on_card)
        )
    if "torch" in args.only:
        report.measure(f"{precision}: torch", lambda: embedding.against_torch(networks, args.rounds, on_card))


def _search(report: Report, args: Any) -> None:
    where = args.device
    few = searching.rows(min(args.queries, 5000), 256, 1), searching.rows(min(args.references, 100_000), 256, 2)
    report.measure("search: the core's answer", lambda: searching.same_as_the_core(where, *few))
    queries, references = searching.rows(args.queries, 256, 1), searching.rows(args.references, 256, 2)
    report.measure("search: top", lambda: searching.top(where, queries, references, args.top, args.rounds))
    report.measure("search: nearest", lambda: searching.nearest(where, queries, references, 10, args.rounds))


def _copies(rounds: int) -> list[Figure]:
    """Gigabytes per second to the card, from pages that it copies without a detour, and from others."""
    size = 1 << 30
    target = DeviceArray.empty((size,), np.uint8)
    figures = []
    for name, source in (("pinned", pinned((size,), np.uint8)), ("pageable", np.zeros(size, np.uint8))):
        rates = []
        for turn in range(rounds + 1):
            start = time.perf_counter()
            target.fill_from(source)
            target[:1].to_host()  # waits for its stream
            if turn:
                rates.append(size / 1e9 / (time.perf_counter() - start))
        figures.append(Figure(f"copy to the card from {name} memory, GB/s", rates))
    return figures


def _name(machine: dict[str, object], device: str) -> str:
    cards = machine["cards"]
    assert isinstance(cards, list)
    what = str(cards[0]).partition(",")[0] if cards and device == "cuda" else "cpu"
    return "gpu-" + re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")


if __name__ == "__main__":
    main()
