"""Odd edits that put the picture into a scene: on a wall, folded, on film, in a newspaper, on a cup, on water."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .edit import Chance, Edit, Pixels
from .odd_warps import grid, moved


def _texture(height: int, width: int, chance: Chance) -> Pixels:
    """Plaster, concrete or wood of some colour: noise of three scales."""
    stretch = chance.one_of((1, 1, 8))
    noise = np.zeros((height, width), np.float32)
    for cells, depth in ((4, 18), (24, 10), (120, 7)):
        coarse = chance.rng.normal(0, depth, (cells * stretch, cells)).astype(np.float32)
        noise += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.array(chance.rng.integers(70, 220, 3)) + noise[..., None], 0, 255).astype(np.uint8)


def _placed(pixels: Pixels, scene: Pixels, corners) -> Pixels:
    """The picture with its corners (clockwise from the upper left, x and y) put there in the scene."""
    height, width = pixels.shape[:2]
    own = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(own, np.asarray(corners, np.float32))
    size = scene.shape[1::-1]
    laid = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, size)[..., None] / 255
    return (scene * (1 - mask) + laid * mask).astype(np.uint8)


def poster_on_a_wall(pixels: Pixels, chance: Chance) -> Pixels:
    """Seen from the side, with the wall around it and light from above."""
    height, width = pixels.shape[:2]
    scene = _texture(round(1.5 * height), round(1.5 * width), chance)
    corners = np.array([[0.25, 0.25], [1.25, 0.25], [1.25, 1.25], [0.25, 1.25]])
    corners += chance.rng.uniform(-0.18, 0.18, (4, 2))
    lit = _placed(pixels, scene, corners * (width, height)) * np.linspace(1.15, 0.7, len(scene))[:, None, None]
    return np.clip(lit, 0, 255).astype(np.uint8)


def folded_poster(pixels: Pixels, chance: Chance) -> Pixels:
    """Opened out after it was folded twice or more each way: panels of other light, white creases."""
    folded = pixels.astype(np.float32)
    for axis in (0, 1):
        panels = np.array_split(np.arange(pixels.shape[axis]), chance.whole(2, 4))
        light = np.concatenate([np.linspace(1, chance.between(0.65, 1.25), len(panel)) for panel in panels])
        folded = folded * (light[:, None, None] if axis == 0 else light[None, :, None])
        for panel in panels[1:]:
            crease = (
                (slice(panel[0] - 1, panel[0] + 1),) if axis == 0 else (slice(None), slice(panel[0] - 1, panel[0] + 1))
            )
            folded[crease] = 0.3 * folded[crease] + 0.7 * 240
    return np.clip(folded, 0, 255).astype(np.uint8)


def film_strip(pixels: Pixels, chance: Chance) -> Pixels:
    """Between two other frames, black film with holes around them."""
    height, width = pixels.shape[:2]
    border, gap = round(0.2 * height), round(0.06 * width)
    frames = [cv2.resize(chance.other(), (width, height), interpolation=cv2.INTER_AREA) for _ in range(2)]
    black = np.full((height, gap, 3), 15, np.uint8)
    strip = np.concatenate([frames[0][:, width // 2 :], black, pixels, black, frames[1][:, : width // 2]], axis=1)
    strip = np.pad(strip, ((border, border), (0, 0), (0, 0)), constant_values=15)
    for x in range(border // 2, strip.shape[1], border):
        for y in (border // 4, len(strip) - 3 * border // 4):
            cv2.rectangle(strip, (x, y), (x + border // 2, y + border // 2), (235, 235, 225), -1)
    return strip


def newspaper(pixels: Pixels, chance: Chance) -> Pixels:
    """Grey and grainy on a page, with a headline above and columns of text below and beside."""
    height, width = pixels.shape[:2]
    page = Image.new("RGB", (round(1.5 * width), round(1.7 * height)), (226, 221, 206))
    draw, size = ImageDraw.Draw(page), max(7, height // 24)
    draw.text((size, 0), "THE DAILY LEDGER", fill=(25, 25, 25), font=ImageFont.load_default(max(10, height // 7)))
    for y in range(height // 5, page.height, round(1.3 * size)):
        words = "".join(chance.one_of("etaoinshrdlu   ") for _ in range(140))
        draw.text((size // 2, y), words, fill=(45, 45, 45), font=ImageFont.load_default(size))
    grain = chance.rng.normal(0, 14, (height, width, 1))
    photo = np.clip(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None] * 0.75 + 35 + grain, 0, 255)
    page.paste(Image.fromarray(np.repeat(photo, 3, 2).astype(np.uint8)), (size, height // 4))
    return np.array(page)


def on_a_cup(pixels: Pixels, chance: Chance) -> Pixels:
    """Wrapped around a cylinder that is lit from one side, before a wall."""
    height, width = pixels.shape[:2]
    x, y = grid(pixels)
    across = np.clip(2 * x / (width - 1) - 1, -1, 1)
    round_x = (np.arcsin(across * 0.98) / np.arcsin(0.98) + 1) / 2 * (width - 1)
    sag = height * chance.between(0.05, 0.12) * (np.sqrt(1 - (0.98 * across) ** 2) - 1)
    light = np.cos((across - chance.between(-0.5, 0.5)) * 1.1)
    cup = np.clip(moved(pixels, round_x, y + sag) * light[..., None] * 1.1, 0, 255).astype(np.uint8)
    scene = _texture(round(1.3 * height), round(1.4 * width), chance)
    top, left = len(scene) - height, round(0.2 * width)
    scene[top:, left : left + width] = cup
    return scene


def reflected_in_water(pixels: Pixels, chance: Chance) -> Pixels:
    """The picture, and below it its wavy, darker mirror image."""
    x, y = grid(pixels)
    waves = 0.015 * pixels.shape[1] * np.sin(2 * np.pi * (y / len(pixels)) ** 0.6 * chance.between(8, 14))
    mirrored = moved(np.ascontiguousarray(pixels[::-1]), x + waves, y)
    tint = np.array([0.55, 0.7, 0.85])
    return np.concatenate([pixels, (mirrored * tint).astype(np.uint8)[: round(0.7 * len(pixels))]])


def jigsaw(pixels: Pixels, chance: Chance) -> Pixels:
    """Cut into pieces with knobs; a few are missing."""
    made, (height, width) = pixels.copy(), pixels.shape[:2]
    piece = min(height, width) / chance.between(4, 6)
    table, rows, columns = chance.colour(), int(height / piece) + 1, int(width / piece) + 1
    for row, column in np.ndindex(rows, columns):
        x, y = round(column * piece), round(row * piece)
        if chance.rng.random() < 0.08:
            cv2.rectangle(made, (x, y), (round(x + piece), round(y + piece)), table, -1)
        for centre in ((x, round(y + piece / 2)), (round(x + piece / 2), y)):
            cv2.circle(made, centre, round(piece / 7), (30, 30, 30), 1, cv2.LINE_AA)
        cv2.rectangle(made, (x, y), (round(x + piece), round(y + piece)), (30, 30, 30), 1)
    return made


def postage_stamp(pixels: Pixels, chance: Chance) -> Pixels:
    """A white perforated rim, a value, and a postmark across one corner."""
    border = max(6, round(min(pixels.shape[:2]) * 0.09))
    stamp = np.pad(pixels, ((border, border), (border, border), (0, 0)), constant_values=248)
    height, width = stamp.shape[:2]
    for x in range(0, width, border):
        for y in (0, height):
            cv2.circle(stamp, (x, y), border // 3, (90, 110, 90), -1, cv2.LINE_AA)
    for y in range(0, height, border):
        for x in (0, width):
            cv2.circle(stamp, (x, y), border // 3, (90, 110, 90), -1, cv2.LINE_AA)
    cv2.putText(
        stamp, str(chance.whole(5, 95)), (2 * border, 3 * border), 0, border / 14, chance.colour(), 2, cv2.LINE_AA
    )
    centre = (round(width * chance.between(0.6, 0.9)), round(height * chance.between(0.6, 0.9)))
    for radius in (0.2, 0.26):
        cv2.circle(stamp, centre, round(radius * width), (30, 30, 40), 2, cv2.LINE_AA)
    for line in range(5):
        y = centre[1] + (line - 2) * border // 2
        cv2.line(stamp, (centre[0] - width // 2, y), (centre[0] - width // 5, y), (30, 30, 40), 2, cv2.LINE_AA)
    return stamp


EDITS: dict[str, Edit] = {
    "poster-on-a-wall": poster_on_a_wall,
    "folded-poster": folded_poster,
    "film-strip": film_strip,
    "newspaper": newspaper,
    "on-a-cup": on_a_cup,
    "reflected-in-water": reflected_in_water,
    "jigsaw": jigsaw,
    "postage-stamp": postage_stamp,
}
