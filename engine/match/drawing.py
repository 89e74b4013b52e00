"""A picture of evidence, as SVG, from the evidence object alone."""

import base64
import binascii
from html import escape

import cv2

from .evidence import Evidence, Point, Size
from .grey import Grey

_SIDE = 420  # pixels of a picture's longer side
_GAP = 24
_TITLE = 44
_QUERY, _REFERENCE, _LINE = "#c8553d", "#2a7f62", "#1f3a5f"


def embed_jpeg(pixels: Grey, quality: int = 80) -> str:
    """A small picture uint8, grey [h, w] or RGB [h, w, 3], as the base64 JPEG that ``Evidence`` holds."""
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return base64.b64encode(data.tobytes()).decode("ascii")


def svg(evidence: Evidence) -> str:
    """Query left, reference right, with the region that each shows of the other, and a line for every agreeing match."""
    left, right = _Placed(evidence.query_size, _GAP), _Placed(evidence.reference_size, 2 * _GAP + _SIDE)
    height = _TITLE + round(max(left.height, right.height)) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{3 * _GAP + 2 * _SIDE}" height="{height}" '
        f'viewBox="0 0 {3 * _GAP + 2 * _SIDE} {height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_GAP}" y="18">{escape(_title(evidence))}</text>',
        f'<text x="{_GAP}" y="36" fill="#555">{escape(_figures(evidence))}</text>',
        left.picture(evidence.query_image),
        right.picture(evidence.reference_image),
        left.polygon(evidence.query_region, _QUERY),
        right.polygon(evidence.reference_region, _REFERENCE),
    ]
    for point, target in zip(evidence.query_points, evidence.reference_points, strict=True):
        (x, y), (u, v) = left.at(point), right.at(target)
        parts.append(f'<path d="M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" stroke="{_LINE}" stroke-opacity="0.25"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_QUERY}"/>')
        parts.append(f'<circle cx="{u:.1f}" cy="{v:.1f}" r="2.5" fill="{_REFERENCE}"/>')
    return "\n".join([*(part for part in parts if part), "</svg>\n"])


def _title(evidence: Evidence) -> str:
    variant = evidence.variant.replace("_", " ")
    return f"{evidence.query_id} ({evidence.view}, {variant})  ↔  {evidence.reference_id}"


def _figures(evidence: Evidence) -> str:
    figures = [f"{evidence.inliers} matches", *(f"{name} {value:.3f}" for name, value in evidence.scores.items())]
    return ", ".join(figures)


class _Placed:
    """Where a picture of a size lies on the sheet."""

    def __init__(self, size: Size, left: int) -> None:
        self.left = left
        size = size if any(size) else (_SIDE, _SIDE)  # not known: a square stands for it
        self.scale = _SIDE / max(size)
        self.width, self.height = (side * self.scale for side in size)

    def at(self, point: Point) -> Point:
        return self.left + (point[0] + 0.5) * self.scale, _TITLE + (point[1] + 0.5) * self.scale

    def picture(self, image: str) -> str:
        place = f'x="{self.left}" y="{_TITLE}" width="{self.width:.1f}" height="{self.height:.1f}"'
        background = f'<rect {place} fill="#e8e8e8"/>'
        if not _is_base64(image):
            return background
        return f'{background}<image {place} preserveAspectRatio="none" href="data:image/jpeg;base64,{image}"/>'

    def polygon(self, points: tuple[Point, ...], colour: str) -> str:
        if not points:
            return ""
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.at, points))
        return f'<polygon points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
