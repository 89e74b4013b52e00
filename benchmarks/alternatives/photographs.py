"""JPEGs of one megapixel to measure with: nine photographs side by side, so that they hold as much detail as a camera's."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, ACROSS = 1152, 864, 3
QUALITY = 90


def megapixels(photographs: Path, folder: Path, count: int) -> list[Path]:
    """Write ``count`` JPEGs of 1152 x 864 made of the JPEGs of a folder, the same every time."""
    paths = sorted(photographs.rglob("*.jpg"))
    rng = np.random.default_rng(0)
    written = []
    for number in range(count):
        rows = [np.hstack([_tile(paths[rng.integers(len(paths))]) for _ in range(ACROSS)]) for _ in range(ACROSS)]
        written.append(folder / f"{number:05}.jpg")
        cv2.imwrite(str(written[-1]), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return written


def _tile(path: Path) -> np.ndarray:
    """The upper left of a photograph, enlarged where it is too small."""
    width, height = WIDTH // ACROSS, HEIGHT // ACROSS
    pixels = cv2.imread(str(path))
    scale = max(width / pixels.shape[1], height / pixels.shape[0], 1.0)
    size = (round(np.ceil(pixels.shape[1] * scale)), round(np.ceil(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)[:height, :width])
