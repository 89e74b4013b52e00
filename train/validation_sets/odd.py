"""The classes of the odd set: edits that stand on nobody's list, written for it alone. No attack may be made of them."""

from . import odd_layers, odd_renderings, odd_scenes, odd_warps
from .edit import Classes, Kind

_CLASSES: Classes = {
    "warp": odd_warps.EDITS,
    "rendering": odd_renderings.EDITS,
    "layer": odd_layers.EDITS,
    "scene": odd_scenes.EDITS,
}

ODD = Kind(_CLASSES, list(_CLASSES))
