"""The training loop.

Every step is a function of the settings, the photographs and what the checkpoint holds, so that a killed run goes on with the
curve it would have had. ``torchrun`` starts several processes of it, each on its part of every batch.
"""

import math
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from copytrace.engine import CopytraceError

from ..settings import Settings
from .average import WeightAverage
from .checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from .drip import Drip, rebuild_centres
from .optimisers import Optimisers
from .processes import mean_over_processes, rank_and_world, start_processes
from .run_log import RunLog
from .task import Task

_DRIP_BATCHES = 4  # on which the loss is measured before and after the classes are doubled


class Trainer:
    """The state of a run and the steps that change it; :meth:`run` is the loop."""

    def __init__(self, task: Task, folder: Path, settings: Settings, workers: int = 0) -> None:
        self.task, self.settings, self.folder, self.workers = task, settings, folder, workers
        self.device, (self.rank, self.world) = start_processes(), rank_and_world()
        self.step = 0
        first = settings.drip_start or min((task.classes, *settings.drip_steps))
        self.drip = Drip(first, task.classes, settings.drip_threshold, stages=settings.drip_steps)
        state = load_checkpoint(folder / CHECKPOINT)
        if state:
            self.step = state["step"]
            self.drip.load_state_dict(state["parts"]["drip"])
        self._prepare(None)
        self.average = WeightAverage(task.objective.network, settings.average)
        if state:
            task.objective.load_state_dict(state["parts"]["objective"])
            self.optimisers.load_state_dict(state["parts"]["optimisers"])
            self.average.load_state_dict(state["parts"].get("average", {"updates": 0, "kept": []}))

    def run(self, log: RunLog | None) -> None:
        """log: None in all processes but the first."""
        if self.step == 0:
            self.save(log)
        while self.step < self.settings.steps:
            for inputs, classes in self._batches():
                loss = self._train_on(inputs, classes)
                rate, step = self.optimisers.rate, self.step
                self.optimisers.schedule(loss)
                self.average.update()
                self.step += 1
                taught = self.drip.classes
                grown = self.drip.observe(loss)
                score = self._validate() if log else None
                if log:
                    log.step(step, loss, rate, taught, inputs, score)
                if grown:
                    self._grow(taught, log)
                if grown or self._due(self.settings.checkpoint_every):
                    self.save(log)
                if grown:
                    break  # for batches of the new classes
        self.average.apply()

    def save(self, log: RunLog | None) -> None:
        if log:
            log.flush()
            parts = {"objective": self.task.objective, "optimisers": self.optimisers, "drip": self.drip}
            parts |= {"average": self.average}
            save_checkpoint(self.folder / CHECKPOINT, self.step, parts)

    def _validate(self) -> float | None:
        if self.task.validate is None or not self._due(self.settings.validate_every):
            return None
        with self.average.applied():
            return self.task.validate()

    def _due(self, every: int) -> bool:
        return self.step == self.settings.steps or (every > 0 and self.step % every == 0)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """From this step on."""
        loader = DataLoader(
            self.task.make_batches(self.drip.classes),
            batch_size=None,
            sampler=range(self.step, self.settings.steps),
            num_workers=self.workers,
            multiprocessing_context="fork" if self.workers else None,
            worker_init_fn=_leave_signals_alone,
            pin_memory=self.device.type == "cuda",
        )
        return iter(loader)

    def _train_on(self, inputs: Tensor, classes: Tensor) -> float:
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        self.model.train()
        loss = self._loss(inputs, classes)
        value = mean_over_processes(loss.item(), self.device)
        if not math.isfinite(value):
            raise CopytraceError(f"the loss is {value} at step {self.step}; try a lower --learning-rate")
        self.optimisers.step(loss)
        return value

    def _loss(self, inputs: Tensor, classes: Tensor) -> Tensor:
        dtype = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.settings.amp]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            return self.model(inputs.to(self.device, non_blocking=True), classes.to(self.device, non_blocking=True))

    def _prepare(self, centres: Tensor | None) -> None:
        """Model and optimisers for the present number of classes, with these centres or fresh ones."""
        objective = self.task.objective
        objective.set_classes(self.drip.classes, centres)
        objective.to(self.device)
        # Backbones may have layers behind the last tap, or of a classifier, that take no part.
        self.model = DistributedDataParallel(objective, find_unused_parameters=True) if self.world > 1 else objective
        self.optimisers = Optimisers(objective, self.settings, self.device)

    def _grow(self, old: int, log: RunLog | None) -> None:
        """The drip step; the loss on pictures of the old classes is measured before and after."""
        measured = list(islice(self._old_batches(old), _DRIP_BATCHES))
        before = self._mean_loss(measured)
        self.task.objective.eval()
        centres = rebuild_centres(self.task.embed_views, self.drip.classes)
        optimisers = self.optimisers
        self._prepare(centres)
        self.optimisers.continue_from(optimisers)
        after = self._mean_loss(measured)
        if log:
            log.drip(self.step, old, self.drip.classes, before, after)

    def _old_batches(self, classes: int) -> Iterator[tuple[Tensor, Tensor]]:
        dataset = self.task.make_batches(classes)
        return (dataset[step] for step in range(min(self.step, self.settings.steps - 1), self.settings.steps))

    @torch.no_grad()
    def _mean_loss(self, batches: list[tuple[Tensor, Tensor]]) -> float:
        self.model.eval()
        losses = [mean_over_processes(self._loss(*batch).item(), self.device) for batch in batches]
        return sum(losses) / len(losses)


def _leave_signals_alone(worker: int) -> None:
    """Ctrl-C is the main process's business; it stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
