"""What the detector learns: a map with a soft peak at every centre, and the box of the cells around it.

Sources: the penalty-reduced focal loss of CornerNet and CenterNet (alpha 2, beta 4); the generalised intersection over union of
Rezatofighi et al.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ..objectives.objective import Objective
from .network import DetectorNetwork

_SPREAD = 0.14  # deviation of a peak, as a share of the box's side
_NARROWEST = 0.6  # cells
_BOXED = 0.5  # cells whose peak is at least so high learn the box
_BOX_WEIGHT, _DISTANCE_WEIGHT = 1.0, 4.0


class DetectionObjective(Objective):
    """Pixels uint8 [N, S, S, 3] and boxes float32 [N, K, 4] -> loss; boxes are left, top, right and bottom as shares of the
    sides, NaN where there is none."""

    network: DetectorNetwork

    def forward(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        maps = self.network.maps(pixels)
        peaks, owners = peak_maps(boxes, maps.shape[2])
        return centre_loss(maps[:, 0], peaks) + box_loss(maps[:, 1:], peaks, owners)


def peak_maps(boxes: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Boxes [N, K, 4] -> the height of the highest peak in every cell, float32 [N, G, G], exactly 1 in the cells with centres,
    and that peak's box, float32 [N, 4, G, G]."""
    there = torch.isfinite(boxes).all(dim=2)
    boxes = torch.where(there[..., None], boxes, 0.0)
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    cells = (centres * grid).floor().clamp(0, grid - 1)
    deviations = (_SPREAD * grid * sides).clamp(min=_NARROWEST)
    at = torch.arange(grid, device=boxes.device)
    along = [
        torch.exp(-0.5 * ((at - cells[..., i, None]) / deviations[..., i, None]).square()) for i in (0, 1)
    ]  # [N, K, G] each
    heights = along[1][..., :, None] * along[0][..., None, :] * there[..., None, None]
    peaks, numbers = heights.max(dim=1)
    owners = boxes.gather(1, numbers.flatten(1)[..., None].expand(-1, -1, 4))
    return peaks, owners.transpose(1, 2).unflatten(2, (grid, grid))


def centre_loss(odds: Tensor, peaks: Tensor) -> Tensor:
    """Log odds and peaks [N, G, G] -> the focal loss, for each centre of the batch."""
    likely = torch.sigmoid(odds)
    right = -functional.logsigmoid(odds) * (1 - likely).square() * (peaks == 1)
    wrong = -functional.logsigmoid(-odds) * likely.square() * (1 - peaks).pow(4)
    return (right.sum() + wrong.sum()) / (peaks == 1).sum().clamp(min=1)


def box_loss(distances: Tensor, peaks: Tensor, owners: Tensor) -> Tensor:
    """Distances to the sides [N, 4, G, G], peaks [N, G, G], boxes [N, 4, G, G] -> 1 - GIoU and the error of the distances, a
    mean over cells near centres that goes by the peak."""
    grid = peaks.shape[1]
    middle = (torch.arange(grid, device=peaks.device) + 0.5) / grid
    weights = torch.where(peaks >= _BOXED, peaks, 0.0)
    x, y = middle[None, None, :], middle[None, :, None]
    wanted = torch.stack([x - owners[:, 0], y - owners[:, 1], owners[:, 2] - x, owners[:, 3] - y], dim=1)
    loss = _BOX_WEIGHT * (1 - overlap(distances, wanted)) + _DISTANCE_WEIGHT * (distances - wanted).abs().mean(dim=1)
    return (weights * loss).sum() / weights.sum().clamp(min=1e-6)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union of boxes by their distances [N, 4, ...] from a point in common: [N, ...]."""
    common, around = torch.minimum(a, b), torch.maximum(a, b)

    def area(d: Tensor) -> Tensor:
        return (d[:, 0] + d[:, 2]).clamp(min=0) * (d[:, 1] + d[:, 3]).clamp(min=0)

    both, hull = area(common), area(around).clamp(min=1e-6)
    union = (area(a) + area(b) - both).clamp(min=1e-6)
    return both / union - (hull - union).clamp(min=0) / hull
