"""One descriptor from several networks: their embeddings side by side, and a projection learnt from attacked views.

The projection starts as learned whitening of the concatenated embeddings and is then trained by InfoNCE with the entropy term,
the networks frozen. Every network sees the same picture at its own size, stretched as the engine does.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from copytrace.engine import CopytraceError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.parallel import map_ordered
from copytrace.engine.read import stretch
from copytrace.engine.threads import cpu_count, thread_pool

from .batches import FeatureBatches
from .model import Head
from .objective import ContrastiveObjective
from .photographs import Photographs, attacked_picture, spread
from .projection import learned_whitening

Float32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]

TEMPERATURE = 0.05
LEARNING_RATE = 3e-4
BATCH = 1024  # photographs, two views of each


def embed_pictures(networks: Sequence[OrtNetwork], pictures: Sequence[Pixels]) -> Float32:
    """Pictures uint8 [H, W, 3] of any sizes -> the networks' embeddings side by side, float32 [N, sum of E]."""
    return np.concatenate(
        [network(np.stack([stretch(picture, network.input_size) for picture in pictures])) for network in networks],
        axis=1,
    )


def view_embeddings(
    networks: Sequence[OrtNetwork],
    photographs: Photographs,
    count: int,
    views: int,
    seed: int,
    say: Callable[[str], None],
) -> Float32:
    """Embeddings [count, views, sum of E] of photographs, the first view clean, the others from the wide attacks."""
    size = max(network.input_size for network in networks)

    def embed(place: int) -> Float32:
        pictures = [photographs.load_once(place)[1]]
        for view in range(1, views):
            rng = np.random.default_rng([seed, place, view])
            pictures.append(attacked_picture(photographs, place, size, rng, 1.0, "wide")[1])
        return embed_pictures(networks, pictures)

    rows = []
    with thread_pool(cpu_count()) as workers:
        places = spread(len(photographs), count)
        for row in map_ordered(workers, embed, places, 2 * cpu_count()):
            rows.append(row)
            if len(rows) % max(1, len(places) // 10) == 0:
                say(f"embedded the views of {len(rows)}/{len(places)} photographs")
    return np.stack(rows)


def learn_projection(embeddings: Float32, dimension: int, steps: int, seed: int) -> tuple[Float32, Float32, Float32]:
    """Embeddings [N, V, E] of N photographs in V views -> mean [E], components [D, E] and eigenvalues [D], all 1.

    Raises: CopytraceError when the photographs are too few.
    """
    try:
        mean, rows = learned_whitening(embeddings, dimension)
    except ValueError as error:
        raise CopytraceError(f"the projection cannot be learnt: {error}") from None
    torch.manual_seed(seed)
    head = Head(embeddings.shape[2], dimension)
    with torch.no_grad():
        head.mean.copy_(torch.from_numpy(mean))
        head.linear.weight.copy_(torch.from_numpy(rows))
    objective = ContrastiveObjective(head, temperature=TEMPERATURE)
    batch = min(BATCH, len(embeddings))
    batches = FeatureBatches(embeddings, max(1, steps), batch, objective.views, seed, len(embeddings))
    optimiser = torch.optim.Adam(head.parameters(), LEARNING_RATE * float(head.linear.weight.detach().abs().mean()))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * (1.0 - step / steps) if "initial_lr" in group else group["lr"]
        loss = objective(*batches[step])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return mean, head.linear.weight.detach().numpy().copy(), np.ones(dimension, np.float32)
