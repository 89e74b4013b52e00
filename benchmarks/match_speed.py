"""Milliseconds that a query takes against a collection, on the wall and of the processor.

    python -m benchmarks.match_speed QUERIES REFS.ct [--count 200] [--threads 2]

Opening the collection and building the index of votes are told apart from the queries.
"""

import argparse
import time
from pathlib import Path

from copytrace.engine import Engine
from copytrace.engine.matching import Matcher, Mode
from copytrace.engine.pictures import Looks, picture_stream
from copytrace.engine.read import Image, open_source

from .harness import Ratio, machine

WANTED: dict[Mode, float] = {"verify": 25.0, "full": 40.0}
WARMED_UP = 32


class Clock:
    """Seconds since it was made, on the wall and of the processor."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def run(images: list[Image], references: Path, threads: int) -> list[Ratio]:
    return [measured(mode, wanted, images, references, Engine(threads=threads)) for mode, wanted in WANTED.items()]


def measured(mode: Mode, wanted: float, images: list[Image], references: Path, engine: Engine) -> Ratio:
    clock = Clock()
    matcher = Matcher(references, mode, engine=engine, announce=print)
    wall, cost = clock.read()
    print(f"{mode}: {len(matcher.references)} references ready in {wall:.1f} s, {cost:.1f} of the processor")
    looks = Looks.of_queries(engine.embedder, local=True)
    pictures = list(picture_stream(engine.embedder, images[:WARMED_UP], looks))
    list(matcher.matched(pictures))
    clock = Clock()
    list(matcher.matched(picture_stream(engine.embedder, images, looks)))
    wall, cost = (1000 * seconds / len(images) for seconds in clock.read())
    clock = Clock()
    list(matcher.matched(pictures))
    matching = 1000 * clock.read()[1] / len(pictures)
    print(f"{mode}: {cost:.1f} ms of the processor a query, {matching:.1f} of them behind views, networks and features")
    return Ratio(f"ms a query, {mode}, {len(matcher.references)} references", [wall], wanted, at_most=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queries", type=Path)
    parser.add_argument("references", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    source = open_source(args.queries)
    images = [source[i] for i in range(min(args.count, len(source)))]
    print(f"{machine()}; {args.threads} threads, {len(images)} queries")
    print("\n".join(result.line() for result in run(images, args.references, args.threads)))


if __name__ == "__main__":
    main()
