"""Attacks that put the picture into the frame of some other medium: a meme, a screenshot of an app."""

import cv2
import numpy as np

from .draw import Draw, Pixels
from .overlay import random_text, write

_DARK = ((18, 20, 24), (235, 235, 235), (60, 64, 72))  # ground, ink, lines
_LIGHT = ((250, 250, 250), (20, 20, 20), (205, 208, 212))


def meme_format(image: Pixels, draw: Draw) -> Pixels:
    """Lines of text on a plain strip above the picture, or below it too."""
    height, width = image.shape[:2]
    strip = max(12, round(height * draw.between(0.12, 0.45)))
    light = draw.rng.random() < 0.7
    ground, ink = ((255, 255, 255), (0, 0, 0)) if light else ((0, 0, 0), (255, 255, 255))

    def caption() -> Pixels:
        size = max(6, strip // 3)
        part = np.full((strip, width, 3), ground, np.uint8)
        letters = max(3, round(1.6 * width / size))
        for line in range(2):
            text, y = random_text(draw, letters // 2, letters), strip // 10 + line * strip // 2
            part = write(part, text, (width // 30, y), size, ink)
        return part

    parts = [caption(), image]
    if draw.rng.random() < 0.4:
        parts.append(caption())
    return np.concatenate(parts)


def overlay_onto_screenshot(image: Pixels, draw: Draw) -> Pixels:
    """The picture as a post in an app: bars above and below, a name, a line of text, buttons."""
    height, width = image.shape[:2]
    dark = draw.rng.random() < 0.4
    ground, ink, line = (
        ((18, 20, 24), (235, 235, 235), (60, 64, 72)) if dark else ((250, 250, 250), (20, 20, 20), (205, 208, 212))
    )
    margin = round(width * draw.between(0.01, 0.2))
    top, bottom = (round(height * draw.between(0.15, 0.6)) for _ in range(2))
    screen = np.full((height + top + bottom, width + 2 * margin, 3), ground, np.uint8)
    screen[top : top + height, margin : margin + width] = image
    row = max(8, top // 4)
    cv2.rectangle(screen, (0, 0), (screen.shape[1], row), draw.colour(), -1)
    cv2.circle(screen, (margin + row, 2 * row + row // 2), row // 2, draw.colour(), -1, cv2.LINE_AA)
    screen = write(screen, random_text(draw, 5, 14), (margin + 2 * row, 2 * row), max(6, row // 2), ink)
    screen = write(screen, random_text(draw, 10, 40), (margin + 4, 3 * row), max(6, row // 2), ink)
    y = top + height + bottom // 4
    for place in range(3):
        x = margin + round(width * (0.1 + 0.3 * place))
        cv2.circle(screen, (x, y), max(3, bottom // 8), line, max(1, bottom // 40), cv2.LINE_AA)
    return write(screen, random_text(draw, 10, 40), (margin + 4, y + bottom // 4), max(6, bottom // 6), ink)
