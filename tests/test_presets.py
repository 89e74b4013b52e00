"""The published systems' settings by name: all of them resolved, one run, and options beside them."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from copytrace.engine import CopytraceError, Engine
from copytrace.train.loop.drip import Drip
from copytrace.train.models.backbones import create_backbone
from copytrace.train.presets import PRESETS, with_preset
from copytrace.train.settings import Settings
from copytrace.train.verbs.train import app

from conftest import PHOTOS

TABLE = {  # backbone's family, size, classes, dimension
    "descriptor-efficientnetv2-l-512": ("efficientnetv2_l", 512, 980_000, 512),
    "descriptor-efficientnetv2-s-224": ("efficientnetv2_rw_s", 224, 1_200_000, 384),
    "descriptor-efficientnetv2-s-160": ("efficientnetv2_rw_s", 160, 1_000_000, 384),
    "descriptor-nfnet-l1-1000k": ("nfnet_l1", 160, 1_000_000, 384),
    "descriptor-nfnet-l1-1500k": ("nfnet_l1", 160, 1_500_000, 256),
    "descriptor-efficientnet-b5-1500k": ("efficientnet_b5", 160, 1_500_000, 256),
    "descriptor-efficientnet-b5-1800k": ("efficientnet_b5", 160, 1_800_000, 256),
}
NEEDED = {"weights": "none", "pairs": "somewhere"}


def resolved(name: str) -> Settings:
    needed = {key: value for key, value in NEEDED.items() if key in PRESETS[name]}
    return Settings(**with_preset(name, Settings().to_dict() | needed, needed))


def test_every_preset_is_a_run_of_a_backbone_that_there_is() -> None:
    for name in PRESETS:
        resolved(name).check()
    for backbone, size in {(resolved(name).backbone, resolved(name).size) for name in PRESETS}:
        with torch.device("meta"):
            network, _ = create_backbone(backbone, "none", size)
        assert sum(p.numel() for p in network.parameters()) > 15e6


def test_the_table_of_seven_models_and_the_two_stages() -> None:
    assert set(PRESETS) == {*TABLE, "matching-stage1", "matching-stage2"}
    for name, (family, size, classes, dimension) in TABLE.items():
        settings = resolved(name)
        assert settings.backbone.endswith(family)
        assert (settings.size, settings.classes, settings.dimension) == (size, classes, dimension)
        assert (settings.objective, settings.margin, settings.scale, settings.pooling) == ("arcface", 0.4, 40.0, "gem")
        assert all(step < classes for step in settings.drip_steps)
    first, second = (resolved(f"matching-stage{stage}") for stage in (1, 2))
    assert (first.objective, first.last_blocks, first.pooling, first.dimension) == ("triplet", 4, "average", 256)
    assert first.learning_rate == 1e-4 and first.schedule == "cosine" and first.weight_decay > 0 and first.memory > 0
    assert second.learning_rate < first.learning_rate and second.pairs and not first.pairs
    assert first.backbone == second.backbone


def test_what_a_preset_needs_is_asked_for() -> None:
    options = Settings().to_dict()
    with pytest.raises(CopytraceError, match="matching-stage1 needs --weights"):
        with_preset("matching-stage1", options, ())
    with pytest.raises(CopytraceError, match="matching-stage2 needs --pairs"):
        with_preset("matching-stage2", options, {"weights"})
    begun = with_preset("matching-stage2", options | {"initial": "run", "pairs": "p"}, {"initial", "pairs"})
    assert begun["initial"] == "run" and begun["pairs"] == "p"


def test_drip_training_goes_through_the_stages() -> None:
    drip = Drip(40, 1500, threshold=1.0, window=1, stages=(40, 80, 350))
    seen = [drip.classes] + [drip.classes for _ in range(4) if drip.observe(0.5)]
    assert seen == [40, 80, 350, 1500] and not drip.observe(0.0)
    few = Drip(40, 90, threshold=1.0, window=1, stages=(40, 80, 350))
    assert [few.observe(0.0), few.classes, few.observe(0.0), few.classes] == [True, 80, True, 90]


def test_a_preset_runs_and_options_override_it(tmp_path: Path) -> None:
    words = ["run", PHOTOS / "references", "-o", tmp_path / "run", "--preset", "descriptor-nfnet-l1-1000k"]
    words += ["--weights", "none", "--backbone", "test_convnext", "--size", "32", "--batch", "2", "--steps", "10"]
    words += ["--classes", "30", "--drip-steps", "8,20", "--hold-back", "0"]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    preset = PRESETS["descriptor-nfnet-l1-1000k"]
    assert (settings["backbone"], settings["size"], settings["classes"]) == ("test_convnext", 32, 30)
    assert settings["dimension"] == preset["dimension"] and settings["schedule"] == preset["schedule"]
    assert settings["drip_steps"] == [8, 20] and not settings["frozen"]
    assert [line.split(",")[3] for line in (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]] == ["8"] * 10
    assert Engine(tmp_path / "run" / "bundle").embed([PHOTOS / "queries" / "Q00000.jpg"]).shape == (1, 384)


def test_the_names_are_listed_and_others_refused(tmp_path: Path) -> None:
    for words in (["run", "--help"], ["--help"]):
        listed = CliRunner().invoke(app, words, env={"COLUMNS": "80"}).output
        assert all(name in listed for name in PRESETS)
    assert CliRunner().invoke(app, ["run", str(PHOTOS), "-o", str(tmp_path / "r"), "--preset", "magic"]).exit_code == 2
    words = ["run", str(PHOTOS), "-o", str(tmp_path / "r"), "--drip-steps", "8,x"]
    assert CliRunner().invoke(app, words).exit_code == 2
