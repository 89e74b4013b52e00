"""Scenes: pictures in which photographs were pasted, with where they are, or photographs in which none was."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.regions import Box
from copytrace.engine.read import stretch

from ..attacks import Draw, Pixels, frame, screens, wide
from ..attacks.paste import collage_and_cells, ground, lay_photograph
from ..data.photographs import Photographs
from ..data.views import QUALITIES

MOST_BOXES = 9
LEAST_AREA, LARGEST_AREA = 0.015, 0.9  # of the picture; what is smaller or larger is no region
PHOTOGRAPH_SIDE = 1.25  # longer side of the photographs that go into a scene, in sides of the scene
MARKED_SHARE, EDITED_SHARE, SAVED_SHARE = 0.5, 0.35, 0.8

_FRAMES = (
    frame.meme_format,
    frame.overlay_onto_screenshot,
    screens.browser,
    screens.phone,
    screens.chat,
    screens.photographed_screen,
    screens.printed,
)
_DISTRACTIONS = (
    "lettering",
    "caption",
    "emoji",
    "overlay-emoji",
    "overlay-text",
    "logo",
    "watermark",
    "lines",
    "shapes",
)
_EDITS = ("colour", "quality", "light", "filter")
_LAID, _FRAME_DIFFERENCE = 0.4, 64


@dataclass(frozen=True, eq=False)
class Scene:
    """pixels: uint8 RGB [S, S, 3], a picture of any shape stretched. boxes: float32 [K, 4], left, top, right, bottom as shares
    of the sides."""

    pixels: Pixels
    boxes: NDArray[np.float32]


def make_scene(photographs: Photographs, rng: np.random.Generator, size: int, kind: str | None = None) -> Scene:
    """One photograph pasted, several of them, a collage, a picture in a frame, or a photograph as it is; then, often, text,
    emoji and shapes over it all, other edits and a JPEG. kind: one of ``KINDS``; None draws one."""

    def other() -> Pixels:
        return _reduced(photographs.load_once(int(rng.integers(len(photographs))))[1], size)

    draw = Draw(rng, float(rng.uniform(0.2, 1.0)), other)
    if kind is None:
        kind = list(KINDS)[int(rng.choice(len(KINDS), p=[share for _, share in KINDS.values()]))]
    picture, boxes = KINDS[kind][0](draw.other(), draw)
    if rng.random() < MARKED_SHARE:
        for name in rng.choice(_DISTRACTIONS, int(rng.integers(1, 3)), replace=False):
            picture = wide.ATTACKS[name](picture, draw)
    if rng.random() < EDITED_SHARE:
        picture, _ = wide.attack_class(picture, draw, str(rng.choice(_EDITS)))
    if rng.random() < SAVED_SHARE:
        picture = _through_jpeg(picture, int(rng.integers(*QUALITIES)))
    height, width = picture.shape[:2]
    shares = np.array([box for box in boxes if box.right > box.left and box.bottom > box.top], np.float32).reshape(
        -1, 4
    )
    shares /= np.float32([width, height, width, height])
    areas = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
    return Scene(stretch(picture, size), shares[(areas >= LEAST_AREA) & (areas <= LARGEST_AREA)][:MOST_BOXES])


def _one(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    return _pasted(image, draw, 1)


def _several(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    return _pasted(image, draw, int(draw.rng.integers(2, 5)))


def _pasted(image: Pixels, draw: Draw, count: int) -> tuple[Pixels, list[Box]]:
    """Photographs laid on a ground. Those that hide too much of one before are taken back."""
    longest = max(image.shape[:2])
    canvas = ground(draw, *(max(32, round(longest * share)) for share in draw.rng.uniform(0.6, 1.0, 2)))
    boxes: list[Box] = []
    for number in range(count):
        before = canvas.copy()
        box = lay_photograph(canvas, image if number == 0 else draw.other(), draw)
        if all(box.overlap(known) <= 0.15 * min(known.area, box.area) for known in boxes):
            boxes.append(box)
        else:
            canvas = before
    return canvas, boxes


def _hard_edged(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    """The plainest paste: upright, opaque, on a whole other photograph, or beside the photograph's own middle."""
    canvas = draw.other().copy()
    height, width = canvas.shape[:2]
    w, h = (max(8, round(side * draw.rng.uniform(0.2, 0.85))) for side in (width, height))
    y, x = int(draw.rng.integers(0, height - h + 1)), int(draw.rng.integers(0, width - w + 1))
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas, [Box(x, y, x + w, y + h)]


def _framed(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    """In a meme, on a screen, printed. Where the picture is shows in what differs between a black and a white one there."""
    apply: Callable[[Pixels, Draw], Pixels] = _FRAMES[int(draw.rng.integers(len(_FRAMES)))]
    others: list[Pixels] = []

    def kept() -> Callable[[], Pixels]:
        given = iter(range(1 << 16))

        def other() -> Pixels:
            number = next(given)
            if number == len(others):
                others.append(draw.other())
            return others[number]

        return other

    seed = int(draw.rng.integers(1 << 62))
    made = [
        apply(pixels, Draw(np.random.default_rng(seed), draw.intensity, kept()))
        for pixels in (image, np.zeros_like(image), np.full_like(image, 255))
    ]
    differs = (cv2.absdiff(made[1], made[2]).max(axis=2) > _FRAME_DIFFERENCE).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(differs)
    return made[0], [Box(left, top, left + width, top + height)]


def _alone(image: Pixels, draw: Draw) -> tuple[Pixels, list[Box]]:
    return image, []


KINDS: dict[str, tuple[Callable[[Pixels, Draw], tuple[Pixels, list[Box]]], float]] = {
    "pasted": (_one, 0.3),
    "several pasted": (_several, 0.12),
    "upright, hard edges": (_hard_edged, 0.12),
    "collage": (collage_and_cells, 0.16),
    "framed": (_framed, 0.12),
    "nothing pasted": (_alone, 0.18),
}
"""Ways to make a scene, each with its share."""


def _reduced(pixels: Pixels, size: int) -> Pixels:
    factor = PHOTOGRAPH_SIDE * size / max(pixels.shape[:2])
    if factor >= 1.0:
        return pixels
    new = (max(8, round(side * factor)) for side in pixels.shape[1::-1])
    return cv2.resize(pixels, tuple(new), interpolation=cv2.INTER_AREA)


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
