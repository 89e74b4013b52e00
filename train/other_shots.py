"""Stand-ins for another photograph of the same scene: what is near moves against what is far, as it does when the camera moves.

Training photographs hold few such pairs with many matches, and a model of pairs must have seen them to tell them from copies.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

PARALLAX = (0.02, 0.08)  # of the shorter side, between the nearest and the farthest
_LAYERS = 3


def other_shot(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """uint8 RGB [H, W, 3] -> the same scene [H, W, 3] from a little aside: three layers of depth moved against each other, the
    whole turned, scaled and shifted a little, its exposure changed."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    field = cv2.resize(rng.random((5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    edges = np.quantile(field, np.arange(1, _LAYERS) / _LAYERS)
    depth = np.digitize(field, edges).astype(np.float32) / (_LAYERS - 1)
    depth = cv2.GaussianBlur(depth, (0, 0), 0.01 * short)
    direction, size = rng.uniform(0.0, 2.0 * np.pi), short * rng.uniform(*PARALLAX)
    camera = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-6.0, 6.0), rng.uniform(0.8, 1.2))
    camera[:, 2] += rng.uniform(-0.12, 0.12, 2) * short
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across = camera[0, 0] * x + camera[0, 1] * y + camera[0, 2] + size * np.cos(direction) * depth
    down = camera[1, 0] * x + camera[1, 1] * y + camera[1, 2] + size * np.sin(direction) * depth
    moved = cv2.remap(
        pixels, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    exposed = 255.0 * (moved / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.85, 1.1)
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
