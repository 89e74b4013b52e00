"""The look at aligned pixels: a copy shows the same pixels where the matches say, another shot of the same thing does not.

The reference is laid over the query by the fitted map, both at the coarser one's resolution and a little blurred. Around every
place where both have texture their local correlation is taken, without its sign, so that inverted grey levels count as well.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import MatchError
from .grey import Frame, Grey

THUMBNAIL_SIDE = 80
"""Short side of the grey picture of a reference that is enough to look at.

On 883 copies and 471 other pictures with a map, the log loss of a model of matches and correlation (0.135 without the latter)
was 0.088 at 150, 0.088 at 100, 0.089 at 80 and 0.092 at 64 pixels.
"""

_BLUR = 1.2  # pixels, standard deviation
_WINDOW = 15
_LEAST_INSIDE = 0.6  # share of a window that must lie in both pictures
_LEAST_VARIANCE = 9.0  # squared grey levels of texture, in both
_LEAST_PLACES = 50
_SMALLEST = 8  # pixels; shorter overlaps say nothing

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What the aligned pixels say.

    correlation: mean over all textured places of the local correlation's absolute value, 0 to 1; 0 where there are too few.
    textured: share of the overlap that has texture in both pictures.
    query_share, reference_share: share of each picture that lies under the other one.
    """

    correlation: float
    textured: float
    query_share: float
    reference_share: float


NOTHING = Alignment(0.0, 0.0, 0.0, 0.0)


def thumbnail(grey: Grey, side: int = THUMBNAIL_SIDE) -> Grey:
    """A small grey picture uint8 [h, w] reduced to a short side of at most ``side``."""
    factor = side / min(grey.shape)
    return grey if factor >= 1.0 else _reduced(grey, factor)


def to_jpeg(grey: Grey, quality: int = 85) -> bytes:
    """A grey picture uint8 [h, w] as the JPEG to store, some 3 KB at 80 pixels; it correlates as well as the pixels do."""
    return bytes(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def from_jpeg(data: bytes) -> Grey:
    """The inverse of ``to_jpeg``, up to what JPEG loses.

    Raises: MatchError for what is no JPEG.
    """
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if grey is None:
        raise MatchError("a reference's thumbnail is damaged")
    return np.asarray(grey, np.uint8)


def align(query: Grey, reference: Grey, affine: NDArray[np.float64], frame: Frame) -> Alignment:
    """Compare the pixels of a pair.

    query: its small grey picture, uint8 [h, w]. reference: uint8 [g, k], its small grey picture or a ``thumbnail`` of it.
    affine: float64 [2, 3], the reference's small picture -> the query's, as ``Verification`` has it. frame: that of the
    reference's small picture.
    """
    stretched = from_thumbnail(affine, reference.shape, frame)
    scale = math.sqrt(abs(float(np.linalg.det(stretched[:, :2]))))
    if not 1e-3 < scale < 1e3:
        return NOTHING
    query_factor, reference_factor = min(1.0, 1.0 / scale), min(1.0, scale)
    if min(*query.shape) * query_factor < _SMALLEST or min(*reference.shape) * reference_factor < _SMALLEST:
        return NOTHING
    left, right = _reduced(query, query_factor), _reduced(reference, reference_factor)
    map_ = between(stretched, query.shape, left.shape, reference.shape, right.shape)
    size = (left.shape[1], left.shape[0])
    over = _warped(_blurred(right), map_, size, cv2.INTER_LINEAR)
    inside = _warped(np.ones_like(right), map_, size, cv2.INTER_NEAREST)
    correlation, textured, whole = local_correlation(_blurred(left), over, inside)
    area = float(inside.sum())
    covered = area / (right.size * abs(float(np.linalg.det(map_[:, :2]))))
    count = int(textured.sum())
    mean = float(correlation[textured].mean(dtype=np.float64)) if count >= _LEAST_PLACES else 0.0
    return Alignment(mean, count / max(1, int(whole.sum())), area / inside.size, min(1.0, covered))


def local_correlation(a: Grey, b: Grey, inside: Grey) -> tuple[Float32, NDArray[np.bool_], NDArray[np.bool_]]:
    """Correlation of two pictures uint8 [h, w] in 15 x 15 windows, over the pixels where ``inside`` uint8 [h, w] is 1.

    Returns its absolute value float32 [h, w], and bool [h, w] twice: where both have texture, and where the window lies inside.
    """

    def total(values: Float32) -> Float32:
        return np.asarray(
            cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT)
        )

    mask = inside.astype(np.float32)
    x, y = (a.astype(np.float32) - 128.0) * mask, (b.astype(np.float32) - 128.0) * mask
    count = total(mask)
    n = np.maximum(count, 1.0)
    mean_x, mean_y = total(x) / n, total(y) / n
    xx, yy = total(x * x) / n - mean_x * mean_x, total(y * y) / n - mean_y * mean_y
    xy = total(x * y) / n - mean_x * mean_y
    whole = (inside > 0) & (count > _LEAST_INSIDE * _WINDOW * _WINDOW)
    textured = whole & (xx > _LEAST_VARIANCE) & (yy > _LEAST_VARIANCE)
    correlation = np.abs(xy) / np.sqrt(np.maximum(xx, 1.0) * np.maximum(yy, 1.0))
    return np.where(textured, np.minimum(correlation, 1.0), 0.0).astype(np.float32), textured, whole


def _blurred(grey: Grey) -> Grey:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR), np.uint8)


def _warped(grey: Grey, affine: NDArray[np.float64], size: tuple[int, int], method: int) -> Grey:
    """Laid out on ``size`` (width, height), 0 outside."""
    return np.asarray(cv2.warpAffine(grey, affine, size, flags=method), np.uint8)


def _reduced(grey: Grey, factor: float) -> Grey:
    if factor >= 1.0:
        return grey
    height, width = (max(1, round(side * factor)) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _resizing(before: tuple[int, ...], after: tuple[int, ...]) -> NDArray[np.float64]:
    """The map [3, 3] of places when a picture of shape (h, w) ``before`` is resized to ``after``; centres are whole numbers."""
    across, down = after[1] / before[1], after[0] / before[0]
    return np.array([[across, 0, 0.5 * across - 0.5], [0, down, 0.5 * down - 0.5], [0, 0, 1]])


def from_thumbnail(affine: NDArray[np.float64], shape: tuple[int, ...], frame: Frame) -> NDArray[np.float64]:
    """A map [2, 3] from the reference's small picture, for places in a smaller version of it of ``shape`` (h, w)."""
    return np.asarray(affine @ _resizing(shape, (frame.height, frame.width)))


def between(
    affine: NDArray[np.float64],
    query: tuple[int, ...],
    small_query: tuple[int, ...],
    reference: tuple[int, ...],
    small_reference: tuple[int, ...],
) -> NDArray[np.float64]:
    """The same map [2, 3] between resized versions of the two pictures; all shapes are (h, w)."""
    to_query = np.vstack([affine @ _resizing(small_reference, reference), [0, 0, 1]])
    return np.asarray((_resizing(query, small_query) @ to_query)[:2])
