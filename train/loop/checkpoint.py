"""Checkpoints: whole or not there, and everything that the next step depends on is in them."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from copytrace.engine import ResumeError
from copytrace.engine.store.atomic import replacing

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """parts: names -> things with a ``state_dict``. Raises: StoreError when it cannot be written."""
    state = {"step": step, "parts": {name: part.state_dict() for name, part in parts.items()}}
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's for whatever goes wrong, a full disk too
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError(errno.EIO, str(error)) from None


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What was saved last, ``step`` and ``parts``, or None when nothing was.

    Raises: ResumeError when the file is damaged.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        return {"step": int(state["step"]), "parts": dict(state["parts"])}
    except Exception as error:  # pickle's and zip's own
        raise ResumeError(f"{path}: not a checkpoint: {' '.join(str(error).split())[:200]}") from None
