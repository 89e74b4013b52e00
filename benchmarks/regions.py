"""How many pasted photographs are found as rectangles: precision and recall at an intersection over union of 0.5.

    python -m benchmarks.regions PHOTOGRAPHS [--pastes 400] [--seed 1]

Every paste is made twice by our own attacks, once of a black and once of a white picture; where the two differ is where it was
pasted. A picture's first rectangle alone, and up to three of them.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.regions import Box, find_regions
from copytrace.engine.read import Source, open_source
from copytrace.train.attack_set import load
from copytrace.train.attacks import ATTACKS, Draw
from copytrace.train.attacks.paste import collage, paste

Pixels = NDArray[np.uint8]
ATTACK_NAMES: dict[str, Callable[[Pixels, Draw], Pixels]] = {
    "isc2021 pasted": ATTACKS["overlay-image"],
    "wide paste": paste,
    "wide collage": collage,
}
LEAST_OVERLAP = 0.5


def pastes(source: Source, name: str, count: int, seed: int) -> Iterator[tuple[Pixels, Box]]:
    """(picture, where the photograph is) of ``count`` pastes."""
    attack, made = ATTACK_NAMES[name], 0
    for number in range(4 * count):
        rng = np.random.default_rng([seed, number])
        picture, intensity = load(source[int(rng.integers(len(source)))]), float(rng.uniform(0.2, 1.0))
        state = rng.bit_generator.state

        def made_of(pixels: Pixels) -> Pixels:
            again = np.random.default_rng()
            again.bit_generator.state = state  # noqa: B023
            other = lambda: load(source[int(again.integers(len(source)))])  # noqa: E731
            return attack(pixels, Draw(again, intensity, other))  # noqa: B023

        dark, light = made_of(np.zeros_like(picture)), made_of(np.full_like(picture, 255))
        rows, columns = (np.flatnonzero((dark != light).any(axis=(axis, 2))) for axis in (1, 0))
        if len(rows) and len(columns):
            yield made_of(picture), Box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            made += 1
        if made == count:
            return


def overlap(a: Box, b: Box) -> float:
    return a.overlap(b) / (a.area + b.area - a.overlap(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--pastes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    source = open_source(args.photographs)
    print(
        "| pastes | recall, one | precision, one | recall, three | precision, three | ms |\n|---|---|---|---|---|---|"
    )
    for name in ATTACK_NAMES:
        hits, found, first_hits, first_found, seconds, total = 0, 0, 0, 0, 0.0, 0
        for picture, truth in pastes(source, name, args.pastes, args.seed):
            start = time.process_time()
            regions = find_regions(picture)
            seconds += time.process_time() - start
            right = [overlap(region.box, truth) >= LEAST_OVERLAP for region in regions]
            total, hits, found = total + 1, hits + any(right), found + len(right)
            first_hits, first_found = first_hits + any(right[:1]), first_found + len(right[:1])
        one, three = first_hits / total, hits / total
        cells = [one, first_hits / max(1, first_found), three, hits / max(1, found)]
        print(
            f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + f" | {1000 * seconds / total:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
