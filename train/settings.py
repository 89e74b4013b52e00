"""Everything that decides what a training run does."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from copytrace.engine import CopytraceError

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
    """A run is a function of these and its photographs. Sizes in pixels, lengths in steps, batches in photographs."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "imagenet"
    initial: str = ""  # folder of a run; training begins with its network, head and all, instead of ``weights``
    taps: tuple[str, ...] = ()
    last_blocks: int = 0  # how many of the backbone's last blocks are looked at, instead of taps; 0: those
    pooling: Pooling = "gem"
    power: float = 3.0  # of GeM; learnt unless frozen
    cell: int = 1  # side of the cells whose maxima are pooled
    size: int = 224
    dimension: int = 256  # of the embeddings; 0: the pooled features themselves
    frozen: bool = False
    views: int = 5  # of every photograph whose features are computed, when frozen
    start: Start = "random"  # of the linear layer
    start_photographs: int = 4000  # from which whitening is learnt when the whole network is trained
    folded: bool = False  # the whole network by the fast step of :mod:`.folded`
    objective: Objective = "arcface"
    temperature: float = 0.05
    entropy: float = 1.0
    mixed: float = 0.0  # of a batch's rows
    memory: int = 0  # rows of earlier steps that the triplet loss compares with
    pairs: str = ""  # folder of labelled pairs, which are trained on as they are, instead of attacked photographs
    margin: float = 0.4  # of ArcFace an angle in radians, of triplets a distance
    scale: float = 40.0
    share: float = 1.0  # of the classes that a step compares with
    classes: int = 0  # photographs that are trained on, at most; 0: all
    drip_start: int = 0  # classes in the beginning, to be doubled; 0: all
    drip_steps: tuple[int, ...] = ()  # classes in the beginning and at every step but the last, instead of doubling
    drip_threshold: float = 1.0
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: int = 50
    clip: float = 1.0  # largest norm of the gradient; 0: any
    beta2: float = 0.999  # of Adam
    weight_decay: float = 0.0  # of AdamW
    average: float = 0.0  # what a step keeps of the weights' moving average, which is validated and exported; 0: none
    clean: float = 0.2  # share of photographs whose first view of a step is not attacked
    amp: Amp = "off"
    attacks: AttackSet = "both"
    first_size: int | None = None
    first_intensity: float = 0.2
    hold_back: float = 0.1  # of the photographs, for validation, at most 4,000
    validate_every: int = 500
    checkpoint_every: int = 100
    seed: int = 0

    def check(self, processes: int = 1) -> None:
        """Raises: CopytraceError when two of them cannot go together, and says what would."""
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
