"""A trained detector from its maps to the views of a query, and its place in a bundle; the networks here are constants."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Bundle, BundleError, Engine, MatchError
from copytrace.engine.match.detector import VALUES, DetectorRules, grid_of, read_regions
from copytrace.engine.match.regions import Box, Region, find_regions
from copytrace.engine.matching import Matcher
from copytrace.engine.region_finders import BothFinders, region_finder
from copytrace.export.bundle import NetworkParts, parts_of, write_bundle

from bundle_files import change, small_bundle, write_constant_network, write_network
from conftest import PHOTOS

GRID = 8
NOTHING = np.concatenate([np.full(GRID * GRID, -9.0), np.full(4 * GRID * GRID, 0.2)]).astype(np.float32)
Boxes = dict[tuple[float, float, float, float], float]
IMAGES = [path.read_bytes() for path in sorted((PHOTOS / "queries").glob("*.jpg"))[:4]]


def maps_with(boxes: Boxes) -> NDArray[np.float32]:
    """Maps that say exactly these boxes (shares of the sides) with these log odds, in the cells of their centres."""
    maps = NOTHING.reshape(VALUES, GRID, GRID).copy()
    for (left, top, right, bottom), odds in boxes.items():
        column, row = int((left + right) / 2 * GRID), int((top + bottom) / 2 * GRID)
        x, y = (column + 0.5) / GRID, (row + 0.5) / GRID
        maps[:, row, column] = odds, x - left, y - top, right - x, bottom - y
    return maps.reshape(-1)


def test_maps_are_read_as_boxes_in_order_of_their_probability() -> None:
    maps = maps_with({(0.1, 0.2, 0.4, 0.6): 1.0, (0.5, 0.5, 0.9, 0.95): 3.0, (0.6, 0.05, 0.9, 0.35): -0.1})
    found = read_regions(maps, (1000, 500))
    assert [region.box for region in found] == [Box(500, 250, 900, 475), Box(100, 100, 400, 300)]
    assert [region.strength for region in found] == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
    assert read_regions(maps, (1000, 500), 1) == found[:1] and read_regions(maps, (1000, 500), 0) == []
    bold = read_regions(maps, (1000, 500), rules=DetectorRules(confidence=0.4))
    assert [region.box for region in bold[2:]] == [Box(600, 25, 900, 175)]
    assert read_regions(NOTHING, (1000, 500)) == []


def test_only_the_highest_of_neighbouring_cells_counts_and_nested_boxes_are_one() -> None:
    maps = maps_with({(0.2, 0.2, 0.6, 0.6): 2.0, (0.2, 0.2, 0.8, 0.6): 1.5})
    assert [r.box for r in read_regions(maps, (100, 100))] == [Box(20, 20, 60, 60)]
    apart = maps_with({(0.1, 0.1, 0.9, 0.9): 2.0, (0.12, 0.12, 0.4, 0.4): 3.0})
    assert [r.box for r in read_regions(apart, (100, 100))] == [Box(12, 12, 40, 40)]


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0.0, 0.0, 0.95, 0.95), (100, 100)),  # nearly all of the picture
        ((0.1, 0.4, 0.9, 0.5), (100, 100)),  # eight times as wide as high
        ((0.1, 0.1, 0.5, 0.5), (1000, 200)),  # five times, on a wide picture
        ((0.4, 0.4, 0.45, 0.45), (100, 100)),  # tiny
        ((0.6, 0.6, 0.4, 0.4), (100, 100)),  # inside out
    ],
)
def test_boxes_that_no_pasted_photograph_has_are_none(box: tuple[float, ...], size: tuple[int, int]) -> None:
    assert read_regions(maps_with({box: 5.0}), size) == []  # type: ignore[dict-item]


def test_boxes_end_at_the_picture_and_what_is_not_finite_is_no_box() -> None:
    maps = maps_with({(-0.4, 0.3, 0.5, 0.8): 4.0})
    assert [r.box for r in read_regions(maps, (10, 10))] == [Box(0, 3, 5, 8)]
    for value in (np.nan, np.inf, -np.inf):
        broken = maps_with({(0.1, 0.2, 0.4, 0.6): 1.0, (0.5, 0.5, 0.9, 0.95): 3.0})
        broken[GRID * GRID + np.flatnonzero(broken[: GRID * GRID] == 3.0)[0]] = value
        assert [r.box for r in read_regions(broken, (100, 100))] == [Box(10, 20, 40, 60)]
    assert read_regions(np.full(VALUES * 4, np.nan, np.float32), (10, 10)) == []


def test_the_largest_grid_that_fits_is_found_or_refused() -> None:
    assert [grid_of(VALUES * g * g) for g in (1, 8, 24)] == [1, 8, 24]
    for values in (0, 4, 6, 10, 320 + 5, 256):
        with pytest.raises(ValueError, match="square maps"):
            grid_of(values)


def test_both_finders_put_the_second_ones_elsewhere_behind() -> None:
    first, near, other = (
        Region(Box(*b), s) for b, s in (((0, 0, 40, 40), 0.6), ((1, 1, 41, 41), 1.4), ((50, 50, 90, 90), 1.2))
    )
    asked = []

    def second(pixels: NDArray[np.uint8], most: int) -> list[Region]:
        asked.append(most)
        return [near, other]

    both = BothFinders(lambda pixels, most: [first], second)
    pixels = np.zeros((100, 100, 3), np.uint8)
    assert both(pixels, 3) == [first, other]
    assert both(pixels, 1) == [first] and asked == [3]  # the second one is not asked for nothing


def test_only_sure_rectangles_stand_beside_the_first_region() -> None:
    weak, sure, weaker, found = (
        Region(Box(*b), s)
        for b, s in (((0, 0, 40, 40), 1.1), ((50, 50, 90, 90), 1.3), ((0, 50, 40, 90), 1.19), ((50, 0, 90, 40), 0.6))
    )
    pixels = np.zeros((100, 100, 3), np.uint8)

    def rectangles(pixels: NDArray[np.uint8], most: int) -> list[Region]:
        return [weak, sure, weaker]

    assert BothFinders(lambda pixels, most: [], rectangles)(pixels, 3) == [weak, sure]
    assert BothFinders(lambda pixels, most: [found], rectangles)(pixels, 3) == [found, sure]
    assert BothFinders(lambda pixels, most: [], lambda pixels, most: [])(pixels, 3) == []


def with_detector(bundle: Path, maps: NDArray[np.float32], name: str = "detector") -> Path:
    """The bundle, with a detector that sees the same in every picture."""
    parts = parts_of(Bundle(bundle))
    file = write_constant_network(bundle.parent / f"{name}.onnx", 8 * GRID, maps)
    parts.networks = [*parts.networks, NetworkParts(name, 8 * GRID, 1, {"int8": file}, "detector")]
    write_bundle(parts, bundle)
    return bundle


def test_a_detector_in_a_bundle_leaves_its_descriptors_what_they_are(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "small")
    (bundle / "constants.npz").write_bytes(b"of somebody else")
    before, rows = Bundle(bundle), Engine(bundle).embed(IMAGES, role="query")
    assert before.manifest.detector is None and before.detector("int8") is None
    after = Bundle(with_detector(bundle, NOTHING))
    assert (after.space, after.recipe, after.precisions) == (before.space, before.recipe, before.precisions)
    assert (Engine(bundle).embed(IMAGES, role="query") == rows).all()
    assert [network.role for network in after.manifest.networks] == ["descriptor", "detector"]
    assert [len(after.networks(p)) for p in after.precisions] == [1, 1]
    for precision in after.precisions:  # it has int8 alone, and serves both
        file = after.detector(precision)
        assert file is not None and (file.path.name, file.precision) == ("detector.int8.onnx", "int8")
    assert (bundle / "constants.npz").read_bytes() == b"of somebody else"
    (bundle / "detector.int8.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match="changed since"):
        Bundle(bundle)


def test_bundles_with_a_wrong_detector_are_refused(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "small")
    with pytest.raises(BundleError, match="more than one of the networks is a detector"):
        with_detector(with_detector(bundle, NOTHING), NOTHING, "second")
    alone = small_bundle(tmp_path / "alone")
    change(alone, lambda manifest: manifest["networks"][0].update(role="detector"))
    with pytest.raises(BundleError, match="none of the networks is a descriptor"):
        Bundle(alone)
    no_maps = small_bundle(tmp_path / "no-maps")
    parts = parts_of(Bundle(no_maps))
    file = write_network(tmp_path / "means.onnx", 32, 12)
    parts.networks = [*parts.networks, NetworkParts("detector", 32, 1, {"float32": file}, "detector")]
    write_bundle(parts, no_maps)
    with pytest.raises(BundleError, match="5 square maps, and 12 values are none"):
        region_finder("trained", Bundle(no_maps), "int8")


def test_the_finder_makes_the_views_of_a_query(tmp_path: Path) -> None:
    maps = maps_with({(0.1, 0.2, 0.4, 0.6): 1.0, (0.5, 0.5, 0.9, 0.95): 3.0})
    engine = Engine(with_detector(small_bundle(tmp_path / "small"), maps))
    query = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    query[:90, :80] = 255
    bundle = engine.embedder.bundle
    trained, both = (region_finder(name, bundle, "int8") for name in ("trained", "both"))
    assert [r.box for r in trained(query, 3)] == [Box(150, 100, 270, 190), Box(30, 40, 120, 120)]
    assert [r.box for r in both(query, 2)] == [r.box for r in trained(query, 2)]
    assert region_finder("classical", bundle, "int8") is find_regions
    by_default = region_finder(None, bundle, "int8")
    assert by_default(query, 3) == both(query, 3) and by_default(query, 3)[:2] == trained(query, 3)
    assert region_finder(None, Bundle(small_bundle(tmp_path / "without")), "int8") is find_regions
    references = tmp_path / "references"
    references.mkdir()
    (references / "a.jpg").write_bytes(IMAGES[0])
    matcher = Matcher(references, "views", engine=engine, finder="trained", turns=False)
    (_, looks), *_ = matcher.looks(_pictures(matcher, query))
    assert [look.reference for look in looks] == [0]
    with pytest.raises(ValueError, match="must be one of classical, trained, both, not 'best'"):
        Matcher(references, engine=engine, finder="best")  # type: ignore[arg-type]


def _pictures(matcher: Matcher, query: NDArray[np.uint8]):
    from copytrace.engine.memory import as_images
    from copytrace.engine.pictures import Picture, picture_stream

    for picture in picture_stream(matcher.engine.embedder, as_images([query]), matcher._looks):
        assert isinstance(picture, Picture)
        assert [view.box for view in picture.views[1:]] == [Box(150, 100, 270, 190), Box(30, 40, 120, 120)]
        assert len(picture.descriptors) == 3
        yield picture


def test_without_a_detector_trained_regions_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "small")
    with pytest.raises(MatchError, match="has no detector, which trained regions need"):
        Matcher(PHOTOS / "references", engine=Engine(bundle), finder="trained")
    command = [sys.executable, "-c", "from copytrace.engine.cli import main; main()", "match"]
    options = ["-o", str(tmp_path / "m.csv"), "--bundle", str(bundle), "--regions", "both"]
    places = [str(PHOTOS / "queries"), str(PHOTOS / "references")]
    run = subprocess.run([*command, *places, *options], capture_output=True, text=True)
    assert run.returncode == 1 and not (tmp_path / "m.csv").exists()
    said = f"error: {bundle}: has no detector, which both regions need; use classical ones"
    assert run.stderr.strip().replace("\n", "") == said
