"""AdamW with a learning-rate schedule, mixed precision and gradient clipping; sparse Adam for sampled centres."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer, SparseAdam

from ..objectives.objective import Objective
from ..settings import Settings
from .schedule import MeanPlateau, constant_with_tail, warmup_cosine


class Optimisers:
    """One for all dense parameters, one more for centres whose gradients are sparse; both follow one schedule."""

    def __init__(self, objective: Objective, settings: Settings, device: torch.device) -> None:
        sparse = objective.sparse_parameters()
        self._dense = [
            p for p in objective.parameters() if p.requires_grad and not any(p is centres for centres in sparse)
        ]
        # Without weight decay this is Adam.
        how = {"lr": settings.learning_rate, "betas": (0.9, settings.beta2), "weight_decay": settings.weight_decay}
        self._all: list[Optimizer] = [AdamW(self._dense, **how)]
        self._all += [SparseAdam(sparse, settings.learning_rate)] if sparse else []
        if settings.schedule == "plateau":
            self._schedules: list[Any] = [MeanPlateau(o, window=50) for o in self._all]
        else:
            shape = warmup_cosine if settings.schedule == "cosine" else constant_with_tail
            self._schedules = [shape(o, settings.warmup, settings.steps) for o in self._all]
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.amp == "float16")
        self._clip = settings.clip

    @property
    def rate(self) -> float:
        return float(self._all[0].param_groups[0]["lr"])

    def step(self, loss: Tensor) -> None:
        """Backward, unscale, clip, update, and zero the gradients."""
        self._scaler.scale(loss).backward()
        for optimiser in self._all:
            self._scaler.unscale_(optimiser)
        if self._clip:
            nn.utils.clip_grad_norm_(self._dense, self._clip)
        for optimiser in self._all:
            self._scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self._scaler.update()

    def schedule(self, loss: float) -> None:
        """Move the learning rate on; the plateau wants to know the loss."""
        for schedule in self._schedules:
            if isinstance(schedule, MeanPlateau):
                schedule.step(loss)
            else:
                schedule.step()

    def continue_from(self, other: "Optimisers") -> None:
        """Take over the learning rate and its schedule, but no moments: for a network whose centres are new."""
        for mine, theirs in zip(self._schedules, other._schedules, strict=True):
            mine.load_state_dict(theirs.state_dict())
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = other.rate

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimisers": [o.state_dict() for o in self._all],
            "schedules": [s.state_dict() for s in self._schedules],
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, saved in zip(self._all, state["optimisers"], strict=True):
            mine.load_state_dict(saved)
        for mine, saved in zip(self._schedules, state["schedules"], strict=True):
            mine.load_state_dict(saved)
        self._scaler.load_state_dict(state["scaler"])
