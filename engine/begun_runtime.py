"""The runtime that a run was begun with: where the faster one is chosen, the next start might choose the other."""

from pathlib import Path
from typing import Any

from .infer import Runtime
from .store import Shard, begun_as, read_attributes

_NAMES: dict[str, Runtime] = {"TensorRT": "tensorrt", "ONNX Runtime": "onnxruntime"}
"""How what is written of a runtime begins."""


def begun_runtime(output: Path, shard: Shard | None = None) -> Runtime:
    """What computes on the card in the run to this file, or to the parts in this folder; "auto" where nothing tells.

    A run that is not finished says so in its journal, a file in its attribute. Where a shard is not begun, another is asked:
    parts by different runtimes do not belong together.
    """
    if shard is None:
        return _named(_about(output))
    parts = sorted({path.with_suffix("") if path.suffix == ".partial" else path for path in _parts(output, shard)})
    own = output / shard.file
    return next((_named(about) for path in (own, *parts) if (about := _about(path))), "auto")


def _parts(folder: Path, shard: Shard) -> list[Path]:
    return list(folder.glob(f"part-*-of-{shard.n:05d}.h5*"))


def _about(path: Path) -> dict[str, Any]:
    return begun_as(path) or read_attributes(path) or {}


def _named(about: dict[str, Any]) -> Runtime:
    """ "auto" for networks on the CPU, or on several runtimes."""
    networks = str(about.get("runtime", "")).split("; ")
    found = {name for start, name in _NAMES.items() if any(one.startswith(start) for one in networks)}
    return found.pop() if len(found) == 1 else "auto"
