"""Everything that decides what a training run does."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from copytrace.engine import CopytraceError

Objective = Literal["arcface", "infonce"]
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
    margin: float = 0.4
    scale: float = 40.0
    share: float = 1.0  # of the classes that a step compares with
    drip_start: int = 0  # classes in the beginning; 0: all
    drip_threshold: float = 1.0
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: int = 50
    clip: float = 1.0  # largest norm of the gradient; 0: any
    beta2: float = 0.999  # of Adam
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
        idle = self.steps == 0
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
                self.objective == "infonce" and self.frozen and self.views < 2 and not idle,
                "infonce needs --views 2 or more",
            ),
            (self.drip_start > 0 and self.objective != "arcface", "--drip-start belongs to --objective arcface"),
            (self.drip_start > 0 and self.frozen and self.views < 5, "drip training needs --views 5 or more"),
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
