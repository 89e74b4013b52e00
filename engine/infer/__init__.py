"""Pixels to raw embeddings, behind one small protocol."""

from .network import Network
from .ort import OrtNetwork

__all__ = ["Network", "OrtNetwork"]
