"""A picture of every attack of the wide set, the paper's among them:
``python -m copytrace.train.tools.contact_sheet PHOTO OTHER -o SHEET.jpg``.

Three cells an attack, by intensity; the photograph and what is laid under or over it come first.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine.read import Image

from ..attacks import Draw, Pixels
from ..attacks.overlay import write
from ..attacks.wide import ATTACKS
from ..data.pictures import load

INTENSITIES = (0.1, 0.5, 1.0)
CELL = 120
LABEL = 18
ATTACKS_PER_ROW = 4


def cell(picture: Pixels, label: str) -> Pixels:
    """The picture fitted into a square with a line of text below."""
    factor = CELL / max(picture.shape[:2])
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    square = np.full((CELL + LABEL, CELL, 3), 245, np.uint8)
    y, x = (CELL - height) // 2, (CELL - width) // 2
    square[y : y + height, x : x + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return write(square, label, (2, CELL + 2), 10, (40, 40, 40))


def contact_sheet(photo: Pixels, other: Pixels) -> Pixels:
    blank = np.full_like(cell(photo, ""), 245)
    strips = [np.concatenate([cell(photo, "photograph"), cell(other, "other"), blank], axis=1)]
    for number, (name, function) in enumerate(ATTACKS.items()):
        cells = []
        for intensity in INTENSITIES:
            draw = Draw(np.random.default_rng([number, round(10 * intensity)]), intensity, lambda: other)
            label = name if intensity == INTENSITIES[0] else f"{intensity:g}"
            cells.append(cell(function(photo, draw), label))
        strips.append(np.concatenate(cells, axis=1))
    strips += [np.full_like(strips[0], 245)] * (-len(strips) % ATTACKS_PER_ROW)
    rows = [np.concatenate(strips[i : i + ATTACKS_PER_ROW], axis=1) for i in range(0, len(strips), ATTACKS_PER_ROW)]
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    photo, other = (load(Image(path.stem, path.read_bytes)) for path in (args.photo, args.other))
    sheet = cv2.cvtColor(contact_sheet(photo, other), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(args.output), sheet, [cv2.IMWRITE_JPEG_QUALITY, 70])


if __name__ == "__main__":
    main()
