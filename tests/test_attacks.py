"""Attacks: each exists, is seeded, leaves its input and everything global alone, and can be seen through."""

import csv
import json
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from copytrace.engine import BadImageError, Engine, StoreError
from copytrace.engine.read import Image, open_source
from copytrace.train.attacks import ATTACKS, CLASSES, Draw, attack_class, emoji, fonts, random_chain, wide, writing
from copytrace.train.data.attack_set import make_queries
from copytrace.train.data.photographs import Photographs
from copytrace.train.data.pictures import load
from copytrace.train.data.query_set import write_set
from copytrace.train.data.views import attacked_view
from copytrace.train.tools.contact_sheet import contact_sheet

from conftest import PHOTOS

PAPER = 25  # attacks in the table, the three new ones included
REFERENCES = sorted((PHOTOS / "references").glob("*.jpg"))


@lru_cache
def photo(index: int) -> np.ndarray:
    return load(Image(str(index), REFERENCES[index].read_bytes))


def draw(seed: int, intensity: float) -> Draw:
    return Draw(np.random.default_rng(seed), intensity, lambda: photo(150))


def test_the_table_is_complete() -> None:
    assert len(ATTACKS) == PAPER and len(set(ATTACKS.values())) == PAPER


@pytest.mark.parametrize("name", wide.ATTACKS)
@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_attacks_are_seeded_and_touch_nothing_else(name: str, intensity: float) -> None:
    image = photo(0)
    before, numpy_state, python_state = image.copy(), np.random.get_state()[1].copy(), random.getstate()
    for seed in range(12):
        first = wide.ATTACKS[name](image, draw(seed, intensity))
        assert np.array_equal(first, wide.ATTACKS[name](image, draw(seed, intensity)))
        assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3 and min(first.shape[:2]) >= 8
        assert first.flags.c_contiguous and not np.shares_memory(first, image)
        assert first.shape != image.shape or (first != image).any()
    assert (image == before).all() and (np.random.get_state()[1] == numpy_state).all()
    assert random.getstate() == python_state


def kinds_of_pictures(shape: tuple[int, int]) -> list[np.ndarray]:
    """Noise, plain black, white and grey, and a grey ramp."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, shape[0] * shape[1]).astype(np.uint8).reshape(shape)
    return [noise, *(np.full_like(noise, level) for level in (0, 255, 128)), np.stack([ramp] * 3, axis=2)]


@pytest.mark.parametrize("name", wide.ATTACKS)
def test_attacks_take_pictures_of_any_shape(name: str) -> None:
    for shape in ((1, 1), (2, 2), (3, 500), (500, 3), (9, 40), (480, 360)):
        for image in kinds_of_pictures(shape):
            before = image.copy()
            for seed in range(3):
                result = wide.ATTACKS[name](image, draw(seed, seed / 2))
                assert result.dtype == np.uint8 and result.ndim == 3 and result.shape[2] == 3
                assert min(result.shape[:2]) >= 1 and max(result.shape[:2]) <= 4 * max(100, *shape)
            assert (image == before).all()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def references(engine: Engine) -> np.ndarray:
    return engine.embed(REFERENCES)


@pytest.mark.parametrize("name", ATTACKS)
def test_mild_attacks_are_recoverable(name: str, engine: Engine, references: np.ndarray) -> None:
    """Of 200 references, the right one is among the five nearest for most pictures that were attacked mildly."""
    chosen = range(0, 100, 5)
    attacked = engine.embed([ATTACKS[name](photo(i), draw(i, 0.1)) for i in chosen])
    scores = attacked @ references.T
    ranks = [(scores[row] > scores[row, i]).sum() for row, i in enumerate(chosen)]
    assert np.mean(np.array(ranks) < 5) >= 0.6


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_chains(name: str) -> None:
    for seed in range(10):
        result, attacks = attack_class(photo(1), draw(seed, 0.0 if seed < 5 else 1.0), name)
        assert set(attacks) <= set(ATTACKS) and len(set(attacks)) == len(attacks) and result.dtype == np.uint8
        assert (2 <= len(attacks) <= 4) if name == "chain" else (1 <= len(attacks) <= 2)
    assert {len(random_chain(draw(seed, 1.0))) for seed in range(60)} == {1, 2, 3, 4}
    assert {len(random_chain(draw(seed, 0.0))) for seed in range(20)} == {1}


def test_the_wide_set_holds_the_table_and_its_mixture_adds_up() -> None:
    assert set(ATTACKS) < set(wide.ATTACKS) and all(wide.ATTACKS[name] is ATTACKS[name] for name in ATTACKS)
    assert sum(len(family) for family in wide.FAMILIES.values()) == len(set(wide.ATTACKS.values()))
    assert sum(wide.MIXTURE.values()) == pytest.approx(1.0)
    drawn = [wide.draw_class(draw(seed, 1.0)) for seed in range(4000)]
    for name, share in wide.MIXTURE.items():
        assert drawn.count(name) / len(drawn) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("name", wide.MIXTURE)
def test_classes_of_the_wide_set(name: str) -> None:
    lengths = set()
    for seed in range(40):
        image = photo(1)
        result, names = wide.attack_class(image, draw(seed, (0.0, 0.5, 1.0)[seed % 3]), name)
        again, same = wide.attack_class(image, draw(seed, (0.0, 0.5, 1.0)[seed % 3]), name)
        assert names == same and np.array_equal(result, again)
        assert set(names) <= set(wide.ATTACKS) and len(set(names)) == len(names)
        lengths.add(len(names))
    expected = {"clean": {0}, "chain": {2, 3, 4}, "strong-crop": {1, 2, 3}}
    assert lengths == expected.get(name, {1})


def test_every_attack_of_a_chain_has_a_strength_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    strengths = []

    def record(image: np.ndarray, draw: Draw) -> np.ndarray:
        strengths.append(draw.intensity)
        return image

    monkeypatch.setattr(wide, "ATTACKS", dict.fromkeys(wide.ATTACKS, record))
    for seed in range(200):
        wide.attack_class(photo(1), draw(seed, 0.8), "chain")
    assert len(set(strengths)) == len(strengths) > 400
    assert min(strengths) < 0.05 and 0.75 < max(strengths) <= 0.8


def test_views_by_the_wide_set_are_seeded_and_close_to_their_photograph(engine: Engine) -> None:
    photographs = Photographs([PHOTOS / "references"], 0)
    places = range(60)

    def views(attacks: str, seed: int) -> list[np.ndarray]:
        return [attacked_view(photographs, i, 128, np.random.default_rng([seed, i]), 1.0, attacks)[1] for i in places]

    first, again, other = views("wide", 0), views("wide", 0), views("wide", 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert all(view.shape == (128, 128, 3) and view.dtype == np.uint8 for view in first)
    references = engine.embed([photographs.load(i)[1] for i in range(len(photographs))])
    scores = engine.embed(first) @ references.T
    found = [(scores[i] > scores[i, i]).sum() < 5 for i in places]
    assert np.mean(found) >= 0.5  # edited strongly, and still copies


def test_fonts_draw_letters_and_emoji() -> None:
    assert len(fonts.font_files()) >= 12
    for seed in range(60):
        stamp = writing.text_stamp(draw(seed, 1.0), "Aqua 5", 8 + seed)
        assert stamp.mask.max() > 0.5 and stamp.colour.shape == (*stamp.mask.shape, 3)
        assert emoji.emoji_stamp(draw(seed, 1.0), 8 + seed).mask.mean() > 0.1


def test_emoji_are_painted_where_there_is_no_colour_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "colour_emoji_font", lambda: None)
    painted = [emoji.emoji_stamp(draw(seed, 1.0), 40) for seed in range(60)]
    assert all(max(stamp.mask.shape) == 40 and stamp.mask.mean() > 0.1 for stamp in painted)
    assert len({stamp.colour.tobytes() for stamp in painted}) > 50


def test_intensity_makes_attacks_stronger(engine: Engine) -> None:
    originals = engine.embed(REFERENCES[:20])

    def closeness(intensity: float) -> float:
        attacked = [
            ATTACKS[name](photo(i), draw(i, intensity)) for i in range(20) for name in ("crop", "blur", "opacity")
        ]
        return float((engine.embed(attacked).reshape(20, 3, -1) * originals[:, None]).sum(axis=2).mean())

    assert closeness(0.0) > closeness(0.5) > closeness(1.0)


def test_sets_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    source = open_source(PHOTOS / "references")
    sets = [list(make_queries(source, 60, seed)) for seed in (1, 1, 2)]
    assert sets[0] == sets[1] != sets[2]
    assert list(make_queries(source, 20, 1)) == sets[0][:20]
    wide_sets = [list(make_queries(source, 44, 1, attacks="wide")) for _ in range(2)]
    assert wide_sets[0] == wide_sets[1] and {query.class_name for query in wide_sets[0]} == set(wide.MIXTURE)
    assert len({query.reference for query in sets[0]}) == 60 and {query.class_name for query in sets[0]} == set(CLASSES)


def test_a_set_on_disk(tmp_path: Path) -> None:
    source, distractors = open_source(PHOTOS / "references"), open_source(PHOTOS / "queries")
    assert write_set(make_queries(source, 40, 0, distractors), tmp_path / "set") == 40
    with (tmp_path / "set" / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    assert sum(row["reference_id"] == "" for row in truth) == 20
    with (tmp_path / "set" / "edits.csv").open(newline="") as file:
        assert {row["class_name"] for row in csv.DictReader(file)} == set(CLASSES)
    files = sorted((tmp_path / "set" / "queries").iterdir())
    assert [path.stem for path in files] == [row["query_id"] for row in truth]
    assert all(max(cv2.imread(str(path)).shape[:2]) > 8 for path in files)
    with pytest.raises(StoreError, match="is there already"):
        write_set(make_queries(source, 1, 0), tmp_path / "set")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is there already"):
        write_set(make_queries(source, 1, 0), tmp_path / "file")


def test_bad_images_stop_a_set(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"junk")
    with pytest.raises(BadImageError, match="bad"):
        list(make_queries(open_source(tmp_path), 1, 0))


def test_the_verb(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "copytrace"), "attack", str(PHOTOS / "references"), "--json"]
    result = subprocess.run([*command, "-o", str(tmp_path / "set"), "--count", "30"], capture_output=True, text=True)
    assert result.returncode == 0 and json.loads(result.stdout)["queries"] == 30
    assert len(list((tmp_path / "set" / "queries").iterdir())) == 30
    wider = subprocess.run([*command, "-o", str(tmp_path / "wide"), "--count", "22", "--attacks", "wide"], text=True)
    assert wider.returncode == 0
    with (tmp_path / "wide" / "edits.csv").open(newline="") as file:
        assert {row["class_name"] for row in csv.DictReader(file)} == set(wide.MIXTURE)
    again = subprocess.run([*command, "-o", str(tmp_path / "set"), "--count", "30"], capture_output=True, text=True)
    assert again.returncode == 1 and len(again.stderr.splitlines()) == 1


def test_contact_sheet_shows_every_attack() -> None:
    sheet = contact_sheet(photo(0), photo(1))
    assert sheet.shape == (-(-(1 + len(wide.ATTACKS)) // 4) * 138, 4 * 3 * 120, 3)
