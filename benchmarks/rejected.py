"""What rejecting a query does to the scores of the next ones, in log odds, edit by edit.

    python -m benchmarks.rejected [PHOTOGRAPHS]

Half of the photographs (default: the package's) are references. Each of the others is rejected for the reference most alike to
it. Then come its own edits, which are to lose, and edits of other queries and of the rejected references, which are not.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Engine
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, open_source
from copytrace.engine.read.decode import decode_full
from copytrace.engine.serve.rejected import MOST, NEAR

PHOTOS = Path(__file__).parent.parent / "engine" / "photos" / "references"
Pixels = NDArray[np.uint8]


def shrunk(pixels: Pixels) -> Any:
    return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def cropped(pixels: Pixels, side: float) -> Pixels:
    top, left = (round(length * (1 - side) / 2) for length in pixels.shape[:2])
    return pixels[top : len(pixels) - top, left : pixels.shape[1] - left]


def reencoded(pixels: Pixels) -> Any:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)


EDITS: dict[str, Callable[[Pixels], Any]] = {
    "re-encoded, quality 50": reencoded,
    "half the size": shrunk,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "cropped to 90 %": lambda pixels: cropped(pixels, 0.9),
    "cropped to 80 %": lambda pixels: cropped(pixels, 0.8),
    "brightened": lambda pixels: cv2.convertScaleAbs(pixels, alpha=1.2, beta=25),
    "turned by 90 degrees": lambda pixels: np.rot90(pixels),
}


def run(photographs: Path) -> None:
    images = [decode_full(image.read(), 1024, DEFAULT_PIXEL_LIMIT) for image in open_source(photographs)]
    half = len(images) // 2
    references, queries = images[:half], images[half:]
    engine = Engine()

    def rows(pictures: list[Any]) -> NDArray[np.float32]:
        found = engine.embed([np.ascontiguousarray(picture) for picture in pictures], role="query")
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    rejected = rows(queries)
    nearest = (rejected @ engine.embed(references).T).argmax(axis=1)
    for name, edit in EDITS.items():
        cosines = rows([edit(query) for query in queries]) @ rejected.T
        lost = MOST * np.clip((cosines - NEAR) / (1.0 - NEAR), 0.0, 1.0)
        others = lost[~np.eye(len(queries), dtype=bool)]
        copies = (rows([edit(references[n]) for n in nearest]) * rejected).sum(axis=1)
        print(
            f"{name:<24} loses {np.diag(lost).mean():.2f} of {MOST:g}; of {others.size} pairs with another query "
            f"{int((others > 0).sum())} lose, of {len(copies)} copies of the rejected references {int((copies > NEAR).sum())}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path, nargs="?", default=PHOTOS)
    run(parser.parse_args().photographs)
