"""Where the head begins: at the features of the trunk as it is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from copytrace.engine import CopytraceError

from ..data.features import LARGEST
from ..data.photographs import Photographs, spread
from ..data.views import photograph_views
from ..models.network import Head
from ..models.projection import learned_whitening
from ..settings import Settings


@torch.inference_mode()
def trunk_features(trunk: nn.Module, photos: Photographs, settings: Settings) -> NDArray[np.float16]:
    """Pooled features [photographs, views, F] of a trunk as it is, for some photographs; the clean view first."""
    trunk.eval()
    rows = []
    for place in spread(len(photos), settings.start_photographs):
        size, attacks = settings.first_size or settings.size, settings.attacks
        views = photograph_views(photos, place, settings.views, size, settings.seed, attacks=attacks)
        rows.append(trunk(torch.from_numpy(views)).numpy().clip(-LARGEST, LARGEST).astype(np.float16))
    return np.stack(rows)


def start_head(head: Head, features: NDArray[np.float16], settings: Settings) -> None:
    """Standardise by the clean views; with "whitening", begin with the closed form.

    Raises: CopytraceError when there are too few photographs for it.
    """
    sample = features[:: max(1, len(features) // 20_000), 0].astype(np.float32)
    head.standardise(torch.from_numpy(sample))
    if settings.start == "whitening":
        try:
            mean, rows = learned_whitening(features, settings.dimension)
        except ValueError as error:
            raise CopytraceError(f"the head cannot start from whitening: {error}") from None
        with torch.no_grad():
            head.mean.copy_(torch.from_numpy(mean))
            head.linear.weight.copy_(torch.from_numpy(rows) * head.deviation)
