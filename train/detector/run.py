"""A run that trains a detector: photographs in, a folder with scenes, checkpoint, log and ``detector.int8.onnx`` out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from copytrace.engine import SourceError

from ..data.batches import places_of_step
from ..data.photographs import Photographs
from ..loop.processes import rank_and_world
from ..loop.run_folder import claim
from ..loop.run_log import RunLog, Say
from ..loop.task import Task
from ..loop.trainer import Trainer
from ..models.backbones import LITE0, create_backbone
from ..models.build import make_trunk
from ..models.folded import FoldedTrunk, bfloat16_is_fast
from ..run import MOST_HELD_BACK, origin
from ..settings import Settings
from .finish import export
from .network import TAPS, DetectorNetwork
from .objective import DetectionObjective
from .scene_files import FOLDER, SceneFiles
from .settings import DetectorSettings

HELD_BACK, HELD_BACK_SCENES = "held-back", 400
FROZEN_BLOCKS = 3
"""The stem and the first blocks, up to stride 4, stay as ImageNet has made them: a step takes two thirds of the time."""


class SceneBatches(Dataset):
    """Step -> (pixels uint8 [B, S, S, 3], boxes float32 [B, K, 4]); a scene is mirrored and turned anew every time."""

    def __init__(self, scenes: SceneFiles, settings: Settings) -> None:
        self.scenes, self.settings = scenes, settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        batch, seed = self.settings.batch, self.settings.seed
        places = places_of_step(step, len(self.scenes), batch, seed)
        turns = np.random.default_rng([seed, step]).random((batch, 3)) < (0.5, 0.1, 0.1)
        pictures, boxes = zip(*(self._turned(p, *t) for p, t in zip(places, turns.tolist(), strict=True)), strict=True)
        return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(boxes))

    def _turned(self, place: int, mirrored: bool, upside_down: bool, transposed: bool):
        scene = self.scenes[place]
        pixels, boxes = scene.pixels, scene.boxes
        if mirrored:
            pixels, boxes = (
                pixels[:, ::-1],
                np.float32([1, 0, 1, 0]) + np.float32([-1, 1, -1, 1]) * boxes[:, [2, 1, 0, 3]],
            )
        if upside_down:
            pixels, boxes = pixels[::-1], np.float32([0, 1, 0, 1]) + np.float32([1, -1, 1, -1]) * boxes[:, [0, 3, 2, 1]]
        if transposed:
            pixels, boxes = pixels.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
        return pixels, boxes


def build_network(settings: Settings) -> DetectorNetwork:
    """The network as it is before training."""
    torch.manual_seed(settings.seed)
    backbone, scale = create_backbone(settings.backbone, settings.weights)
    trunk: Any = make_trunk(backbone, scale, settings)
    with torch.no_grad():
        widths = tuple(x.shape[1] for x in trunk.maps(torch.zeros((1, 64, 64, 3), dtype=torch.uint8)))
    plain: Any = backbone
    blocks = [block for stage in plain.blocks for block in stage]
    beginning = [plain.conv_stem, plain.bn1, *blocks[:FROZEN_BLOCKS]]
    if settings.folded:
        trunk = FoldedTrunk(trunk, torch.bfloat16 if bfloat16_is_fast() else torch.float32)
        beginning = [trunk.stem, *trunk.blocks[:FROZEN_BLOCKS]]
    for part in beginning:
        part.requires_grad_(False)
    return DetectorNetwork(trunk, widths)


def exportable(network: DetectorNetwork) -> DetectorNetwork:
    """The same with its trunk as timm has it."""
    trunk: Any = network.trunk
    network.trunk = trunk.unfold() if isinstance(trunk, FoldedTrunk) else trunk
    return network.cpu().eval()


def detector_settings(**given: object) -> DetectorSettings:
    """Those of a run; what is not given, and has no place in :data:`.settings.OPTIONS`, is as it always is."""
    fixed = {"backbone": LITE0, "taps": TAPS, "folded": not torch.cuda.is_available()}
    return DetectorSettings(**fixed | given)


def train(
    roots: Sequence[Path],
    folder: Path,
    settings: DetectorSettings,
    count: int,
    say: Say,
    *,
    scenes: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train on ``count`` scenes made of photographs into ``folder``; goes on from a checkpoint that is there.

    scenes: where they are kept, which runs may share (default: in ``folder``).
    Returns: figures on scenes of photographs held back. Raises: SourceError, StoreError, ResumeError, CopytraceError.
    """
    settings.check(rank_and_world()[1])
    everything = Photographs(roots, settings.seed)
    photographs, held = everything.split(min(MOST_HELD_BACK, max(2, round(settings.hold_back * len(everything)))))
    if len(photographs) < 2:
        raise SourceError("training needs four photographs or more, two of them to be held back")
    claim(folder, settings, everything, resume)
    place, how = scenes or folder / FOLDER, (settings.size, settings.seed)
    made = SceneFiles(place, photographs, count, *how, lambda done, total: say(f"scenes {done}/{total}"))
    measured = SceneFiles(place / HELD_BACK, held, min(count, HELD_BACK_SCENES), *how)
    network = build_network(settings)
    batches = SceneBatches(made, settings)
    task = Task(DetectionObjective(network), len(made), lambda classes: batches, _no_classes, None)
    trainer = Trainer(task, folder, settings)
    with RunLog(folder, trainer.step, settings.steps, say) as log:
        trainer.run(log)
    say("exporting")
    told = origin(settings, roots, len(photographs)) | {"made_by": "copytrace train detector", "scenes": count}
    return export(exportable(network), folder, settings.size, made, measured, told)


def _no_classes(classes: list[int]) -> Tensor:
    raise AssertionError("a detector has no classes whose centres could be rebuilt")
