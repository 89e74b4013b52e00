"""Schedules of the learning rate."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


def warmup_cosine(optimizer: Optimizer, warmup: int, steps: int, floor: float = 0.0) -> LambdaLR:
    """Linear from 0 to the full rate over ``warmup`` steps, then half a cosine down to ``floor`` of it at ``steps``."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def constant_with_tail(optimizer: Optimizer, warmup: int, steps: int, tail: float = 0.35) -> LambdaLR:
    """Linear from 0 to the full rate over ``warmup`` steps, constant, then linear down to 0 over the last ``tail`` of them."""

    def factor(step: int) -> float:
        return min((step + 1) / max(1, warmup), 1.0, (steps - step) / max(1.0, tail * steps))

    return LambdaLR(optimizer, factor)


class MeanPlateau:
    """ReduceLROnPlateau, told the mean loss of every ``window`` steps instead of every noisy one."""

    def __init__(self, optimizer: Optimizer, window: int, factor: float = 0.5, patience: int = 3) -> None:
        self.inner = ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
        self.window = window
        self._losses: list[float] = []

    def step(self, loss: float) -> None:
        self._losses.append(loss)
        if len(self._losses) == self.window:
            self.inner.step(sum(self._losses) / self.window)
            self._losses.clear()

    def state_dict(self) -> dict[str, object]:
        return {"inner": self.inner.state_dict(), "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.inner.load_state_dict(state["inner"])
        self._losses = list(state["losses"])
