"""Pixels to raw embeddings, behind one small protocol."""

from .batched import BatchedNetwork
from .native import NativeNetwork
from .network import Network, NetworkOnCard, Pixels
from .on_card import Building, Runtime
from .open import Device, open_network
from .ort import OrtNetwork

__all__ = [
    "BatchedNetwork",
    "Building",
    "Device",
    "NativeNetwork",
    "Network",
    "NetworkOnCard",
    "OrtNetwork",
    "Pixels",
    "Runtime",
    "open_network",
]
