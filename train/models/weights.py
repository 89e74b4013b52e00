"""Weights from a file: a backbone's own state dict, or a published self-supervised checkpoint (DINO's, EsViT's).

Such a checkpoint is a dict with the networks ``teacher`` and ``student``, whose names begin with ``module.`` and ``backbone.``
and which have projection heads besides the backbone. EsViT's Swin transformers have the reduction between two stages at the
end of the first (``layers.0.downsample``), timm's at the beginning of the second (``layers.1.downsample``). Nothing is
unpickled but tensors and plain values. Sources: the public code of DINO (Caron et al. 2021), of EsViT (Li et al. 2022).
"""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copytrace.engine import CopytraceError

_NETWORKS = ("teacher", "student", "model", "state_dict")  # in a checkpoint; the teacher is what both papers evaluate
_WRAPPERS = re.compile(r"^(module\.|backbone\.)+")
_HEADS = ("head", "head_dense", "fc")
_DERIVED = re.compile(
    r"(relative_position_index|attn_mask|num_batches_tracked)$"
)  # follow from the architecture, or unused
_SHOWN = 3


def load_weights_file(backbone: nn.Module, path: Path) -> None:
    """Give a timm model without classifier the weights in a file.

    Raises: CopytraceError, in one line, for what is no state dict, and for names that are unknown or missing and shapes that
    differ; nothing is loaded then.
    """
    state = timm_names(_read(path), backbone)
    wanted = {name: value for name, value in backbone.state_dict().items() if not _DERIVED.search(name)}
    shapes = [
        f"{name} {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    wrong = {
        "unknown": [name for name in state if name not in wanted and not _DERIVED.search(name)],
        "missing": [name for name in wanted if name not in state],
        "of another shape": shapes,
    }
    if said := [f"{kind}: {_first(names)}" for kind, names in wrong.items() if names]:
        raise CopytraceError(f"{path}: not weights of this backbone; {'; '.join(said)}")
    backbone.load_state_dict(state, strict=False)


def timm_names(state: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by the names that timm has for the backbone's; heads and what can be derived are left out."""
    heads = {*_HEADS, *_classifiers(backbone)}
    named = {_WRAPPERS.sub("", name): value for name, value in state.items()}
    if any(name.startswith("layers.0.downsample.") for name in named):
        named = {re.sub(r"^layers\.(\d+)\.downsample", _next_stage, name): value for name, value in named.items()}
    own = backbone.state_dict()
    return {
        name: value
        for name, value in named.items()
        if name in own or not (_DERIVED.search(name) or any(name.startswith(f"{head}.") for head in heads))
    }


def _next_stage(match: re.Match[str]) -> str:
    return f"layers.{int(match[1]) + 1}.downsample"


def _classifiers(backbone: Any) -> tuple[str, ...]:
    names = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of the network in a file."""
    try:
        with torch.serialization.safe_globals([Namespace]):  # DINO and EsViT keep their command line beside the weights
            state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise CopytraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # pickle's own and zip's, for whatever is no checkpoint
        raise CopytraceError(f"{path}: not a state dict: {type(error).__name__}") from None
    if isinstance(state, Mapping):
        state = next((state[key] for key in _NETWORKS if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CopytraceError(f"{path}: not a state dict: it does not hold tensors by name")
    return state
