"""Rectangles by long straight edges, and the views that are cut by them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine.match import regions
from copytrace.engine.match.regions import Box, RegionRules, find_regions
from copytrace.engine.match.views import TURNS, WHOLE_VIEW, View, query_views

from conftest import PHOTOS

Pixels = NDArray[np.uint8]


def photograph(number: int, size: tuple[int, int]) -> Pixels:
    """uint8 RGB, (width, height)."""
    path = sorted((PHOTOS / "references").glob("*.jpg"))[number]
    return cv2.resize(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), size, interpolation=cv2.INTER_AREA)


def pasted(number: int, box: Box, size: tuple[int, int] = (400, 300)) -> Pixels:
    picture = photograph(number, size).copy()
    picture[box.top : box.bottom, box.left : box.right] = photograph(
        number + 1, (box.right - box.left, box.bottom - box.top)
    )
    return picture


def agreement(a: Box, b: Box) -> float:
    return a.overlap(b) / (a.area + b.area - a.overlap(b))


def test_pasted_photographs_are_found() -> None:
    box = Box(130, 60, 320, 230)
    hits = [
        any(agreement(region.box, box) > 0.8 for region in find_regions(pasted(number, box)))
        for number in range(0, 60, 2)
    ]
    assert sum(hits) >= 24


def test_the_picture_may_be_large_and_the_box_at_its_border() -> None:
    box = Box(900, 700, 2400, 1800)
    found = find_regions(pasted(10, box, (2400, 2400)))
    assert max(agreement(region.box, box) for region in found) > 0.9


def test_regions_are_apart_in_order_inside_and_the_same_every_time() -> None:
    picture = pasted(10, Box(20, 20, 150, 140))
    found = find_regions(picture, 3)
    assert 1 <= len(found) <= 3 and find_regions(picture.copy(), 3) == found
    assert [r.strength for r in found] == sorted((r.strength for r in found), reverse=True)
    for i, (box, _) in enumerate(found):
        assert 0 <= box.left < box.right <= 400 and 0 <= box.top < box.bottom <= 300
        for other, _ in found[:i]:
            assert box.overlap(other) <= 0.8 * min(box.area, other.area)
    assert find_regions(picture, 1) == found[:1] and find_regions(picture, 0) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (23, 500, 3), (5000, 8, 3), (20, 20)])
def test_tiny_pictures_have_none(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert find_regions(noise) == []


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_has_none_that_is_strong(value: int) -> None:
    assert find_regions(np.full((300, 400, 3), value, np.uint8)) == []


def test_grey_and_colour_of_it_have_the_same() -> None:
    grey = cv2.cvtColor(pasted(6, Box(50, 50, 250, 250)), cv2.COLOR_RGB2GRAY)
    assert find_regions(grey) == find_regions(np.repeat(grey[:, :, None], 3, axis=2)) != []


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9, 4, 1), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_are_no_pixels_is_refused(pixels: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8"):
        find_regions(pixels)  # type: ignore[arg-type]


def longest_run(column: list[bool], gap: int) -> int:
    """By its definition: the longest piece that begins and ends with True and has no ``gap`` + 1 times False within."""
    best = 0
    for start in range(len(column)):
        for stop in range(start, len(column)):
            piece = column[start : stop + 1]
            text = "".join("1" if one else "0" for one in piece)
            if piece[0] and piece[-1] and "0" * (gap + 1) not in text:
                best = max(best, len(piece))
    return best


def test_longest_runs_are_those_of_the_definition() -> None:
    edges = np.random.default_rng(1).random((30, 40)) < np.linspace(0, 1, 40)
    expected = [longest_run(edges[:, i].tolist(), 3) for i in range(40)]
    assert regions._longest_runs(edges, 3).tolist() == expected


def test_stronger_rules_keep_fewer() -> None:
    picture = pasted(12, Box(100, 80, 300, 220))
    assert all(r.strength >= 0.9 for r in find_regions(picture, rules=RegionRules(strength=0.9)))
    assert find_regions(picture, rules=RegionRules(strength=2.0)) == []


def test_query_views_are_the_whole_three_turns_and_the_regions() -> None:
    picture = pasted(10, Box(130, 60, 320, 230))
    views = query_views(picture)
    assert views[0] == WHOLE_VIEW and tuple(views[1:4]) == TURNS
    assert [view.kind for view in views] == ["whole", *["turn"] * 3, *["region"] * (len(views) - 4)] and len(views) > 4
    assert query_views(picture, turns=False, regions=0) == [WHOLE_VIEW]
    box = views[4].box
    assert box is not None
    np.testing.assert_array_equal(views[4].cut(picture), picture[box.top : box.bottom, box.left : box.right])


def test_turns_are_quarter_turns() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    back = picture
    for _ in range(4):
        back = View("turned 90", None, 1).cut(back)
    np.testing.assert_array_equal(back, picture)
    np.testing.assert_array_equal(TURNS[1].cut(picture), picture[::-1, ::-1])
    assert TURNS[0].cut(picture).shape == (3, 2, 3) and TURNS[0].cut(picture).flags.c_contiguous
