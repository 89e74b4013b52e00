"""The network of a run that there is: to export it again, or to begin another run with it."""

from dataclasses import replace
from pathlib import Path

from copytrace.engine import CopytraceError

from ..models.build import build_network, exportable
from ..models.folded import FoldedTrunk
from ..models.network import DescriptorNetwork
from ..settings import Settings
from .average import WeightAverage
from .checkpoint import CHECKPOINT, load_checkpoint
from .run_folder import RUN, settings_of


def trained_network(folder: Path) -> tuple[DescriptorNetwork, Settings]:
    """The network of a run that was made with :func:`run`, as its last checkpoint has it.

    Raises: CopytraceError when there is none.
    """
    settings = settings_of(folder)
    untouched = settings.frozen or not settings.dimension  # a checkpoint has no frozen trunk
    network = build_network(settings, load=untouched)
    if settings.dimension:
        load_weights(network, settings, folder)
    return exportable(network).eval(), settings


def continuing(settings: Settings) -> Settings:
    """Settings whose ``weights`` are those that the network of ``initial`` once began with: they say how pixels are scaled."""
    return replace(settings, weights=settings_of(Path(settings.initial)).weights) if settings.initial else settings


def load_weights(network: DescriptorNetwork, settings: Settings, folder: Path) -> None:
    """Give a network that was built from a run's settings the weights of its last checkpoint, averaged where it averages.

    Raises: CopytraceError when there is no checkpoint.
    """
    state = load_checkpoint(folder / CHECKPOINT)
    if state is None:
        raise CopytraceError(f"{folder}: has no checkpoint yet")
    part = network.head if settings.frozen else network
    try:
        weights = state["parts"]["objective"]
        own = {key.removeprefix("network."): value for key, value in weights.items() if key.startswith("network.")}
        part.load_state_dict(own)
        average = WeightAverage(part, settings.average)
        average.load_state_dict(
            state["parts"].get("average", {"updates": 0, "kept": []})
        )  # of runs from before there was one
    except (KeyError, RuntimeError, AttributeError, TypeError, ValueError):
        raise CopytraceError(f"{folder / CHECKPOINT}: is no checkpoint of the network that {RUN} tells of") from None
    average.apply()


def begin_with(network: DescriptorNetwork, folder: Path) -> None:
    """Give a network the weights of another run's.

    Raises: CopytraceError when there is no such run, its network has other parts, or its batch norms are folded away and this
    run's are to be trained.
    """
    theirs, settings = trained_network(folder)
    own = exportable(network)
    if settings.folded and own is network:
        raise CopytraceError(f"{folder}: was trained with --folded, which leaves no batch norms; use it here too")
    try:
        own.load_state_dict(theirs.state_dict())
    except RuntimeError:
        raise CopytraceError(f"{folder}: its network has other parts than this run's; give the same settings") from None
    if isinstance(network.trunk, FoldedTrunk):
        network.trunk = FoldedTrunk(own.trunk, network.trunk.dtype)
