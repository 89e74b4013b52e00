"""The model that ships with the package: the torch network that its first member is."""

import onnx
import torch
from onnx import numpy_helper

from copytrace.engine import Bundle

from ..models.backbones import create_backbone
from ..models.build import make_trunk
from ..models.network import DescriptorNetwork, Head
from ..settings import Settings


def default_network() -> DescriptorNetwork:
    """The default bundle's first network in torch: its trunk is the backbone's own, its head comes from the ONNX file."""
    bundle = Bundle()
    settings = Settings.from_dict(bundle.manifest.origin["ensemble"][0]["origin"]["settings"])
    backbone, scale = create_backbone(settings.backbone, settings.weights)
    tensors = onnx.load(bundle.networks("float32")[0].path).graph.initializer
    state = {
        tensor.name.removeprefix("head."): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in tensors
        if tensor.name.startswith("head.")
    }
    head = Head(len(state["mean"]), settings.dimension)
    head.load_state_dict(state)
    return DescriptorNetwork(make_trunk(backbone, scale, settings), head).eval()
