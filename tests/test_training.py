"""Training: heads and losses against plain formulas, drip training, schedules, the loop, and the verbs."""

import csv
import errno
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from copytrace.engine import Bundle, Engine, ResumeError, SourceError, StoreError, open_descriptors
from copytrace.train import arcface as arcface_module
from copytrace.train.arcface import ArcFace, arcface_logits, memory_bytes
from copytrace.train.batches import FeatureBatches, in_batches, places_of_step
from copytrace.train.checkpoint import load_checkpoint, save_checkpoint
from copytrace.train.contrastive import info_nce, koleo, same_picture
from copytrace.train.drip import Drip, centre, rebuild_centres
from copytrace.train.model import DescriptorNetwork, Ensemble, Head, PixelScale, Trunk
from copytrace.train.objective import ArcFaceObjective, ContrastiveObjective, mix
from copytrace.train.optimisers import Optimisers
from copytrace.train.photographs import Photographs, attacked_view
from copytrace.train.projection import fit_pca, learned_whitening
from copytrace.train.run import trained_network
from copytrace.train.schedule import MeanPlateau, Progressive, warmup_cosine
from copytrace.train.settings import Settings
from copytrace.train.validation import folder_pair, held_back

from conftest import PHOTOS


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_arcface_is_its_formula() -> None:
    x, centres = unit(6, 8).double().numpy(), unit(10, 8, seed=1).double().numpy()
    targets = np.array([0, 3, 9, 3, 1, 5])
    logits = 40.0 * (x @ centres.T)
    for row, target in enumerate(targets):
        logits[row, target] = 40.0 * math.cos(math.acos(x[row] @ centres[target]) + 0.4)
    expected = -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(6), targets].mean()
    head = ArcFace(10, 8)
    head.set_classes(10, torch.tensor(centres * 3.0, dtype=torch.float32))  # only the directions of centres count
    loss = head(torch.tensor(x, dtype=torch.float32), torch.tensor(targets))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_arcface_keeps_falling_beyond_half_a_turn() -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 400)
    logits = arcface_logits(torch.cos(angles)[:, None], torch.zeros(400, dtype=torch.long))[:, 0]
    assert (logits[1:] < logits[:-1]).all()
    cosines = torch.tensor([[1.0, -1.0]], requires_grad=True)
    arcface_logits(cosines, torch.tensor([0])).sum().backward()
    assert torch.isfinite(cosines.grad).all()


def test_sampled_arcface_compares_with_a_share_and_trains_only_those() -> None:
    torch.manual_seed(0)
    head = ArcFace(200, 16, share=0.1)
    x, targets = unit(8, 16), torch.tensor([5, 5, 7, 199, 0, 3, 120, 64])
    loss = head(x, targets)
    loss.backward()
    gradient = head.centres.grad.coalesce()
    rows = set(gradient.indices()[0].tolist())
    assert gradient.is_sparse and len(rows) == 20 and set(targets.tolist()) <= rows
    full = ArcFace(200, 16)
    full.set_classes(200, head.centres.detach())
    assert float(loss) < float(full(x, targets))  # fewer wrong classes to lose against
    whole = ArcFace(200, 16, share=0.9999)
    whole.set_classes(200, head.centres.detach())
    assert float(whole(x, targets)) == pytest.approx(float(full(x, targets)), rel=1e-5)


def test_the_memory_statement() -> None:
    assert memory_bytes(1_800_000, 256, 128) == pytest.approx(7.37e9 + 2.76e9, rel=0.01)
    assert memory_bytes(1_800_000, 256, 128, share=0.1) == pytest.approx(5.53e9 + 0.18e9 + 0.28e9, rel=0.01)
    for words in ("7.4 GB", "2.8 GB", "6.0 GB"):
        assert words in arcface_module.__doc__


def test_info_nce_and_entropy_are_their_formulas() -> None:
    z = functional.normalize(unit(6, 5).double(), dim=1)
    sources = torch.tensor([[0, -1], [0, -1], [1, -1], [1, 2], [2, -1], [3, -1]])
    alike = same_picture(sources)
    terms, distances = [], []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        positives = [j for j in others if set(sources[i].tolist()) & set(sources[j].tolist()) - {-1}]
        assert {j for j in others if alike[i, j]} == set(positives)
        total = sum(math.exp(float(z[i] @ z[j]) / 0.1) for j in others)
        if positives:
            terms.append(np.mean([-math.log(math.exp(float(z[i] @ z[j]) / 0.1) / total) for j in positives]))
        distances.append(min(float((z[i] - z[j]).norm()) for j in others if j not in positives))
    assert float(info_nce(z, alike, 0.1)) == pytest.approx(np.mean(terms), rel=1e-9)
    assert float(koleo(z, alike)) == pytest.approx(-np.mean(np.log(distances)), rel=1e-9)


def test_equal_embeddings_leave_the_losses_finite() -> None:
    z = unit(1, 5).repeat(4, 1).requires_grad_()
    alike = same_picture(torch.tensor([[0, -1], [0, -1], [1, -1], [1, -1]]))
    loss = info_nce(z, alike, 0.05) + koleo(z, alike)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(z.grad).all()


def test_mixing_pictures_and_features() -> None:
    torch.manual_seed(0)
    sources = torch.stack([torch.arange(8), torch.full((8,), -1)], dim=1)
    pixels = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 32, 32, 3)
    mixed, both = mix(pixels, sources, 0.5, 3.0)
    assert (both[:, 1] >= 0).any()
    for row in range(8):
        shown = set(mixed[row].unique().tolist())
        assert shown == {row} | ({int(both[row, 1])} - {-1})
    maps = torch.rand(2, 4, 6, 6)
    a, b = (maps[i : i + 1].pow(3).mean(dim=(2, 3)).pow(1 / 3) for i in (0, 1))
    side_by_side = torch.cat([maps[:1], maps[1:]], dim=3).pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close((0.5 * a**3 + 0.5 * b**3) ** (1 / 3), side_by_side)
    features, both = mix(torch.rand(8, 5), sources, 0.5, 3.0)
    assert torch.isfinite(features).all() and (both[:, 1] >= 0).any()


def test_drip_doubles_when_the_loss_is_low() -> None:
    drip = Drip(start=10, total=35, threshold=1.0, window=3)
    assert [drip.observe(loss) for loss in (5.0, 0.5, 0.5)] == [False] * 3  # the mean is still 2
    assert drip.observe(0.5) and drip.classes == 20
    again = Drip(start=10, total=35, threshold=1.0, window=3)
    again.load_state_dict(drip.state_dict())
    assert [again.observe(0.1) for _ in range(3)] == [False, False, True] and again.classes == 35
    assert not any(again.observe(0.0) for _ in range(10)) and again.classes == 35


def test_centres_are_the_mean_of_one_clean_and_four_attacked_embeddings() -> None:
    views = unit(7, 5, 4)
    mean = views.numpy().mean(axis=1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(centre(views).numpy(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(rebuild_centres(lambda classes: views[classes], 7, at_once=3), centre(views))


def test_schedules_are_their_formulas() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.Adam([parameter], 0.1)
    schedule = warmup_cosine(optimiser, warmup=5, steps=25)
    rates = []
    for _ in range(25):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    expected = [0.1 * (i + 1) / 5 if i < 5 else 0.05 * (1 + math.cos(math.pi * (i - 5) / 20)) for i in range(25)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    optimiser = torch.optim.Adam([parameter], 0.1)
    plateau = MeanPlateau(optimiser, window=2, factor=0.5, patience=1)
    for loss in (1.0, 3.0, 2.0, 2.0, 2.5, 1.5, 2.0, 2.0):  # the mean of two is always 2
        plateau.step(loss)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.05)
    sizes = [Progressive(224, first_size=128, first_intensity=0.2).at(p) for p in (0.0, 0.35, 0.7, 1.0)]
    assert [size for size, _ in sizes] == [128, 160, 224, 224]
    assert [round(intensity, 3) for _, intensity in sizes] == [0.2, 0.6, 1.0, 1.0]


def test_learned_whitening_makes_attacks_round_and_finds_what_differs() -> None:
    rng = np.random.default_rng(0)
    signal_part, noise = rng.standard_normal((600, 1, 6)), rng.standard_normal((600, 4, 6))
    features = np.zeros((600, 4, 12))
    features[..., :6] = signal_part + 0.1 * noise
    features[..., 6:] = 10 * rng.standard_normal((600, 4, 6))  # what attacks change, and nothing else
    mean, rows = learned_whitening(features, 6, shrinkage=1e-6)
    projected = (features - mean) @ rows.T
    within = (projected - projected.mean(1, keepdims=True)).reshape(-1, 6)
    np.testing.assert_allclose(np.cov(within.T, bias=True), np.eye(6), atol=0.05)
    assert np.abs(rows[:, 6:]).max() < 0.05 * np.abs(rows[:, :6]).max()
    with pytest.raises(ValueError, match="take more"):
        learned_whitening(features[:5], 6)


def test_every_class_comes_once_before_any_comes_again() -> None:
    seen = [place for step in range(5) for place in places_of_step(step, 20, 8, seed=3)]
    assert sorted(seen[:20]) == sorted(seen[20:40]) == list(range(20)) and seen[:20] != seen[20:40]
    assert places_of_step(2, 20, 8, seed=3) == seen[16:24]
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_processes_share_a_batch() -> None:
    features = np.arange(20 * 3 * 2, dtype=np.float16).reshape(20, 3, 2)
    parts = [FeatureBatches(features, 10, 8, 2, 0, 20, rank, 2)[4] for rank in range(2)]
    classes = torch.cat([classes for _, classes in parts])
    assert sorted(set(classes.tolist())) == sorted(places_of_step(4, 20, 8, 0)) and len(classes) == 16
    rows, owners = parts[0]
    for row, owner in zip(rows.numpy(), owners.tolist(), strict=True):
        assert any((row == view).all() for view in features[owner])
    assert not torch.equal(rows[0], rows[1])


def test_photographs_come_from_several_roots_and_bad_ones_are_passed_over(tmp_path: Path) -> None:
    sources = sorted((PHOTOS / "references").glob("*.jpg"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            (tmp_path / name / f"{i}.jpg").write_bytes(sources[i].read_bytes())
    (tmp_path / "b" / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    photos = Photographs([tmp_path / "a", tmp_path / "b"])
    assert len(photos) == 7 and sorted(photos.id(i) for i in range(7)) == sorted([*"001122", "bad"])
    found = [photos.load(place)[0] for place in range(7)]
    bad = next(place for place in range(7) if photos.id(place) == "bad")
    assert found == [place if place != bad else (bad + 1) % 7 for place in range(7)]
    assert [photos.id(i) for i in range(7)] == [Photographs([tmp_path / "a", tmp_path / "b"]).id(i) for i in range(7)]
    first, last = photos.split(2)
    assert len(first) == 5 and [last.id(0), last.id(1)] == [photos.id(5), photos.id(6)]
    views = [attacked_view(first, 1, 64, np.random.default_rng(3), 0.7) for _ in range(2)]
    assert (views[0][1] == views[1][1]).all() and views[0][1].shape == (64, 64, 3)
    with pytest.raises(SourceError):
        Photographs([tmp_path / "c"])


def test_validation_on_a_folder_pair_and_on_photographs_held_back(tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    pair.mkdir()
    for name in ("references", "queries", "truth.csv"):
        (pair / name).symlink_to(PHOTOS / name)

    def embed(pictures):
        return np.stack([p.astype(np.float32).reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).ravel() for p in pictures])

    result = folder_pair(pair).evaluate(embed, 32)
    assert 0.05 < result.micro_ap < 1 and result.queries == 140
    with pytest.raises(SourceError, match=r"truth\.csv"):
        folder_pair(tmp_path)
    _, held = Photographs([PHOTOS / "references"]).split(40)
    made = held_back(held, seed=0)
    assert len(made.reference_ids) == 20 and len(made.query_ids) == 40 and len(made.truth.positives) == 20
    assert all((a == b).all() for a, b in zip(made.queries(16), made.queries(16), strict=True))
    assert made.evaluate(embed, 32).positives == 20


class Tiny(torch.nn.Module):
    """A backbone that is quick to train."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 4, 4), torch.nn.Conv2d(8, 16, 2, 2)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()).relu()


def test_taps_heads_and_ensembles() -> None:
    torch.manual_seed(0)
    backbone, scale = Tiny(), PixelScale((120.0, 110.0, 100.0), (60.0, 60.0, 60.0))
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    last, tapped = Trunk(Tiny(), scale), Trunk(backbone, scale, ("first", "second"))
    assert last.width(32) == 16 and tapped.width(32) == 24 and last(pixels).shape == (2, 16)
    x = (pixels.float() - torch.tensor(scale.offset)) / torch.tensor(scale.divisor)
    first = backbone.first(x.permute(0, 3, 1, 2)).clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(tapped(pixels)[:, :8], first)
    head = Head(24, 6)
    features = tapped(pixels).detach()
    head.standardise(torch.cat([features, features * 2]))
    expected = functional.normalize((features - head.mean) / head.deviation @ head.linear.weight.T, dim=1)
    torch.testing.assert_close(head(features), expected)
    flat = features.repeat(2, 1)
    flat[:, 3] = 1e-6  # a feature that is dead in all of these pictures
    head.standardise(flat)
    assert float(head.deviation[3]) > 0.05 * float(head.deviation.mean())
    small = DescriptorNetwork(Trunk(Tiny(), scale), Head(16, 4))
    both = Ensemble([DescriptorNetwork(tapped, head), small], [32, 16])(pixels)
    assert both.shape == (2, 10)
    torch.testing.assert_close(both[:, :6], DescriptorNetwork(tapped, head)(pixels))


@pytest.mark.parametrize("objective", ["arcface", "sampled", "infonce", "mixed"])
def test_a_step_of_every_objective_lowers_the_loss(objective: str) -> None:
    torch.manual_seed(0)
    settings = Settings(share=0.5 if objective == "sampled" else 1.0, learning_rate=0.01, warmup=0, steps=60, clip=1.0)
    head = Head(12, 8)
    if objective in ("arcface", "sampled"):
        model = ArcFaceObjective(head, ArcFace(20, 8, share=settings.share))
    else:
        model = ContrastiveObjective(head, mixed=0.3 if objective == "mixed" else 0.0)
    base, classes = torch.rand(20, 12), torch.arange(20).repeat_interleave(2)
    optimisers = Optimisers(model, settings, torch.device("cpu"))
    losses = []
    for _ in range(60):
        inputs = base[classes] + 0.05 * torch.randn(40, 12)
        loss = model(inputs, classes)
        optimisers.step(loss)
        optimisers.schedule(loss.item())
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5]) if losses[0] > 0 else losses[-1] < losses[0]


RUN = [sys.executable, "-c", "from copytrace.engine.cli import main; main()", "train"]
QUICK = [
    "--frozen",
    "--size",
    "64",
    "--dimension",
    "32",
    "--views",
    "5",
    "--batch",
    "16",
    "--checkpoint-every",
    "10",
    "--seed",
    "1",
]


def curve(folder: Path) -> list[list[str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("training") / "run"
    options = ["--steps", "60", "--drip-start", "40", "--drip-threshold", "9", "--learning-rate", "0.01", "--json"]
    command = [*RUN, str(PHOTOS / "references"), "-o", str(folder), *QUICK, *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["bundle"] == str(folder / "bundle")
    return folder


def test_training_lowers_the_loss_and_makes_a_bundle(trained: Path) -> None:
    rows = curve(trained)
    assert rows[0] == ["step", "loss", "learning_rate", "classes", "size", "micro_ap"] and len(rows) == 61
    losses = [float(row[1]) for row in rows[1:] if row[3] == rows[1][3]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert float(rows[-1][5]) > 0.2
    assert any((trained / "tensorboard").iterdir())
    engine = Engine(trained / "bundle")
    images = sorted((PHOTOS / "queries").glob("*.jpg"))[:4]
    assert engine.embed(images, role="query").shape == (4, 32)
    manifest = json.loads((trained / "bundle" / "manifest.json").read_text())
    assert manifest["quality"]["float32_min_cosine_to_torch"] >= 0.9999
    assert manifest["normalisation"]["method"] in (1, 2) and manifest["quality"]["validation"]


def test_the_drip_step_is_no_jump(trained: Path) -> None:
    """Twice the classes are more to confuse a picture with; the paper's method lets the loss on old classes start low all the
    same.
    """
    with (trained / "drip.csv").open(newline="") as file:
        steps = list(csv.DictReader(file))
    assert steps and int(steps[0]["old_classes"]) == 40 and int(steps[0]["new_classes"]) == 80
    untrained = float(curve(trained)[1][1])
    for step in steps:
        assert float(step["loss_after"]) < 0.8 * untrained


def test_a_killed_run_goes_on_with_the_same_curve(trained: Path, tmp_path: Path) -> None:
    options = ["--steps", "60", "--drip-start", "40", "--drip-threshold", "9", "--learning-rate", "0.01"]
    command = [*RUN, str(PHOTOS / "references"), "-o", str(tmp_path / "run"), *QUICK, *options]
    for step in (12, 34):
        process = subprocess.Popen([*command, "--resume"], stderr=subprocess.DEVNULL)
        log = tmp_path / "run" / "log.csv"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (tmp_path / "run" / "checkpoint.pt").exists() and len(log.read_text().splitlines()) > step:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert curve(tmp_path / "run") == curve(trained)
    hashes = [json.loads((f / "bundle" / "manifest.json").read_text())["sha256"] for f in (trained, tmp_path / "run")]
    assert hashes[0]["projection.npz"] == hashes[1]["projection.npz"] and hashes[0]["bank.npy"] == hashes[1]["bank.npy"]


def copytrace(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *map(str, words)], capture_output=True, text=True)


def test_parts_of_a_bundle_are_fitted_anew(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "bundle", tmp_path / "b")
    old = Bundle(tmp_path / "b")
    result = copytrace(
        "fit-projection", tmp_path / "b", PHOTOS / "references", "--dimension", "16", "--bank-rows", "150"
    )
    assert result.returncode == 0, result.stderr
    fitted = Bundle(tmp_path / "b")
    assert fitted.projection.components.shape == (16, 32) and fitted.bank.shape == (150, 16)
    raw = Engine(tmp_path / "b", precision="float32").embed_source(
        PHOTOS / "references", tmp_path / "raw.h5", output="raw"
    )
    assert raw.embedded == 200
    with open_descriptors(tmp_path / "raw.h5") as file:
        expected = fit_pca(file.descriptors[:], 16)
    np.testing.assert_allclose(fitted.projection.eigenvalues, expected[2], rtol=1e-3)

    result = copytrace("fit-bank", tmp_path / "b", PHOTOS / "queries", "--rows", "90")
    assert result.returncode == 0, result.stderr
    assert len(Bundle(tmp_path / "b").bank) == 90
    assert (Bundle(tmp_path / "b").projection.mean == fitted.projection.mean).all()

    (tmp_path / "pair").mkdir()
    for name in ("references", "queries", "truth.csv"):
        (tmp_path / "pair" / name).symlink_to(PHOTOS / name)
    result = copytrace("tune", tmp_path / "b", tmp_path / "pair", "--json")
    assert result.returncode == 0, result.stderr
    tried = json.loads(result.stdout)["quality"]["validation"]
    how = Bundle(tmp_path / "b").normalisation()
    assert tried[f"method {how.method}, beta {how.beta:g}, {how.cosines} cosines"] == max(
        value for key, value in tried.items() if key != "projected"
    )
    assert old.network("float32").path.name == "float32.onnx"


def test_runs_are_combined(trained: Path, tmp_path: Path) -> None:
    photos, image = PHOTOS / "references", [PHOTOS / "queries" / "Q00000.jpg"]
    larger = ["--frozen", "--size", "96", "--dimension", "16", "--views", "2", "--start", "whitening", "--steps", "0"]
    assert copytrace(photos, "-o", tmp_path / "larger", *larger, "--objective", "infonce").returncode == 0
    result = copytrace("combine", trained, tmp_path / "larger", "--photos", photos, "-o", tmp_path / "both")
    assert result.returncode == 0, result.stderr
    both = Engine(tmp_path / "both", precision="float32").embed(image, output="raw")
    alone = Engine(tmp_path / "larger" / "bundle", precision="float32").embed(image, output="raw")
    assert both.shape == (1, 48) and Engine(tmp_path / "both").dimension == 48
    np.testing.assert_allclose(both[:, 32:], alone, atol=1e-4)
    small = Engine(trained / "bundle", precision="float32").embed(image, output="raw")
    assert float((both[:, :32] * small).sum()) > 0.9  # its pixels were reduced from the larger size


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    options = [
        "--whole",
        "--backbone",
        "convnext_atto",
        "--weights",
        "none",
        "--size",
        "64",
        "--dimension",
        "16",
        "--batch",
        "8",
    ]
    options += ["--objective", "infonce", "--steps", "3", "--warmup", "0", "--hold-back", "0", "--not-whitened"]
    assert copytrace(PHOTOS / "references", "-o", tmp_path / "one", *options).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*torchrun, *RUN, str(PHOTOS / "references"), "-o", str(tmp_path / "two"), *options]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    one, two = ([float(row[1]) for row in curve(tmp_path / name)[1:]] for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-3)
    assert Engine(tmp_path / "two" / "bundle").dimension == 16


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
@pytest.mark.parametrize("objective", ["arcface", "infonce"])
def test_whole_networks_train_on_a_gpu(tmp_path: Path, amp: str, objective: str) -> None:
    options = [
        "--whole",
        "--size",
        "64",
        "--dimension",
        "32",
        "--batch",
        "32",
        "--steps",
        "30",
        "--warmup",
        "0",
        "--amp",
        amp,
    ]
    result = copytrace(PHOTOS / "references", "-o", tmp_path / "run", *options, "--objective", objective)
    assert result.returncode == 0, result.stderr
    losses = [float(row[1]) for row in curve(tmp_path / "run")[1:]]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert Engine(tmp_path / "run" / "bundle").dimension == 32


def test_a_whole_network_trains_and_grows(tmp_path: Path) -> None:
    options = [
        "--whole",
        "--taps",
        "",
        "--size",
        "64",
        "--first-size",
        "32",
        "--dimension",
        "16",
        "--batch",
        "8",
        "--steps",
        "6",
    ]
    options += [
        "--drip-start",
        "20",
        "--drip-threshold",
        "99",
        "--hold-back",
        "0",
        "--workers",
        "1",
        "--schedule",
        "plateau",
    ]
    result = copytrace(PHOTOS / "references", "-o", tmp_path / "run", *options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "batch.png").exists()
    sizes = [int(row[4]) for row in curve(tmp_path / "run")[1:]]
    assert sizes[0] == 32 and sizes[-1] == 64
    p = trained_network(tmp_path / "run")[0].trunk.pools[0].p
    assert p.requires_grad and p.item() != 3.0


def test_a_full_disk_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: Full())
    with pytest.raises(StoreError, match=r"checkpoint\.pt: cannot be written: No space left"):
        save_checkpoint(tmp_path / "checkpoint.pt", 3, {"head": Head(400, 400)})
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    (tmp_path / "checkpoint.pt").write_bytes(b"not one")
    with pytest.raises(ResumeError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_wrong_input_ends_in_one_line(trained: Path, tmp_path: Path) -> None:
    photos = PHOTOS / "references"
    cases = (
        ([tmp_path / "none", "-o", tmp_path / "r"], "no such file"),
        ([photos, "-o", trained, *QUICK], "--resume"),
        ([photos, "-o", trained, *QUICK, "--resume", "--steps", "61"], "steps"),
        ([PHOTOS / "queries", "-o", trained, *QUICK, "--resume", "--steps", "60"], "photographs"),
        ([photos, "-o", tmp_path / "r", "--backbone", "nothing", "--steps", "1"], "nothing"),
        ([photos, "-o", tmp_path / "s", "--taps", "blocks.99", "--steps", "1"], "blocks.99"),
        ([photos, "-o", tmp_path / "t", "--frozen", "--features", trained / "features", "--size", "96"], "size"),
        ([photos, "-o", tmp_path / "w", "--dimension", "0", "--steps", "0"], "256 photographs"),
        ([photos, "-o", tmp_path / "x", "--whitened"], "256 photographs"),
        ([photos, "-o", tmp_path / "y", "--dimension", "0"], "--steps 0"),
        (["combine", tmp_path, "--photos", photos, "-o", tmp_path / "u"], "no run"),
    )
    for words, expected in cases:
        result = copytrace(*words)
        lines = [line for line in result.stderr.splitlines() if line]
        assert result.returncode == 1 and expected in lines[-1] and lines[-1].startswith("error: "), result.stderr
        assert "Traceback" not in result.stderr
    assert copytrace(photos, "-o", tmp_path / "v", "--objective", "magic").returncode == 2
