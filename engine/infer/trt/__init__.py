"""Networks by TensorRT's own API: found, built, kept and run."""

from .engines import Engines, Ready
from .key import EngineKey, Profile
from .lane import TrtLane
from .library import Library, find_library

__all__ = ["EngineKey", "Engines", "Library", "Profile", "Ready", "TrtLane", "find_library"]
