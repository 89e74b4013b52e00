"""The objective of a run, from its settings."""

from torch import nn

from ..settings import Settings
from .arcface import ArcFace, ArcFaceObjective
from .contrastive import ContrastiveObjective
from .objective import Objective
from .triplet import TripletObjective


def build_objective(network: nn.Module, settings: Settings) -> Objective:
    if settings.objective == "arcface":
        arcface = ArcFace(1, settings.dimension, settings.margin, settings.scale, settings.share)
        return ArcFaceObjective(network, arcface)
    if settings.objective == "triplet":
        return TripletObjective(network, dimension=settings.dimension, margin=settings.margin, memory=settings.memory)
    return ContrastiveObjective(
        network, temperature=settings.temperature, entropy=settings.entropy, mixed=settings.mixed, power=settings.power
    )
