"""How well regions are found: precision, recall and average precision at an intersection over union of 0.5."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.regions import Box, Region

from .scene_files import SceneFiles

LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Found:
    """precision: of all regions that were found; 1 where there was none. recall: of all that are there. average_precision: the
    area under precision over recall, the most certain regions first."""

    precision: float
    recall: float
    average_precision: float

    def to_dict(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure(pictures: Sequence[tuple[Sequence[Region], Sequence[Box]]]) -> Found:
    """For every picture what was found and what is there. Each box that is there can be found once, by the most certain."""
    hits: list[tuple[float, bool]] = []
    for found, boxes in pictures:
        left = list(boxes)
        for region in sorted(found, key=lambda region: -region.strength):
            best = max(left, key=lambda box: overlap(box, region.box), default=None)
            right = best is not None and overlap(best, region.box) >= LEAST_OVERLAP
            if right and best is not None:
                left.remove(best)
            hits.append((region.strength, right))
    there = sum(len(boxes) for _, boxes in pictures)
    right = np.array([hit for _, hit in sorted(hits, key=lambda hit: (-hit[0], hit[1]))], bool)
    precisions = right.cumsum() / np.arange(1, len(right) + 1)
    area = float(precisions[right].sum()) / max(1, there)
    return Found(float(right.mean()) if len(right) else 1.0, float(right.sum()) / max(1, there), area)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    return a.overlap(b) / max(1, a.area + b.area - a.overlap(b))


def measure_on_scenes(find: Callable[[NDArray[np.uint8]], list[Region]], scenes: SceneFiles) -> Found:
    """What a finder finds in scenes."""
    pictures = []
    for number in range(len(scenes)):
        scene = scenes[number]
        boxes = scene.boxes[np.isfinite(scene.boxes).all(axis=1)] * len(scene.pixels)
        pictures.append((find(scene.pixels), [Box(*box) for box in boxes.round().astype(int).tolist()]))
    return measure(pictures)
