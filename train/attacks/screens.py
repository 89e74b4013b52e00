"""Attacks that show the picture on a device: in a browser, on a telephone, photographed from a screen, printed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels
from .emoji import emoji_stamp
from .light import spread
from .logos import logo_stamp
from .marks import fitted
from .paste import ground
from .stamps import Stamp, lay, rounded_rectangle
from .writing import phrase, text_stamp

_THEMES = (
    ((250, 250, 250), (30, 30, 30), (220, 222, 226)),  # ground, ink, bars
    ((18, 20, 24), (235, 235, 235), (45, 48, 54)),
    ((240, 242, 245), (60, 60, 70), (255, 255, 255)),
)


def _theme(draw: Draw) -> tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]:
    return _THEMES[int(draw.rng.integers(0, len(_THEMES)))]


def _paragraph(canvas: Pixels, draw: Draw, x: int, y: int, width: int, height: int, ink: tuple[int, int, int]) -> None:
    """Lines of a text too small to read, as bars, of uneven length."""
    step = max(3, height // max(1, int(draw.rng.integers(1, 6))))
    for top in range(y, y + height - step // 2, step):
        length = round(width * draw.rng.uniform(0.3, 1.0))
        cv2.rectangle(canvas, (x, top), (x + length, top + max(1, step // 3)), ink, -1)


def browser(image: Pixels, draw: Draw) -> Pixels:
    """A window with tabs and an address, the picture on a page with text and other things beside it."""
    height, width = image.shape[:2]
    paper, ink, bars = _theme(draw)
    bar = max(6, round(height * draw.rng.uniform(0.05, 0.1)))
    above, below, left, right = (round(side * draw.between(0.0, 0.5)) for side in (height, height, width, width))
    top = 2 * bar + above
    screen = np.full((top + height + below, left + width + right, 3), paper, np.uint8)
    across = screen.shape[1]
    cv2.rectangle(screen, (0, 0), (across, 2 * bar), bars, -1)
    cv2.rectangle(screen, (0, 0), (max(8, across // 4), bar), paper, -1)
    for number in range(3):
        colour = ((237, 106, 94), (245, 191, 79), (98, 197, 84))[number] if draw.rng.random() < 0.7 else ink
        cv2.circle(screen, (across - bar * (3 - number), bar // 2), max(1, bar // 5), colour, -1, cv2.LINE_AA)
    screen[bar + bar // 5 : 2 * bar - bar // 5, across // 8 : across - across // 8] = paper
    lay(screen, text_stamp(draw, phrase(draw, 2), max(6, bar // 2)), across // 7, bar)
    grey = tuple((2 * a + b) // 3 for a, b in zip(paper, ink, strict=True))
    _paragraph(screen, draw, 4, 2 * bar + 3, across - 8, above - 4, grey)
    _paragraph(screen, draw, 4, top + height + 4, across - 8, below - 4, grey)
    if right > 24:
        screen[top : top + height // 2, left + width + 4 :] = (
            fitted(draw.other(), right - 4, max(1, height // 2)) if height > 1 else 0
        )
    screen[top : top + height, left : left + width] = image
    return screen


def phone(image: Pixels, draw: Draw) -> Pixels:
    """Upright, with a status bar, the picture whole or filling the screen, buttons; the telephone around it now and then."""
    height, width = image.shape[:2]
    across = max(48, min(width, 256))
    long = round(across * draw.rng.uniform(1.3, 2.1))
    paper, ink, bars = _theme(draw)
    screen = np.full((long, across, 3), paper, np.uint8)
    bar = max(6, long // 24)
    room = long - 5 * bar
    tall = min(room, max(8, round(height * across / width)))
    if draw.rng.random() < 0.3:
        tall = room
    top = 3 * bar + int(draw.rng.integers(0, room - tall + 1))
    screen[top : top + tall] = fitted(image, across, tall) if tall == room else cv2.resize(image, (across, tall))
    cv2.rectangle(screen, (0, 0), (across, 3 * bar), bars, -1)
    lay(screen, text_stamp(draw, f"{draw.rng.integers(0, 24)}:{draw.rng.integers(10, 60)}", max(6, bar - 3)), 2, 0)
    lay(screen, logo_stamp(draw, bar), across - 2 * bar, 0)
    lay(screen, text_stamp(draw, phrase(draw, 2), bar), bar, bar)
    _paragraph(screen, draw, 4, top + tall + 3, across - 8, max(0, min(3 * bar, long - top - tall - 2 * bar)), ink)
    for number in range(int(draw.rng.integers(2, 6))):
        lay(screen, emoji_stamp(draw, bar), 2 + number * across // 5, long - bar - 3)
    if draw.rng.random() < 0.5:
        return screen
    body = cv2.copyMakeBorder(screen, bar, bar, bar // 2, bar // 2, cv2.BORDER_CONSTANT, value=(20, 20, 22))
    mask = rounded_rectangle(body.shape[1], body.shape[0], 2 * bar).astype(np.float32) / 255
    table = ground(draw, body.shape[0] + bar, body.shape[1] + 2 * bar)
    lay(table, Stamp(body, mask), bar, bar // 2)
    return table


def chat(image: Pixels, draw: Draw) -> Pixels:
    """Sent in a conversation: bubbles with text above and below, the picture in one of them."""
    height, width = image.shape[:2]
    paper, _, bars = _theme(draw)
    margin = round(width * draw.between(0.05, 0.6))
    above, below = (round(height * draw.between(0.05, 0.6)) for _ in range(2))
    screen = np.full((above + height + below, width + margin, 3), paper, np.uint8)
    left = int(draw.rng.integers(0, 2)) * margin
    lay(
        screen,
        Stamp(image, rounded_rectangle(width, height, min(height, width) // 16).astype(np.float32) / 255),
        left,
        above,
    )
    for start, end in ((0, above), (above + height, screen.shape[0])):
        row = max(8, round(height * draw.rng.uniform(0.08, 0.16)))
        for y in range(start + 2, end - row, row + 4):
            bubble = max(row, round(screen.shape[1] * draw.rng.uniform(0.3, 0.7)))
            x = 3 if draw.rng.random() < 0.5 else screen.shape[1] - bubble - 3
            colour = draw.colour() if draw.rng.random() < 0.3 else bars
            plate = np.full((row, bubble, 3), colour, np.uint8)
            lay(screen, Stamp(plate, rounded_rectangle(bubble, row, row // 2).astype(np.float32) / 255), x, y)
            lay(screen, text_stamp(draw, phrase(draw, 2), max(6, row // 2)), x + row // 4, y)
    return screen


def _seen_aslant(image: Pixels, draw: Draw, behind: Pixels, reach: float) -> Pixels:
    """The picture before ``behind``, its corners moved inwards by up to ``reach`` of the sides, each by its own."""
    height, width = behind.shape[:2]
    h, w = image.shape[:2]
    corners = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
    inward = np.float32([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [width, height]
    placed = np.float32([[0, 0], [width, 0], [width, height], [0, height]]) + inward * draw.rng.uniform(
        0, reach, (4, 2)
    )
    matrix = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    canvas = behind.copy()
    return cv2.warpPerspective(image, matrix, (width, height), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)


def _moire(draw: Draw, height: int, width: int, strength: float) -> NDArray[np.int16]:
    """A fine wavy pattern for every channel, int16 [height, width, 3], of that amplitude."""
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    angle, frequency = draw.rng.uniform(0, np.pi), draw.rng.uniform(0.2, 2.2) * 256 / (2 * np.pi)
    bends = [3 * np.sin(side * np.float32(draw.rng.uniform(0.01, 0.05))) for side in (x, y)]
    across = (x * np.float32(np.cos(angle)) + bends[0]) * np.float32(frequency)
    down = (y * np.float32(np.sin(angle)) + bends[1]) * np.float32(frequency)
    phase = (across + down).astype(np.int32).astype(np.uint8)
    turns = np.arange(256)[:, None] * (2 * np.pi / 256) + draw.rng.uniform(0, 2, 3)
    return cv2.LUT(cv2.merge([phase] * 3), (strength * np.sin(turns)).astype(np.int16)[None])


def photographed_screen(image: Pixels, draw: Draw) -> Pixels:
    """Taken aslant from a monitor: its frame, moire, a reflection, another brightness, not quite sharp."""
    height, width = image.shape[:2]
    frame = max(1, round(min(height, width) * draw.between(0.01, 0.12)))
    level = int(draw.rng.integers(5, 60))
    screen = cv2.copyMakeBorder(image, frame, frame, frame, frame, cv2.BORDER_CONSTANT, value=(level, level, level))
    seen = _seen_aslant(screen, draw, ground(draw, height, width), draw.between(0.03, 0.22))
    coarse = draw.rng.uniform(-1, 1, (3, 4)).astype(np.float32)
    light = spread(coarse, height, width) * np.float32(draw.between(5, 60))
    seen = cv2.add(seen, cv2.merge([light.astype(np.int16)] * 3), dtype=cv2.CV_8U)
    seen = cv2.add(seen, _moire(draw, height, width, draw.between(2, 25)), dtype=cv2.CV_8U)
    if draw.rng.random() < 0.4:
        seen = cv2.addWeighted(seen, 1.0, fitted(draw.other(), width, height), draw.between(0.05, 0.3), 0)
    return cv2.GaussianBlur(seen, (3, 3), draw.between(0.3, 1.5))


def printed(image: Pixels, draw: Draw) -> Pixels:
    """A print on a table or a wall, with its white margin, seen aslant, unevenly lit."""
    height, width = image.shape[:2]
    margin = max(1, round(min(height, width) * draw.between(0.01, 0.15)))
    bottom = margin * (3 if draw.rng.random() < 0.3 else 1)
    sheet = cv2.copyMakeBorder(image, margin, bottom, margin, margin, cv2.BORDER_CONSTANT, value=(245, 243, 238))
    seen = _seen_aslant(sheet, draw, ground(draw, height, width), draw.between(0.03, 0.3))
    light = 1 + spread(draw.rng.uniform(-1, 0.6, (2, 3)).astype(np.float32), height, width) * np.float32(
        draw.between(0.1, 0.5)
    )
    return cv2.multiply(seen, cv2.merge([light] * 3), dtype=cv2.CV_8U)
