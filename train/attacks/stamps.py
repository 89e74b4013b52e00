"""Small pictures with a mask, to lay over a photograph, and plain shapes for them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stamp:
    """colour: uint8 RGB [h, w, 3]; mask: float32 [h, w], 0 (see through) to 1."""

    colour: Pixels
    mask: NDArray[np.float32]

    def resized(self, width: int, height: int) -> "Stamp":
        size = max(1, width), max(1, height)
        way = cv2.INTER_AREA if width < self.mask.shape[1] else cv2.INTER_LINEAR
        return Stamp(cv2.resize(self.colour, size, interpolation=way), cv2.resize(self.mask, size, interpolation=way))

    def turned(self, angle: float) -> "Stamp":
        """Turned by ``angle`` degrees, made larger so that nothing is cut off."""
        height, width = self.mask.shape
        cosine, sine = abs(np.cos(np.deg2rad(angle))), abs(np.sin(np.deg2rad(angle)))
        w, h = int(width * cosine + height * sine) + 2, int(width * sine + height * cosine) + 2
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        matrix[:, 2] += (w - width) / 2, (h - height) / 2
        colour = cv2.warpAffine(self.colour, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
        return Stamp(colour, cv2.warpAffine(self.mask, matrix, (w, h)))


def two_colours(lines: NDArray[np.uint8], ink: Colour, ground: Colour) -> Pixels:
    """Lines, uint8 [h, w], in one colour on another: uint8 [h, w, 3]."""
    share = np.arange(256)[:, None] / 255
    table = share * np.array(ink) + (1 - share) * np.array(ground)
    return cv2.LUT(cv2.merge([lines] * 3), table.astype(np.uint8)[None])


def lay(image: Pixels, stamp: Stamp, x: int, y: int, opacity: float = 1.0) -> None:
    """Lay a stamp over the picture, in place, its upper left corner at (x, y); what reaches beyond is cut off."""
    height, width = stamp.mask.shape
    left, top, right, bottom = max(0, x), max(0, y), min(image.shape[1], x + width), min(image.shape[0], y + height)
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    inside = slice(top - y, bottom - y), slice(left - x, right - x)
    share = np.ascontiguousarray(stamp.mask[inside]) * np.float32(opacity)
    part[:] = cv2.blendLinear(np.ascontiguousarray(stamp.colour[inside]), np.ascontiguousarray(part), share, 1 - share)


def polygon(draw: Draw, size: int) -> NDArray[np.uint8]:
    """A filled shape: rounded square, disc, star or regular polygon, uint8 [size, size]."""
    mask = np.zeros((size, size), np.uint8)
    middle, radius = size // 2, max(1, size // 2 - 1)
    kind = int(draw.rng.integers(0, 4))
    if kind == 0:
        return rounded_rectangle(size, size, size // 4)
    if kind == 1:
        return cv2.circle(mask, (middle, middle), radius, 255, -1, cv2.LINE_AA)
    corners = int(draw.rng.integers(3, 9))
    angles = np.arange(2 * corners) * np.pi / corners + draw.rng.uniform(0, 2 * np.pi)
    reach = np.where(
        np.arange(2 * corners) % 2, draw.rng.uniform(0.35, 0.7) if kind == 3 else np.cos(np.pi / corners), 1.0
    )
    points = middle + radius * reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return cv2.fillPoly(mask, [points.round().astype(np.int32)], 255, cv2.LINE_AA)


def rounded_rectangle(width: int, height: int, radius: int) -> NDArray[np.uint8]:
    """Filled, uint8 [height, width]."""
    mask = np.zeros((height, width), np.uint8)
    radius = min(radius, width // 2, height // 2)
    cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 255, -1)
    cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 255, -1, cv2.LINE_AA)
    return mask
