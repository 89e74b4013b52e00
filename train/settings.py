"""Everything that decides what a training run does."""
# ruff: noqa: RUF009  # option() gives a dataclass's field

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from copytrace.engine import CopytraceError

from .option import check_bounds, option

Objective = Literal["arcface", "infonce", "triplet"]
Pooling = Literal["gem", "average"]
Schedule = Literal["cosine", "plateau", "tail"]
Amp = Literal["off", "bfloat16", "float16"]
Start = Literal["random", "whitening"]
AttackSet = Literal["isc2021", "wide", "both"]


TAPS = {
    "tf_efficientnet_lite0": tuple(
        f"blocks.{name}.bn2" for name in ("2.1", "3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "5.0")
    )
}
"""Where backbones are looked at by default: for Lite0 the depthwise convolutions in the middle; for others their last map."""


@dataclass(frozen=True)
class Settings:
    """A run is a function of these and its photographs. Sizes in pixels, lengths in steps, batches in photographs.

    Every field is an option of ``train run`` too, some are of ``train detector`` (see :mod:`.verbs.generated`): this is where
    they are declared.
    """

    backbone: str = option("tf_efficientnet_lite0", "Any of timm's.")
    weights: str = option("imagenet", "imagenet, none, or a file: a state dict, or a checkpoint of DINO's or EsViT's.")
    initial: str = option(
        "", "Whole: folder of a run; training begins with its network, head and all, instead of --weights."
    )
    taps: tuple[str, ...] = option(
        (), 'Modules whose outputs are pooled, with commas; "": the last map.', decided="by backbone"
    )
    last_blocks: int = option(0, "Pool this many of the backbone's last blocks, instead of --taps.", least=0)
    pooling: Pooling = option("gem", "Of each map.")
    power: float = option(3.0, "Of GeM pooling, learnt unless frozen.", least=1)
    cell: int = option(1, "Pool the maxima of cells of this side.", least=1)
    size: int = option(224, "Side of the input, pixels.", least=32)
    dimension: int = option(256, "Of the embeddings; 0: the pooled features, no head.", least=0)
    frozen: bool = option(
        False,
        "A head on features computed once, or all.",
        flags="--frozen/--whole",
        decided="frozen without a GPU",
    )
    views: int = option(5, "Frozen, or for whitening: views of every photograph, the first without attacks.", least=1)
    start: Start = option("random", "Where the head begins.")
    start_photographs: int = option(4000, "Whole: photographs from which whitening is learnt.", least=2)
    folded: bool = option(
        False,
        "Whole: the fast step for CPUs.",
        flags="--folded/--plain",
        decided="where processor and network allow it",
    )
    objective: Objective = option("arcface", "What is learnt.")
    temperature: float = option(0.05, "Of InfoNCE.")
    entropy: float = option(1.0, "Weight of the entropy term.")
    mixed: float = option(0.0, "InfoNCE: share of rows that mix two photographs.", least=0, most=1)
    memory: int = option(0, "Triplet: rows of earlier steps to compare with (XBM); 0: none.", least=0)
    pairs: str = option("", "Whole: a folder with references/, queries/ and truth.csv to train on as they are.")
    margin: float = option(0.4, "Of ArcFace, radians; of triplets, Euclidean distance.")
    scale: float = option(40.0, "Of ArcFace.")
    share: float = option(1.0, "ArcFace: share of classes compared with at a step.", least=0, most=1)
    classes: int = option(0, "Photographs trained on, at most; 0: all.", least=0)
    drip_start: int = option(0, "ArcFace: classes in the beginning, to be doubled; 0: all.", least=0)
    drip_steps: tuple[int, ...] = option(
        (), "ArcFace: classes at every step but the last, with commas, instead of doubling."
    )
    drip_threshold: float = option(1.0, "Loss below which there are more classes.")
    steps: int = option(1000, "0: no training.", least=0)
    batch: int = option(64, "Photographs a step, over all processes.", least=1)
    learning_rate: float = option(1e-3, "At its highest.", least=0)
    schedule: Schedule = option("cosine", "Of the learning rate.")
    warmup: int = option(50, "Steps, for cosine.", least=0)
    clip: float = option(1.0, "Largest norm of the gradient; 0: any.", least=0)
    beta2: float = option(0.999, "Of Adam.", least=0, most=1)
    weight_decay: float = option(0.0, "Of AdamW.", least=0)
    average: float = option(
        0.0, "Share that the weights' moving average keeps at a step; 0: no average.", least=0, most=1
    )
    clean: float = option(0.2, "Share of photographs whose first view is not attacked.", least=0, most=1)
    amp: Amp = option("off", "Mixed precision.")
    attacks: AttackSet = option("both", "Edits of the views.", decided="both, or isc2021 for a head on frozen features")
    first_size: int | None = option(None, "Side of the input in the beginning.", least=1, decided="--size")
    first_intensity: float = option(0.2, "Of attacks in the beginning.", least=0, most=1)
    hold_back: float = option(0.1, "Share kept for validation, at most 4,000 photographs.", least=0, most=0.5)
    validate_every: int = option(500, "Steps; 0: at the end only.", least=0)
    checkpoint_every: int = option(100, "Steps; 0: at the end only.", least=0)
    seed: int = option(0, "Of everything that is drawn.", least=0)

    def check(self, processes: int = 1) -> None:
        """Raises: CopytraceError when one is out of bounds, or two of them cannot go together, and says what would."""
        check_bounds(self)
        idle, drips = self.steps == 0, bool(self.drip_start or self.drip_steps)
        for wrong, cure in (
            (
                self.frozen and processes > 1,
                "a head on frozen features is trained by one process; start it without torchrun",
            ),
            (
                self.share < 1.0 and processes > 1,
                "sampled classes need one process; leave out torchrun, or use --share 1",
            ),
            (self.dimension == 0 and not idle, "--dimension 0 leaves no head to train; use --steps 0"),
            (self.start == "whitening" and self.views < 2, "--start whitening needs --views 2 or more"),
            (bool(self.initial) and self.frozen, "--initial belongs to --whole"),
            (bool(self.initial) and self.start != "random", "--initial brings its own head; leave out --start"),
            (self.folded and self.frozen, "--folded belongs to --whole"),
            (self.folded and self.amp != "off", "--folded chooses its own precision; leave out --amp"),
            (self.start == "whitening" and self.dimension == 0, "--start whitening needs a --dimension"),
            (
                self.objective != "arcface" and self.frozen and self.views < 2 and not idle,
                f"{self.objective} needs --views 2 or more",
            ),
            (drips and self.objective != "arcface", "drip training belongs to --objective arcface"),
            (drips and self.frozen and self.views < 5, "drip training needs --views 5 or more"),
            (self.drip_start > 0 and bool(self.drip_steps), "--drip-start doubles; leave it out, or --drip-steps"),
            (
                any(b <= a for a, b in pairwise((0, *self.drip_steps))),
                "--drip-steps are numbers of classes, each larger than the one before",
            ),
            (bool(self.taps) and self.last_blocks > 0, "--last-blocks are looked at instead of --taps; give one"),
            (0 < self.memory < 2 * self.batch, "--memory must be at least the 2 rows of every photograph of a batch"),
            (self.memory > 0 and self.objective != "triplet", "--memory belongs to --objective triplet"),
            (bool(self.pairs) and self.frozen, "--pairs belongs to --whole"),
            (bool(self.pairs) and self.objective == "arcface", "--pairs needs --objective triplet or infonce"),
            (self.batch < 2 * processes and not idle, "--batch must be at least 2 for every process"),
        ):
            if wrong:
                raise CopytraceError(cure)

    def to_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Settings":
        values = {"attacks": "isc2021"} | values  # runs from before there was a choice
        return Settings(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
