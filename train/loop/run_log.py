"""What a run writes down: a line per step in ``log.csv``, TensorBoard events, the terminal, a picture of the first batch."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from copytrace.engine.store.atomic import replacing

Say = Callable[[str], None]

_COLUMNS = ("step", "loss", "learning_rate", "classes", "size", "micro_ap")
_TERMINAL_SECONDS = 2.0


class RunLog:
    """Appends to what an earlier part of the same run wrote; steps after the checkpoint it resumes from are written anew."""

    def __init__(self, folder: Path, first_step: int, steps: int, say: Say) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path, self._steps, self._say = folder / "log.csv", steps, say
        rows = _rows_before(self._path, first_step)
        with replacing(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
        self._started, self._first, self._shown = time.perf_counter(), first_step, 0.0

    def step(self, step: int, loss: float, rate: float, classes: int, inputs: Tensor, micro_ap: float | None) -> None:
        """inputs: the step's batch, pictures [N, S, S, 3] or features [N, F]."""
        rows, size = len(inputs), inputs.shape[1] if inputs.dim() == 4 else ""
        values = (step, f"{loss:.6f}", f"{rate:.3e}", classes, size, "" if micro_ap is None else f"{micro_ap:.4f}")
        self._writer.writerow(values)
        self._board.add_scalar("loss", loss, step)
        self._board.add_scalar("learning_rate", rate, step)
        self._board.add_scalar("classes", classes, step)
        if micro_ap is not None:
            self._board.add_scalar("validation/micro_ap", micro_ap, step)
        now = time.perf_counter()
        if now - self._shown >= _TERMINAL_SECONDS or micro_ap is not None or step + 1 == self._steps:
            self._shown = now
            speed = (step + 1 - self._first) * rows / (now - self._started)
            found = "" if micro_ap is None else f", validation micro-AP {micro_ap:.4f}"
            self._say(
                f"step {step + 1}/{self._steps}: loss {loss:.4f}, rate {rate:.2e}, {classes} classes, {speed:.0f} rows/s{found}"
            )

    def drip(self, step: int, old: int, new: int, before: float, after: float) -> None:
        """The loss on pictures of the old classes, before and after the classes grew from ``old`` to ``new``."""
        path = self._path.with_name("drip.csv")
        lines = (
            path.read_text(encoding="utf-8").splitlines()
            if path.exists()
            else ["step,old_classes,new_classes,loss_before,loss_after"]
        )
        kept = [lines[0], *(line for line in lines[1:] if int(line.split(",")[0]) < step)]
        path.write_text("\n".join([*kept, f"{step},{old},{new},{before:.6f},{after:.6f}"]) + "\n", encoding="utf-8")
        self._say(f"drip: {old} -> {new} classes; loss on the old ones {before:.4f} -> {after:.4f}")

    def flush(self) -> None:
        self._file.flush()
        self._board.flush()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._board.close()


def _rows_before(path: Path, step: int) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == len(_COLUMNS) and int(row[0]) < step]


def save_batch_picture(path: Path, pixels: Tensor, views: int, most: int = 32, side: int = 128) -> None:
    """The first pictures of a batch uint8 [N, S, S, 3] on one sheet, the views of a photograph side by side."""
    shown: Any = pixels[: most - most % views].numpy()
    columns = max(views, 8 - 8 % views)
    tiles = [cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA) for tile in shown]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
