"""Scenes made once and kept in files, since making one takes about as long as a step of training on it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import ResumeError, StoreError
from copytrace.engine.store.atomic import reason, replacing

from ..data.photographs import Photographs
from .scenes import MOST_BOXES, Scene, make_scene

SHARD = 250
"""Scenes a file. A killed run makes the file anew that it was at."""
FOLDER = "scenes"

Progress = Callable[[int, int], None]


class SceneFiles:
    """``count`` scenes of ``size`` pixels from photographs, in ``folder``; those that are not there are made.

    A scene depends on the photographs, the seed and its number alone.
    Raises: ResumeError when the folder holds scenes of other photographs, size or seed; StoreError when it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        photographs: Photographs,
        count: int,
        size: int,
        seed: int,
        progress: Progress = lambda done, total: None,
    ) -> None:
        mine = {"photographs": photographs.fingerprint(), "of": len(photographs), "size": size, "seed": seed}
        self._claim(folder, mine)
        self._shards: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = []
        for start in range(0, count, SHARD):
            stop = min(count, start + SHARD)
            path = folder / f"{start:07d}-{stop:07d}.npz"
            if not path.exists():
                scenes = (make_scene(photographs, np.random.default_rng([seed, i]), size) for i in range(start, stop))
                _write(path, scenes)
            self._shards.append(_read(path))
            progress(stop, count)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Scene:
        """Boxes are padded to MOST_BOXES rows with NaN."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        pixels, boxes = self._shards[number // SHARD]
        return Scene(pixels[number % SHARD], boxes[number % SHARD])

    @staticmethod
    def _claim(folder: Path, mine: dict[str, object]) -> None:
        path = folder / "scenes.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if json.loads(path.read_text(encoding="utf-8")) != mine:
                    raise ResumeError(f"{folder}: holds scenes of other photographs, size or seed; give another folder")
            else:
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
        except (OSError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else "scenes.json is damaged"
            raise StoreError(f"{folder}: cannot be used: {why}") from None


def padded(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """[K, 4] -> [MOST_BOXES, 4], filled up with NaN."""
    rows = np.full((MOST_BOXES, 4), np.nan, np.float32)
    rows[: len(boxes)] = boxes
    return rows


def _write(path: Path, scenes: Iterator[Scene]) -> None:
    made = list(scenes)
    with replacing(path) as temporary, temporary.open("wb") as file:
        pixels, boxes = (np.stack(rows) for rows in ([s.pixels for s in made], [padded(s.boxes) for s in made]))
        np.savez(file, pixels=pixels, boxes=boxes)


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["pixels"], file["boxes"]
    except Exception as error:  # zip's and numpy's own
        raise ResumeError(f"{path}: damaged; remove it, and it is made again: {' '.join(str(error).split())}") from None
