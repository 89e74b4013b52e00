"""Training: heads and losses against plain formulas, drip training, schedules, the loop, and the verbs."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from copytrace.engine import SourceError
from copytrace.train.data.batches import FeatureBatches, in_batches, places_of_step
from copytrace.train.data.photographs import Photographs
from copytrace.train.data.progressive import Progressive
from copytrace.train.data.validation import folder_pair, held_back
from copytrace.train.data.views import attacked_view
from copytrace.train.loop.drip import Drip, centre, rebuild_centres
from copytrace.train.loop.optimisers import Optimisers
from copytrace.train.loop.run_log import RunLog
from copytrace.train.loop.schedule import MeanPlateau, warmup_cosine
from copytrace.train.loop.task import Task
from copytrace.train.loop.trainer import Trainer
from copytrace.train.models.network import DescriptorNetwork, Head, PixelScale, Trunk
from copytrace.train.models.projection import learned_whitening
from copytrace.train.objectives import arcface as arcface_module
from copytrace.train.objectives.arcface import ArcFace, ArcFaceObjective, arcface_logits, memory_bytes
from copytrace.train.objectives.contrastive import ContrastiveObjective, info_nce, koleo, mix, same_picture
from copytrace.train.objectives.objective import Objective
from copytrace.train.settings import Settings

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
    assert DescriptorNetwork(tapped, head)(pixels).shape == (2, 6)


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


class Nearness(Objective):
    """An objective that no part of the loop knows: each class's row of a table is drawn to the class's embedding."""

    def set_classes(self, classes: int, centres: torch.Tensor | None = None) -> None:
        self.table = torch.nn.Embedding(classes, 8, sparse=True)

    def sparse_parameters(self) -> list[torch.nn.Parameter]:
        return [self.table.weight]

    def forward(self, inputs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return (self.table(classes) - self.network(inputs)).square().mean()


def test_the_loop_asks_any_objective_the_same(tmp_path: Path) -> None:
    settings = Settings(batch=4, steps=30, learning_rate=0.05, warmup=0, checkpoint_every=10, clip=0)
    features = np.random.default_rng(0).random((12, 1, 6)).astype(np.float16)

    def trained(steps: int) -> list[float]:
        objective = Nearness(Head(6, 8))
        task = Task(
            objective, 12, lambda c: FeatureBatches(features, steps, 4, objective.views, 0, c), torch.zeros, None
        )
        trainer = Trainer(task, tmp_path, replace(settings, steps=steps))
        assert len(objective.table.weight) == 12
        with RunLog(tmp_path, trainer.step, steps, print) as log:
            trainer.run(log)
        return [float(row["loss"]) for row in csv.DictReader((tmp_path / "log.csv").open())]

    trained(10)  # ends with a checkpoint, from which the next goes on
    losses = trained(30)
    assert len(losses) == 30 and np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
