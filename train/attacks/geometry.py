"""Attacks that move pixels: scale, rotation, perspective, crops, mirrors, padding."""

import cv2
import numpy as np

from .draw import Draw, Pixels


def scale(image: Pixels, draw: Draw) -> Pixels:
    factor = 1.0 / draw.between(1.1, 4.0)
    height, width = (max(16, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def rotate(image: Pixels, draw: Draw) -> Pixels:
    """A quarter turn, or any angle with filled corners, mirrored corners, or corners cut off."""
    if draw.rng.random() < 0.3:
        return np.ascontiguousarray(np.rot90(image, draw.rng.integers(1, 4)))
    height, width = image.shape[:2]
    angle = draw.sign() * draw.between(3.0, 60.0)
    kind = draw.rng.integers(0, 3)
    zoom = 1.0
    if kind == 2:  # large enough that the corners of the result are picture
        turn = np.deg2rad(abs(angle))
        zoom = np.cos(turn) + np.sin(turn) * max(height / width, width / height)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, float(zoom))
    border = cv2.BORDER_REFLECT_101 if kind == 1 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (width, height), borderMode=border, borderValue=draw.colour())


def perspective(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    reach = draw.between(0.05, 0.3)
    inward = np.float32([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = corners + inward * draw.rng.uniform(0, reach, (4, 2)) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), borderValue=draw.colour())


def crop(image: Pixels, draw: Draw) -> Pixels:
    """A window of 80 % of the area, down to 10 % at full intensity, its sides' ratio changed by up to a third."""
    height, width = image.shape[:2]
    area, ratio = 1.0 - draw.between(0.2, 0.9), np.exp(draw.rng.uniform(-0.3, 0.3))
    h = int(np.clip(height * np.sqrt(area * ratio), min(16, height), height))
    w = int(np.clip(width * np.sqrt(area / ratio), min(16, width), width))
    y, x = draw.rng.integers(0, height - h + 1), draw.rng.integers(0, width - w + 1)
    return image[y : y + h, x : x + w].copy()


def horizontal_flip(image: Pixels, draw: Draw) -> Pixels:
    return np.ascontiguousarray(image[:, ::-1])


def vertical_flip(image: Pixels, draw: Draw) -> Pixels:
    return np.ascontiguousarray(image[::-1])


def pad(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    top, bottom, left, right = (round(side * draw.between(0.02, 0.4)) for side in (height, height, width, width))
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=draw.colour())


def pad_to_square(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    side = max(round(max(height, width) * draw.between(1.0, 1.3)), max(height, width) + (height == width))
    top, left = (side - height) // 2, (side - width) // 2
    sides = (top, side - height - top, left, side - width - left)
    return cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=draw.colour())
