"""Evidence for a pair: what was found, in original pixels, as one JSON object from which a picture can be drawn."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MatchError
from .features import LocalFeatures
from .keypoints import places
from .variants import Variant
from .verification import Verification

Point = tuple[float, float]
Size = tuple[int, int]

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_PRECISION = 2  # decimals of a pixel


@dataclass(frozen=True, slots=True)
class Evidence:
    """One pair. Places are (x, y) in pixels of the original pictures, the centre of the upper left pixel is (0, 0).

    query_size, reference_size: (width, height); (0, 0) where that of the reference is not known. view: the name of the view of
    the query that was matched; reference_view: that of the reference, the whole or a crop. variant: which edit was assumed, in
    lower case. query_points, reference_points: the agreeing matches, in the same order. inliers: how many of them count, those
    at different places. transform: rows of the affine map reference -> query, empty without one. query_region,
    reference_region: corners of what each picture shows of the other, empty where that is nothing.
    scores: figures by name, such as "global", "correlation" and "probability".
    query_image, reference_image: small JPEGs in base64, or empty; only for drawing.
    """

    query_id: str
    reference_id: str
    query_size: Size
    reference_size: Size
    view: str = "whole"
    reference_view: str = "whole"
    variant: str = "as_is"
    inliers: int = 0
    query_points: tuple[Point, ...] = ()
    reference_points: tuple[Point, ...] = ()
    transform: tuple[tuple[float, float, float], ...] = ()
    query_region: tuple[Point, ...] = ()
    reference_region: tuple[Point, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    query_image: str = ""
    reference_image: str = ""

    def to_json(self) -> str:
        """One line of JSON; NaN and infinite numbers raise ValueError."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """The inverse of ``to_json``. Unknown names are refused, so that nothing of a newer version is lost unseen.

        Raises: MatchError.
        """
        try:
            table = json.loads(text)
            unknown = set(table) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown names: {', '.join(sorted(unknown))}")
            return _checked(table)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MatchError(f"not an evidence object: {error}") from None


def make_evidence(
    ids: tuple[str, str],
    features: tuple[LocalFeatures, LocalFeatures],
    found: Verification,
    *,
    scores: Mapping[str, float],
    view: str = "whole",
    reference_view: str = "whole",
    view_map: NDArray[np.float64] = IDENTITY,
    view_size: Size | None = None,
    images: tuple[str, str] = ("", ""),
) -> Evidence:
    """The evidence of a pair (query, reference).

    view_map: float64 [2, 3], pixels of the view that was matched -> pixels of the query; view_size: the query's own (width,
    height), when the view's is another one.
    """
    query, reference = features
    size = view_size or (query.frame.original_width, query.frame.original_height)
    reference_size = (reference.frame.original_width, reference.frame.original_height)
    points = query.frame.to_original(places(query.keypoints[found.query_rows]))
    targets = reference.frame.to_original(places(reference.keypoints[found.reference_rows]))
    transform = _compose(view_map, _in_originals(found.affine, query, reference)) if found.inliers else None
    return Evidence(
        *ids,
        size,
        reference_size,
        view=view,
        reference_view=reference_view,
        variant=found.variant.name.lower(),
        inliers=found.inliers,
        query_points=_rounded(_mapped(view_map, points)),
        reference_points=_rounded(targets),
        transform=() if transform is None else tuple((float(a), float(b), float(c)) for a, b, c in transform),
        query_region=() if transform is None else _region(transform, reference_size, size),
        reference_region=() if transform is None else _region(_inverse(transform), size, reference_size),
        scores={name: float(value) for name, value in scores.items()},
        query_image=images[0],
        reference_image=images[1],
    )


def _in_originals(affine: NDArray[np.float64], query: LocalFeatures, reference: LocalFeatures) -> NDArray[np.float64]:
    """A map [2, 3] between the small pictures as one between the originals."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    small = (corners + 0.5) / reference.frame.scale - 0.5
    origin, across, down = query.frame.to_original(_mapped(affine, small))
    return np.stack([across - origin, down - origin, origin], axis=1)


def _mapped(affine: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points @ affine[:, :2].T + affine[:, 2])


def _compose(after: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((np.vstack([after, [0, 0, 1]]) @ np.vstack([first, [0, 0, 1]]))[:2])


def _inverse(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(np.vstack([affine, [0, 0, 1]]))[:2])


def _region(affine: NDArray[np.float64], size: Size, into: Size) -> tuple[Point, ...]:
    """Corners of a picture of ``size``, mapped into one of size ``into`` and cut at its borders."""
    right, bottom = size[0] - 0.5, size[1] - 0.5
    corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
    polygon = [(float(x), float(y)) for x, y in _mapped(affine, corners)]
    for axis, limit, sign in ((0, -0.5, 1), (0, into[0] - 0.5, -1), (1, -0.5, 1), (1, into[1] - 0.5, -1)):
        polygon = _cut(polygon, axis, limit, sign)
    return _rounded(polygon)


def _cut(polygon: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """The part of a convex polygon where sign * (coordinate - limit) >= 0 (Sutherland and Hodgman, 1974)."""
    kept: list[Point] = []
    for before, point in zip(polygon[-1:] + polygon[:-1], polygon, strict=True):
        a, b = sign * (before[axis] - limit), sign * (point[axis] - limit)
        if (a < 0) != (b < 0):
            share = a / (a - b)
            kept.append((before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])))
        if b >= 0:
            kept.append(point)
    return kept


def _rounded(points: Any) -> tuple[Point, ...]:
    return tuple((round(float(x), _PRECISION), round(float(y), _PRECISION)) for x, y in points)


def _checked(table: dict[str, Any]) -> Evidence:
    """A table from elsewhere as Evidence, every field of its type. Raises ValueError, TypeError and KeyError."""
    for name in ("query_id", "reference_id", "view", "reference_view", "variant", "query_image", "reference_image"):
        if not isinstance(table.get(name, ""), str):
            raise ValueError(f"{name} must be text")
    if table.get("variant", "as_is").upper() not in Variant.__members__:
        raise ValueError(f"variant is '{table['variant']}'")
    sizes = {name: tuple(int(side) for side in table[name]) for name in ("query_size", "reference_size")}
    unknown = sizes["reference_size"] == (0, 0)
    if any(len(size) != 2 or min(size) < 1 for name, size in sizes.items() if name == "query_size" or not unknown):
        raise ValueError("sizes must be two whole numbers above 0")
    names = ("query_points", "reference_points", "query_region", "reference_region")
    points = {name: tuple((float(x), float(y)) for x, y in table.get(name, ())) for name in names}
    if len(points["query_points"]) != len(points["reference_points"]):
        raise ValueError("there must be as many points in both pictures")
    transform = tuple((float(a), float(b), float(c)) for a, b, c in table.get("transform", ()))
    scores = {str(name): float(value) for name, value in table.get("scores", {}).items()}
    numbers = [v for group in (*points.values(), transform) for row in group for v in row] + list(scores.values())
    if not all(math.isfinite(number) for number in numbers) or len(transform) not in (0, 2):
        raise ValueError("numbers must be finite, a transform has two rows")
    inliers = int(table.get("inliers", 0))
    return Evidence(**{**table, **sizes, **points, "transform": transform, "scores": scores, "inliers": inliers})
