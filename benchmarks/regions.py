"""How many pasted photographs are found: precision and recall at an intersection over union of 0.5, by every finder.

    python -m benchmarks.regions PHOTOGRAPHS [--bundle B] [--scenes 200] [--side 384] [--seed 1]

Scenes of every kind that the detector is trained on, from photographs that it must not have been trained on, with text, emoji
and other edits over half of them. All photographs of a collage count. Up to three regions a picture, as matching looks at
them; milliseconds are processor time. ``trained`` and ``both`` need a bundle with a detector.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from copytrace.engine import DEFAULT_BUNDLE, Bundle
from copytrace.engine.match.regions import MOST_REGIONS, Box, RegionFinder
from copytrace.engine.region_finders import region_finder
from copytrace.train.data.photographs import Photographs
from copytrace.train.detector.measure import Found, measure
from copytrace.train.detector.scenes import KINDS, Scene, make_scene

from .evaluation import line


def measured(find: RegionFinder, scenes: list[Scene], most: int) -> tuple[Found, float, float]:
    """Figures, regions and milliseconds a picture."""
    start = time.process_time()
    found = [find(scene.pixels, most) for scene in scenes]
    milliseconds = 1000 * (time.process_time() - start) / len(scenes)
    there = [[Box(*box) for box in (scene.boxes * len(scene.pixels)).round().astype(int).tolist()] for scene in scenes]
    return measure(list(zip(found, there, strict=True))), sum(map(len, found)) / len(found), milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--scenes", type=int, default=200, help="Of every kind.")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--most", type=int, default=MOST_REGIONS)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    photographs, bundle = Photographs([args.photographs]), Bundle(args.bundle)
    names = ("classical", "trained", "both") if bundle.manifest.detector else ("classical",)
    finders = {name: region_finder(name, bundle, "int8") for name in names}
    print(line(["scenes", "finder", "precision", "recall", "regions", "ms"]) + "\n|---|---|---|---|---|---|")
    for place, kind in enumerate(KINDS):
        rngs = (np.random.default_rng([args.seed, place, number]) for number in range(args.scenes))
        scenes = [make_scene(photographs, rng, args.side, kind) for rng in rngs]
        for name, find in finders.items():
            found, regions, milliseconds = measured(find, scenes, args.most)
            recall = f"{found.recall:.3f}" if any(len(scene.boxes) for scene in scenes) else "-"
            cells = [kind, name, f"{found.precision:.3f}", recall, f"{regions:.2f}", f"{milliseconds:.1f}"]
            print(line(cells), flush=True)


if __name__ == "__main__":
    main()
