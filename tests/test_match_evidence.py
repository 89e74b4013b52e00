"""Evidence: original pixels, JSON there and back, refusals, and the drawing."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from copytrace.engine import MatchError
from copytrace.engine.match.drawing import embed_jpeg, svg
from copytrace.engine.match.evidence import Evidence, make_evidence
from copytrace.engine.match.features import extract
from copytrace.engine.match.verification import NONE
from copytrace.engine.match.verify import verify

from conftest import PHOTOS


def photograph(number: int = 0) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(sorted((PHOTOS / "references").glob("*.jpg"))[number])), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def pasted() -> tuple[np.ndarray, np.ndarray]:
    """A mirrored photograph pasted, at its own size, at (300, 200) of a large picture; and the photograph, enlarged."""
    original = cv2.resize(photograph(), (400, 800), interpolation=cv2.INTER_CUBIC)
    canvas = np.full((1200, 1000, 3), 127, np.uint8)
    canvas[200:1000, 300:700] = original[:, ::-1]
    return canvas, original


@pytest.fixture(scope="module")
def evidence(pasted: tuple[np.ndarray, np.ndarray]) -> Evidence:
    query, reference = extract(pasted[0]), extract(pasted[1], 200)
    return make_evidence(
        ("Q 1 <&\"'é>", "R1"),
        (query, reference),
        verify(query, reference),
        scores={"global": np.float32(0.5), "probability": 0.99},
    )


def test_everything_is_in_original_pixels(evidence: Evidence) -> None:
    assert evidence.query_size == (1000, 1200) and evidence.reference_size == (400, 800)
    assert evidence.variant == "mirrored" and evidence.inliers >= 10
    assert len(evidence.query_points) == len(evidence.reference_points) >= evidence.inliers
    expected = np.array([[-1, 0, 699], [0, 1, 200]])
    np.testing.assert_allclose(np.array(evidence.transform)[:, :2], expected[:, :2], atol=0.05)
    reference = np.array(evidence.reference_points)
    np.testing.assert_allclose(evidence.query_points, reference @ expected[:, :2].T + expected[:, 2], atol=25)
    x, y = np.array(evidence.query_region).T
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [300, 700, 200, 1000], atol=20)
    x, y = np.array(evidence.reference_region).T
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [-0.5, 399.5, -0.5, 799.5], atol=1)


def test_a_view_is_mapped_back_to_its_picture(pasted: tuple[np.ndarray, np.ndarray], evidence: Evidence) -> None:
    canvas, original = pasted
    view, reference = extract(np.ascontiguousarray(canvas[200:1000, 300:700])), extract(original, 200)
    map_ = np.array([[1.0, 0, 300], [0, 1, 200]])
    region = make_evidence(
        ("Q", "R"),
        (view, reference),
        verify(view, reference),
        scores={},
        view="region 1",
        view_map=map_,
        view_size=(1000, 1200),
    )
    assert region.query_size == (1000, 1200) and region.view == "region 1"
    np.testing.assert_allclose(region.transform, [[-1, 0, 699], [0, 1, 200]], atol=4)
    assert np.abs(np.array(region.query_region).mean(axis=0) - np.array(evidence.query_region).mean(axis=0)).max() < 10


def test_json_there_and_back(evidence: Evidence) -> None:
    full = replace(evidence, query_image=embed_jpeg(photograph()[::4, ::4]))
    for one in (full, evidence, Evidence("q", "r", (1, 2), (3, 4))):
        text = one.to_json()
        assert "\n" not in text and Evidence.from_json(text) == one


def test_a_pair_without_matches_is_evidence_too() -> None:
    blank = extract(np.zeros((60, 80, 3), np.uint8))
    one = make_evidence(("q", "r"), (blank, blank), NONE, scores={"global": 0.1})
    assert one.inliers == 0 and one.transform == one.query_region == one.query_points == ()
    assert Evidence.from_json(one.to_json()) == one and "0 matches" in svg(one)


@pytest.mark.parametrize(
    "change",
    [
        {"query_size": [0, 5]},
        {"query_size": [5]},
        {"query_id": 5},
        {"variant": "upside down"},
        {"query_points": [[1, 2]]},
        {"query_region": [[1, 2, 3]]},
        {"transform": [[1, 2, 3]]},
        {"scores": {"global": "high"}},
        {"scores": [1]},
        {"scores": {"global": float("nan")}},
        {"newer": 1},
        {"reference_size": None},
        {"inliers": "many"},
        {"query_image": 7},
    ],
    ids=str,
)
def test_damaged_evidence_is_refused_in_one_line(evidence: Evidence, change: dict[str, object]) -> None:
    with pytest.raises(MatchError) as error:
        Evidence.from_json(json.dumps({**json.loads(evidence.to_json()), **change}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '"text"', "7"])
def test_what_is_no_evidence_is_refused(text: str) -> None:
    with pytest.raises(MatchError):
        Evidence.from_json(text)


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError):
        Evidence("q", "r", (1, 1), (1, 1), scores={"global": float("inf")}).to_json()


def test_the_drawing_is_whole_xml_with_every_match(evidence: Evidence) -> None:
    image = embed_jpeg(photograph())
    drawn = ElementTree.fromstring(svg(replace(evidence, query_image=image, reference_image=image)))
    name = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{name}circle")) == 2 * len(evidence.query_points)
    assert len(drawn.findall(f"{name}polygon")) == 2 and len(drawn.findall(f"{name}image")) == 2
    assert "Q 1 <&\"'é>" in drawn.findall(f"{name}text")[0].text
    width, height = float(drawn.get("width")), float(drawn.get("height"))
    for circle in drawn.findall(f"{name}circle"):
        assert 0 < float(circle.get("cx")) < width and 0 < float(circle.get("cy")) < height


def test_a_drawing_cannot_be_made_to_hold_code(evidence: Evidence) -> None:
    bad = replace(evidence, view="<script>", query_image='"/><script>', scores={"<script>": 1.0})
    assert (
        "<script" not in svg(bad)
        and len(ElementTree.fromstring(svg(bad)).findall("{http://www.w3.org/2000/svg}image")) == 0
    )
