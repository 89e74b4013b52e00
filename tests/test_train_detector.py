"""Training of the detector: its scenes, their files, what it learns, how it is measured, and a run of a few steps."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from copytrace.engine import Bundle, CopytraceError, ResumeError, SourceError, StoreError  # noqa: E402
from copytrace.engine.match.regions import Box, Region  # noqa: E402
from copytrace.engine.region_finders import region_finder  # noqa: E402
from copytrace.train.attacks import Draw  # noqa: E402
from copytrace.train.attacks.paste import collage, collage_and_cells, lay_photograph  # noqa: E402
from copytrace.train.data.photographs import Photographs  # noqa: E402
from copytrace.train.detector import run as detector_run  # noqa: E402
from copytrace.train.detector import scene_files  # noqa: E402
from copytrace.train.detector.finish import add_detector  # noqa: E402
from copytrace.train.detector.measure import measure  # noqa: E402
from copytrace.train.detector.objective import box_loss, centre_loss, overlap, peak_maps  # noqa: E402
from copytrace.train.detector.run import SceneBatches, detector_settings, train  # noqa: E402
from copytrace.train.detector.scene_files import SceneFiles, padded  # noqa: E402
from copytrace.train.detector.scenes import Scene, make_scene  # noqa: E402

from bundle_files import small_bundle  # noqa: E402
from conftest import PHOTOS  # noqa: E402

SIZE, GRID = 64, 8
NONE = [float("nan")] * 4


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    return Photographs([PHOTOS / "references"])


def drawn(seed: int) -> Draw:
    return Draw(np.random.default_rng(seed), 1.0, lambda: np.full((90, 120, 3), 128, np.uint8))


def test_a_laid_photograph_is_where_its_box_says() -> None:
    for seed in range(40):
        canvases = []
        for value in (0, 255):
            canvas = np.full((120, 150, 3), 128, np.uint8)
            box = lay_photograph(canvas, np.full((80, 100, 3), value, np.uint8), drawn(seed))
            canvases.append(canvas)
        left, top, width, height = cv2.boundingRect((cv2.absdiff(*canvases).max(axis=2) > 100).astype(np.uint8))
        assert np.abs(np.subtract(box, (left, top, left + width, top + height))).max() <= 10, seed
        assert 0 <= box.left <= box.right <= 150 and 0 <= box.top <= box.bottom <= 120


def test_a_collage_is_its_cells_and_one_of_them_the_picture() -> None:
    for seed in range(10):
        picture = np.full((100, 100, 3), (250, 10, 10), np.uint8)
        made, cells = collage_and_cells(picture, drawn(seed))
        assert (made == collage(picture, drawn(seed))).all()
        colours = {tuple(made[c.top : c.bottom, c.left : c.right].reshape(-1, 3).mean(axis=0).round()) for c in cells}
        assert colours == {(250, 10, 10), (128, 128, 128)}
        assert all(a.overlap(b) == 0 for i, a in enumerate(cells) for b in cells[:i])


def test_scenes_depend_on_their_seed_and_some_have_nothing_pasted(photographs: Photographs) -> None:
    scenes = [make_scene(photographs, np.random.default_rng([7, i]), SIZE) for i in range(40)]
    again = make_scene(photographs, np.random.default_rng([7, 3]), SIZE)
    assert (again.pixels == scenes[3].pixels).all() and (again.boxes == scenes[3].boxes).all()
    counts = [len(scene.boxes) for scene in scenes]
    assert 0 in counts and 1 in counts and max(counts) > 2
    for scene in scenes:
        assert scene.pixels.shape == (SIZE, SIZE, 3) and scene.boxes.dtype == np.float32
        assert (scene.boxes >= 0).all() and (scene.boxes <= 1).all()
        assert (scene.boxes[:, :2] < scene.boxes[:, 2:]).all()


def test_scene_files_are_made_once_and_recognised(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_files, "SHARD", 3)
    first = SceneFiles(tmp_path, photographs, 6, SIZE, 5)
    kept = [first[i] for i in range(6)]
    files = sorted(tmp_path.glob("*.npz"))
    times = [path.stat().st_mtime_ns for path in files]
    files[1].unlink()
    again = SceneFiles(tmp_path, photographs, 6, SIZE, 5)
    assert files[0].stat().st_mtime_ns == times[0] and len(files) == 2
    for i, scene in enumerate(kept):
        assert (again[i].pixels == scene.pixels).all() and np.array_equal(again[i].boxes, scene.boxes, equal_nan=True)
    with pytest.raises(IndexError):
        again[6]
    for other in ((32, 5), (SIZE, 6)):
        with pytest.raises(ResumeError, match="of other photographs, size or seed"):
            SceneFiles(tmp_path, photographs, 6, *other)
    files[0].write_bytes(b"half of it")
    with pytest.raises(ResumeError, match="damaged; remove it"):
        SceneFiles(tmp_path, photographs, 6, SIZE, 5)
    (tmp_path / "scenes.json").write_text("{")
    with pytest.raises(StoreError, match=r"scenes.json is damaged"):
        SceneFiles(tmp_path, photographs, 6, SIZE, 5)


class _Rectangles:
    """Scenes with one white rectangle each."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, number: int) -> Scene:
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[4 : 10 + number, 20 : 40 + number] = 255
        return Scene(pixels, padded(np.float32([[20, 4, 40 + number, 10 + number]]) / SIZE))


def test_boxes_follow_their_pictures_when_those_are_mirrored_and_turned() -> None:
    batches = SceneBatches(_Rectangles(), detector_settings(size=SIZE, steps=8, batch=16))  # type: ignore[arg-type]
    seen = set()
    for step in range(8):
        pixels, boxes = batches[step]
        for picture, box in zip(pixels.numpy(), boxes.numpy(), strict=True):
            left, top, width, height = cv2.boundingRect(picture[..., 0].copy())
            assert box[0] * SIZE == pytest.approx([left, top, left + width, top + height], abs=1e-4)
            assert np.isnan(box[1:]).all()
            seen.add((left >= 20, top >= 20, height > width))
    assert len(seen) > 4
    assert torch.equal(batches[5][0], batches[5][0])


def test_peaks_are_gaussians_at_the_centres() -> None:
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.8], [0.6, 0.6, 1.0, 0.9], NONE], [NONE] * 3])
    peaks, owners = peak_maps(boxes, GRID)
    expected = np.zeros((2, GRID, GRID))
    owner = np.zeros((GRID, GRID), int)
    for k, (left, top, right, bottom) in enumerate(boxes[0, :2].numpy()):
        column, row = int((left + right) / 2 * GRID), int((top + bottom) / 2 * GRID)
        spread = [max(0.6, 0.14 * GRID * side) for side in (right - left, bottom - top)]
        for y in range(GRID):
            for x in range(GRID):
                height = np.exp(-0.5 * (((x - column) / spread[0]) ** 2 + ((y - row) / spread[1]) ** 2))
                if height > expected[0, y, x]:
                    expected[0, y, x], owner[y, x] = height, k
    np.testing.assert_allclose(peaks.numpy(), expected, atol=1e-5)
    assert (peaks == 1).sum() == 2
    near = expected[0] > 1e-6
    np.testing.assert_array_equal(owners[0].permute(1, 2, 0).numpy()[near], boxes[0].numpy()[owner[near]])


def test_the_losses_fall_to_nothing_where_all_is_right() -> None:
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.8]]])
    peaks, owners = peak_maps(boxes, GRID)
    right = torch.where(peaks == 1, 12.0, -12.0)
    assert float(centre_loss(right, peaks)) < 1e-6 < 1.0 < float(centre_loss(-right, peaks))
    empty = torch.zeros((1, GRID, GRID))
    assert float(centre_loss(torch.full((1, GRID, GRID), 3.0), empty)) > 1.0
    middle = (torch.arange(GRID) + 0.5) / GRID
    x, y = middle[None, None, :], middle[None, :, None]
    wanted = torch.stack([x - owners[:, 0], y - owners[:, 1], owners[:, 2] - x, owners[:, 3] - y], dim=1)
    assert float(box_loss(wanted, peaks, owners)) < 1e-5 < 0.1 < float(box_loss(wanted + 0.1, peaks, owners))
    assert float(box_loss(wanted, empty, owners)) == 0.0


def test_overlap_is_the_generalised_intersection_over_union() -> None:
    a, b = torch.tensor([[0.2, 0.1, 0.3, 0.4]]), torch.tensor([[0.1, 0.3, 0.4, 0.2]])
    both, union, hull = 0.4 * 0.3, 0.5 * 0.5 + 0.5 * 0.5 - 0.4 * 0.3, 0.6 * 0.7
    assert float(overlap(a, b)) == pytest.approx(both / union - (hull - union) / hull)
    assert float(overlap(a, a)) == pytest.approx(1.0)


def test_precision_recall_and_average_precision() -> None:
    there = [Box(0, 0, 10, 10), Box(20, 20, 30, 30)]
    found = [Region(Box(0, 0, 10, 9), 0.9), Region(Box(1, 0, 10, 10), 0.8), Region(Box(20, 20, 30, 27), 0.7)]
    scored = measure([(found, there), ([Region(Box(0, 0, 5, 5), 0.95)], []), ([], [Box(0, 0, 4, 4)])])
    assert scored.precision == pytest.approx(2 / 4) and scored.recall == pytest.approx(2 / 3)
    assert scored.average_precision == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert measure([([], [])]).to_dict() == {"precision": 1.0, "recall": 0.0, "average_precision": 0.0}


def losses(folder: Path) -> list[list[str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_run_is_killed_goes_on_and_its_detector_goes_into_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = detector_settings(
        size=SIZE, weights="none", steps=3, batch=2, warmup=1, hold_back=0.1, checkpoint_every=1
    )
    roots, said, scenes = [PHOTOS / "references"], [], tmp_path / "scenes"
    with monkeypatch.context() as patch:
        patch.setattr(detector_run, "export", lambda *args: {})
        assert train(roots, tmp_path / "whole", settings, 6, said.append, scenes=scenes) == {}

    def killed(text: str) -> None:
        if text.startswith("step 2/"):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    monkeypatch.setattr("copytrace.train.loop.run_log._TERMINAL_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(roots, run, settings, 6, killed, scenes=scenes)
    bundle = Bundle(small_bundle(tmp_path / "bundle"))
    with pytest.raises(CopytraceError, match="holds no finished run of a detector"):
        add_detector(bundle, run)
    with pytest.raises(StoreError, match="--resume goes on with it"):
        train(roots, run, settings, 6, killed, scenes=scenes)
    quality = train(roots, run, settings, 6, said.append, scenes=scenes, resume=True)
    assert losses(run) == losses(tmp_path / "whole") and len(losses(run)) == 4
    assert quality["float32_min_cosine_to_torch"] > 0.9999 and 0 <= quality["int8"]["average_precision"] <= 1

    add_detector(bundle, run)
    add_detector(Bundle(bundle.path), run)  # takes the place of itself
    made = Bundle(bundle.path)
    assert [network.role for network in made.manifest.networks] == ["descriptor", "detector"]
    assert (made.space, made.recipe) == (bundle.space, bundle.recipe)
    assert made.manifest.origin["detector"]["scenes"] == 6  # type: ignore[call-overload,index]
    assert json.loads((run / "detector.json").read_text())["quality"] == made.manifest.quality["detector"]
    finder = region_finder("trained", made, "float32")
    assert len(finder(np.zeros((50, 70, 3), np.uint8), 3)) <= 3


def test_too_few_photographs_are_refused(tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SourceError, match="four photographs or more"):
        train([few], tmp_path / "run", detector_settings(size=SIZE, weights="none"), 4, print)
    assert not (tmp_path / "run").exists()
