"""The triplet loss and its memory against plain loops over numpy arrays, and a killed run whose memory goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from copytrace.engine import CopytraceError
from copytrace.train.data.batches import FeatureBatches
from copytrace.train.loop.optimisers import Optimisers
from copytrace.train.loop.run_log import RunLog
from copytrace.train.loop.task import Task
from copytrace.train.loop.trainer import Trainer
from copytrace.train.models.network import Head
from copytrace.train.objectives.objective import Objective
from copytrace.train.objectives.triplet import Memory, TripletObjective, triplet_loss
from copytrace.train.settings import Settings


def mined(anchors, classes, others, theirs, margin, own) -> list[tuple[int, int, int, float]]:
    """(a, p, n, loss) of all hard and semi-hard triplets."""
    found = []
    for a in range(len(anchors)):
        distance = [float(np.sqrt(((anchors[a] - row) ** 2).sum())) for row in others]
        for p in range(len(others)):
            for n in range(len(others)):
                if p == own[a] or theirs[p] != classes[a] or theirs[n] == classes[a] or theirs[n] < 0:
                    continue
                hard = distance[n] < distance[p]
                semi_hard = distance[p] <= distance[n] < distance[p] + margin
                if hard or semi_hard:
                    found.append((a, p, n, distance[p] - distance[n] + margin))
    return found


def mean_loss(*arguments) -> float:
    found = mined(*arguments)
    return float(np.mean([loss for *_, loss in found])) if found else 0.0


@pytest.mark.parametrize("margin", [0.05, 0.4, 1.5])
def test_the_loss_is_the_mean_over_hard_and_semi_hard_triplets(margin: float) -> None:
    rng = np.random.default_rng(3)
    for count, classes_there in ((8, 4), (13, 3), (6, 6)):
        rows = rng.standard_normal((count, 5))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        classes = rng.integers(0, classes_there, count)
        own = np.arange(count)
        expected = mean_loss(rows, classes, rows, classes, margin, own)
        given = torch.from_numpy(rows), torch.from_numpy(classes)
        assert float(triplet_loss(*given, *given, margin, torch.from_numpy(own))) == pytest.approx(expected, abs=1e-5)


def test_what_is_mined() -> None:
    anchor, positive = [0.0], [1.0]
    kinds = {"hard": 0.5, "semi-hard": 1.2, "easy": 1.6}
    for kind, place in kinds.items():
        others = torch.tensor([anchor, positive, [place]])
        loss = triplet_loss(
            torch.tensor([anchor]), torch.tensor([0]), others, torch.tensor([0, 0, 1]), 0.5, torch.tensor([0])
        )
        assert float(loss) == pytest.approx(0.0 if kind == "easy" else 1.0 - place + 0.5, abs=1e-6), kind


def test_equal_rows_leave_gradients_finite_and_no_triplet_is_no_loss() -> None:
    rows = torch.ones(4, 3, requires_grad=True)
    classes, own = torch.tensor([0, 0, 1, 1]), torch.arange(4)
    triplet_loss(rows, classes, rows, classes, 0.4, own).backward()
    assert torch.isfinite(rows.grad).all()
    alone = torch.eye(3, requires_grad=True)
    loss = triplet_loss(alone, torch.arange(3), alone, torch.arange(3), 0.4, torch.arange(3))
    loss.backward()
    assert loss.item() == 0.0 and float(alone.grad.abs().sum()) == 0.0


def test_the_memory_is_a_queue_of_the_latest_rows() -> None:
    memory, came = Memory(7, 2), []
    for step in range(6):
        rows = torch.full((3, 2), float(step)) + torch.arange(3)[:, None] / 10
        places = memory.add(rows, torch.full((3,), step))
        came += [(step, tuple(row)) for row in rows.tolist()]
        assert torch.equal(memory.rows[places], rows)
        held = {(int(c), tuple(r)) for c, r in zip(memory.classes, memory.rows.tolist(), strict=True) if c >= 0}
        assert held == set(came[-7:])


def test_the_cross_batch_form_is_the_batch_and_the_latest_rows_of_all_steps() -> None:
    rng = np.random.default_rng(5)
    objective = TripletObjective(torch.nn.Identity(), dimension=4, margin=0.6, memory=20)
    objective.train()
    rows, classes = np.zeros((0, 4)), np.zeros(0, int)
    for _ in range(5):
        batch = rng.standard_normal((8, 4)).astype(np.float32)
        labels = rng.integers(0, 9, 4).repeat(2)
        rows, classes = np.concatenate([rows, batch])[-20:], np.concatenate([classes, labels])[-20:]
        own = np.arange(len(rows) - 8, len(rows))
        expected = mean_loss(batch, labels, batch, labels, 0.6, np.arange(8))
        expected += mean_loss(batch, labels, rows, classes, 0.6, own)
        inputs = torch.from_numpy(batch).requires_grad_()
        loss = objective(inputs, torch.from_numpy(labels))
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-4) and torch.isfinite(inputs.grad).all()
    before = objective.memory.rows.clone()
    objective.eval()
    objective(torch.from_numpy(batch), torch.from_numpy(labels))
    assert torch.equal(objective.memory.rows, before)


SETTINGS = Settings(
    frozen=True,
    objective="triplet",
    memory=40,
    margin=1.0,
    batch=8,
    steps=16,
    warmup=0,
    learning_rate=0.003,
    weight_decay=0.01,
    checkpoint_every=5,
    validate_every=0,
)


def train(folder: Path, killed_at: int | None = None) -> list[str]:
    """The lines of a run's log; killed_at: the step at which it ends all of a sudden."""
    SETTINGS.check()
    features = np.random.default_rng(0).standard_normal((30, 4, 12)).astype(np.float16)
    features += 2 * features[:, :1]
    torch.manual_seed(0)
    objective = TripletObjective(Head(12, 8), dimension=8, margin=1.0, memory=40)
    make = lambda classes: FeatureBatches(features, 16, 8, 2, 0, classes)  # noqa: E731
    trainer = Trainer(Task(objective, 30, make, lambda classes: torch.zeros(0), None), folder, SETTINGS)
    if killed_at is not None:
        observe = trainer.drip.observe

        def kill(loss: float) -> bool:
            if trainer.step == killed_at:
                raise KeyboardInterrupt
            return observe(loss)

        trainer.drip.observe = kill  # type: ignore[method-assign]
    with RunLog(folder, trainer.step, 16, lambda text: None) as log:
        trainer.run(log)
    return (folder / "log.csv").read_text().splitlines()


def test_a_killed_run_goes_on_with_its_memory(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = train(tmp_path / "whole")
    for step in (4, 12):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", step)
    assert train(tmp_path / "killed") == whole
    assert len(whole) == 17


def test_training_leaves_fewer_triplets_to_mine() -> None:
    torch.manual_seed(0)
    head = Head(12, 8)
    objective = TripletObjective(head, dimension=8, margin=0.4, memory=80)
    optimisers = Optimisers(objective, Settings(learning_rate=0.01, warmup=0, steps=60), torch.device("cpu"))
    base, classes = torch.rand(20, 12), torch.arange(20).repeat_interleave(2)

    def to_mine() -> int:
        rows, own = head(base[classes] + 0.2 * torch.randn(40, 12)).detach().numpy(), np.arange(40)
        return len(mined(rows, classes.numpy(), rows, classes.numpy(), 0.4, own))

    before = to_mine()
    for _ in range(60):
        optimisers.step(objective(base[classes] + 0.2 * torch.randn(40, 12), classes))
        optimisers.schedule(0.0)
    assert to_mine() < 0.7 * before


def test_adamw_is_its_formula() -> None:
    parameter = torch.nn.Parameter(torch.tensor([2.0, -3.0]))
    model = Objective(torch.nn.Module())
    model.weight = parameter
    settings = Settings(learning_rate=0.1, weight_decay=0.2, warmup=0, clip=0, steps=10, schedule="cosine")
    Optimisers(model, settings, torch.device("cpu")).step((parameter * torch.tensor([1.0, -4.0])).sum())
    expected = torch.tensor([2.0, -3.0]) * (1 - 0.1 * 0.2) - 0.1 * torch.tensor([1.0, -1.0])
    torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"memory": 15}, "--memory"),
        ({"objective": "infonce"}, "--memory"),
        ({"memory": 0, "views": 1}, "--views"),
        ({"memory": 0, "pairs": "x"}, "--whole"),
        ({"memory": 0, "pairs": "x", "frozen": False, "objective": "arcface"}, "--pairs"),
        ({"memory": 0, "objective": "arcface", "drip_steps": (5, 5)}, "--drip-steps"),
        ({"memory": 0, "objective": "arcface", "drip_steps": (5,), "drip_start": 5}, "--drip-start"),
        ({"drip_steps": (5,)}, "arcface"),
        ({"taps": ("a",), "last_blocks": 4}, "--last-blocks"),
    ],
)
def test_what_cannot_go_together_is_refused(wrong: dict, said: str) -> None:
    with pytest.raises(CopytraceError, match=said):
        Settings(**SETTINGS.to_dict() | {"taps": (), "drip_steps": ()} | wrong).check()
