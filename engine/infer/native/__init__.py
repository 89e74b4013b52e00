"""int8 networks of one family on the CPU, by the native core."""

from .network import NativeNetwork, NativeRuntimeError, why_slow

__all__ = ["NativeNetwork", "NativeRuntimeError", "why_slow"]
