"""One descriptor from several networks: their embeddings side by side, and a projection learnt from attacked views.

The projection is learned whitening of the concatenated embeddings, trained further by InfoNCE with the entropy term while the
networks stay as they are. Every network sees the same picture at its own size, through the engine's own preprocessing.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from copytrace.engine import CopytraceError
from copytrace.engine.bundle_embedder import BundleEmbedder

from ..data.batches import FeatureBatches
from ..data.features import run_embedder
from ..data.photographs import Photographs, spread
from ..data.views import attacked_picture
from ..models.network import Head
from ..models.projection import learned_whitening
from ..objectives.contrastive import ContrastiveObjective
from ..settings import AttackSet

Float32 = NDArray[np.float32]

TEMPERATURE = 0.05
LEARNING_RATE = 0.003  # in units of the whitening's mean entry, so that it does not depend on the embeddings' scale
BATCH = 1024  # photographs, two views of each


def view_embeddings(
    embedder: BundleEmbedder, photographs: Photographs, count: int, views: int, seed: int, attacks: AttackSet = "both"
) -> Float32:
    """Raw embeddings [count, views, E] of photographs spread over the collection: the first view clean, the others attacked."""
    places = spread(len(photographs), count)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for place in places:
            yield photographs.load(place)[1]
            for view in range(1, views):
                rng = np.random.default_rng([seed, place, view])
                yield attacked_picture(photographs, place, max(embedder.sizes), rng, 1.0, attacks)[1]

    return run_embedder(embedder, pictures()).reshape(len(places), views, -1)


def learn_projection(embeddings: Float32, dimension: int, steps: int, seed: int) -> tuple[Float32, Float32, Float32]:
    """Embeddings [N, V, E] of N photographs in V views -> mean [E], components [D, E] and eigenvalues [D], all of them 1.

    steps: of InfoNCE after the whitening, at a learning rate that falls to 0. Raises: CopytraceError when the photographs
    are too few.
    """
    try:
        mean, rows = learned_whitening(embeddings, min(dimension, embeddings.shape[2]))
    except ValueError as error:
        raise CopytraceError(f"the projection cannot be learnt: {error}") from None
    head = Head(*rows.shape[::-1])
    with torch.no_grad():
        head.mean.copy_(torch.from_numpy(mean))
        head.linear.weight.copy_(torch.from_numpy(rows))
    objective = ContrastiveObjective(head, temperature=TEMPERATURE)
    batch = min(BATCH, len(embeddings))
    batches = FeatureBatches(embeddings, max(1, steps), batch, objective.views, seed, len(embeddings))
    optimiser = torch.optim.Adam(head.parameters(), LEARNING_RATE * float(np.abs(rows).mean()))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, max(1, steps))
    for step in range(steps):
        loss = objective(*batches[step])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return mean, head.linear.weight.detach().numpy().copy(), np.ones(len(rows), np.float32)
