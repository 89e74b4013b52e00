"""A graphics card: its memory, streams and events, through NVIDIA's ``cuda-bindings``. No stage; any may use it."""

from .array import DeviceArray
from .cuda import Card, card, problem
from .joined import on_host, side_by_side, stacked
from .memory import pinned
from .stream import Event, Graph, Stream

__all__ = [
    "Card",
    "DeviceArray",
    "Event",
    "Graph",
    "Stream",
    "card",
    "on_host",
    "pinned",
    "problem",
    "side_by_side",
    "stacked",
]
