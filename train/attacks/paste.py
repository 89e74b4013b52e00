"""Attacks that make the picture a part of another: pasted, cut out, in a collage, before a new background."""

import cv2
import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.regions import Box

from .draw import Draw, Pixels
from .filters import soft
from .light import fade, mixed, plain
from .marks import fitted
from .stamps import Stamp, lay, polygon, rounded_rectangle


def ground(draw: Draw, height: int, width: int) -> Pixels:
    """What lies behind: mostly another photograph, else one colour, a gradient, or that photograph blurred."""
    kind = draw.rng.random()
    if kind < 0.75:
        other = fitted(draw.other(), width, height)
        return soft(other, 6.0) if kind < 0.08 else other
    canvas = np.full((height, width, 3), draw.colour(), np.uint8)
    return fade(canvas, draw) if kind < 0.85 else canvas


def _outline(draw: Draw, height: int, width: int) -> NDArray[np.uint8]:
    """The shape of what is pasted: a rectangle half the time, else round, rounded, or any polygon."""
    kind = draw.rng.random()
    if kind < 0.55:
        return np.full((height, width), 255, np.uint8)
    if kind < 0.75:
        return rounded_rectangle(width, height, round(min(height, width) * draw.rng.uniform(0.06, 0.3)))
    if kind < 0.9:
        mask, axes = np.zeros((height, width), np.uint8), (max(1, width // 2), max(1, height // 2))
        return cv2.ellipse(mask, (width // 2, height // 2), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    return cv2.resize(polygon(draw, max(8, min(height, width))), (width, height))


def _framed(image: Pixels, draw: Draw) -> Stamp:
    """The picture in its outline, with a border or soft edges now and then."""
    height, width = image.shape[:2]
    mask, least = _outline(draw, height, width), min(height, width)
    kind = draw.rng.random()
    if kind < 0.25 and least > 16:
        line = max(1, round(least * draw.rng.uniform(0.02, 0.08)))
        inside = cv2.erode(
            cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), np.ones((2 * line + 1,) * 2, np.uint8)
        )
        inside = inside[1:-1, 1:-1].astype(np.float32) / 255
        colour = (255, 255, 255) if draw.rng.random() < 0.6 else draw.colour()
        image = mixed(plain(image, colour), image, inside)
    elif kind < 0.4 and least > 16:
        margin = max(1, least // 12)
        hollow = cv2.rectangle(np.zeros_like(mask), (margin, margin), (width - margin, height - margin), 255, -1)
        mask = soft(cv2.min(mask, hollow), margin * 0.8)
    return Stamp(image, mask.astype(np.float32) / 255)


def paste(image: Pixels, draw: Draw) -> Pixels:
    """On another picture at 70 % of its side, down to 20 %, turned now and then, with a shadow or half transparent."""
    height, width = image.shape[:2]
    canvas_height, canvas_width = (
        max(32, round(max(height, width) * share)) for share in draw.rng.uniform(0.7, 1.0, 2)
    )
    canvas = ground(draw, canvas_height, canvas_width)
    lay_photograph(canvas, image, draw)
    return canvas


def lay_photograph(canvas: Pixels, image: Pixels, draw: Draw) -> Box:
    """Paste onto a canvas, in place, as :func:`paste` does; returns where the photograph is, as far as it can be seen."""
    height, width = image.shape[:2]
    canvas_height, canvas_width = canvas.shape[:2]
    share = 0.75 - draw.between(0.05, 0.55)
    factor = share * min(canvas_width / width, canvas_height / height) * draw.rng.uniform(1.0, 1.15)
    size = max(8, round(width * factor)), max(8, round(height * factor * np.exp(draw.rng.normal(0, 0.1))))
    stamp = _framed(cv2.resize(image, size, interpolation=cv2.INTER_AREA), draw)
    if draw.rng.random() < 0.35:
        stamp = stamp.turned(float(draw.rng.normal(0, 20)))
    h, w = stamp.mask.shape
    x, y = (int(draw.rng.integers(0, max(1, room + 1))) for room in (canvas_width - w, canvas_height - h))
    if draw.rng.random() < 0.25:
        distance = max(1, h // 20)
        shadow = Stamp(plain(stamp.colour, (0, 0, 0)), cv2.blur(stamp.mask, (distance, distance)))
        lay(canvas, shadow, x + distance, y + distance, 0.6)
    lay(canvas, stamp, x, y, 1.0 if draw.rng.random() < 0.75 else draw.rng.uniform(0.5, 0.95))
    left, top, wide, high = cv2.boundingRect((stamp.mask > 0.5).astype(np.uint8))
    right, bottom = min(canvas_width, x + left + wide), min(canvas_height, y + top + high)
    return Box(min(x + left, right), min(y + top, bottom), right, bottom)


def _cells(draw: Draw, height: int, width: int, count: int) -> list[tuple[int, int, int, int]]:
    """A rectangle cut into ``count``: always the largest again, across its longer side; each (y, x, h, w)."""
    cells = [(0, 0, height, width)]
    while len(cells) < count:
        y, x, h, w = cells.pop(max(range(len(cells)), key=lambda i: cells[i][2] * cells[i][3]))
        at = draw.rng.choice((0.5, 0.5, 0.33, 0.67, 0.4, 0.6))
        if w >= h:
            cut = max(1, round(w * at))
            cells += [(y, x, h, cut), (y, x + cut, h, max(1, w - cut))]
        else:
            cut = max(1, round(h * at))
            cells += [(y, x, cut, w), (y + cut, x, max(1, h - cut), w)]
    return cells


def collage(image: Pixels, draw: Draw) -> Pixels:
    """Two to nine photographs side by side, this one among them; at most three others, the rest parts of those."""
    return collage_and_cells(image, draw)[0]


def collage_and_cells(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    """A :func:`collage`, and where its photographs are."""
    height, width = (max(48, round(side * draw.rng.uniform(1.0, 1.6))) for side in image.shape[:2])
    count = 2 + round(draw.between(0, 7))
    others = [draw.other() for _ in range(min(3, count - 1))]
    cells = _cells(draw, height, width, count)
    order = np.argsort([-h * w for _, _, h, w in cells])
    mine = int(order[int(draw.rng.integers(0, max(1, (count + 1) // 2)))])  # not the smallest ones
    gap = round(min(height, width) * draw.rng.choice((0, 0.01, 0.03)))
    canvas = np.full((height, width, 3), (255, 255, 255) if draw.rng.random() < 0.5 else draw.colour(), np.uint8)
    boxes = [Box(x, y, x + max(1, w - gap), y + max(1, h - gap)) for y, x, h, w in cells]
    for number, box in enumerate(boxes):
        h, w = box.bottom - box.top, box.right - box.left
        picture = image if number == mine else others[number % len(others)]
        if number != mine and number >= len(others):
            picture = picture[:: draw.sign(), :: draw.sign()]
        whole = number == mine and draw.rng.random() < 0.4
        part = cv2.resize(picture, (w, h)) if whole else fitted(picture, w, h)
        canvas[box.top : box.bottom, box.left : box.right] = part
    return canvas, boxes


def _subject(image: Pixels, draw: Draw) -> NDArray[np.float32]:
    """Where the foreground may be, float32 [H, W] 0 to 1: what differs in colour from the margin, or else an ellipse."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
    if draw.rng.random() < 0.6:
        lab = cv2.cvtColor(cv2.blur(small, (3, 3)), cv2.COLOR_RGB2LAB).astype(np.float32)
        margin = np.concatenate([lab[:4].reshape(-1, 3), lab[:, :4].reshape(-1, 3), lab[:, -4:].reshape(-1, 3)])
        spread = np.linalg.inv(np.cov(margin.T) + 30 * np.eye(3))
        away = lab - margin.mean(axis=0)
        distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", away, spread, away))
        _, mask = cv2.threshold(
            np.clip(distance * 32, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU
        )
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        if 0.15 < mask.mean() / 255 < 0.75:
            return cv2.resize(cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32) / 255, (width, height))
    mask = np.zeros((48, 48), np.uint8)
    axes = [round(24 * (0.95 - draw.between(0.05, 0.5))) for _ in range(2)]
    cv2.ellipse(mask, tuple(draw.rng.integers(18, 31, 2).tolist()), axes, draw.rng.uniform(0, 180), 0, 360, 255, -1)
    blur = (1, 3, 9)[int(draw.rng.integers(0, 3))]
    return cv2.resize(cv2.GaussianBlur(mask, (blur, blur), 0).astype(np.float32) / 255, (width, height))


def new_background(image: Pixels, draw: Draw) -> Pixels:
    """The foreground, or an ellipse in the middle, before something else."""
    share = _subject(image, draw)
    return mixed(ground(draw, *image.shape[:2]), image, share)


def cut_out(image: Pixels, draw: Draw) -> Pixels:
    """A shape of the picture on one colour, or the picture with such holes."""
    height, width = image.shape[:2]
    colour = ((0, 0, 0), (255, 255, 255), draw.colour())[int(draw.rng.integers(0, 3))]
    if draw.rng.random() < 0.6:
        side = max(height, width)
        mask = cv2.resize(polygon(draw, side), (width, height)).astype(np.float32) / 255
        return mixed(image, plain(image, colour), 1 - mask)
    image = image.copy()
    for _ in range(1 + round(draw.between(0, 8))):
        size = max(3, round(min(height, width) * draw.between(0.1, 0.35)))
        hole = Stamp(np.full((size, size, 3), colour, np.uint8), polygon(draw, size).astype(np.float32) / 255)
        lay(image, hole, int(draw.rng.integers(0, width)) - size // 2, int(draw.rng.integers(0, height)) - size // 2)
    return image
