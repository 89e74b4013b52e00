"""Pixels to raw embeddings, behind one small protocol."""

from .network import Network
from .open import Device, open_network
from .ort import OrtNetwork

__all__ = ["Device", "Network", "OrtNetwork", "open_network"]
