"""DALI's graph from encoded or decoded pictures to upright squares: on a card and on the CPU the same."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...device import DeviceArray
from ...errors import CopytraceError, optional_module
from ..jpeg import JpegHeader
from .protocol import Squares
from .steps import steps

FAILURES = (RuntimeError, ValueError, TypeError, MemoryError, CopytraceError)
"""What DALI and nvImageCodec raise, want of a card's memory included, and a graph that cannot be made anew."""


class SquaresGraph:
    """A DALI pipeline. Not to be called from two threads at once.

    sizes: the sides of the squares. batch: pictures in a call at most. device: the index of a card, None for the CPU.
    threads: of the CPU, which decode, or read the codes for the card. decodes: whether it is given encoded JPEGs, or
    pictures in the memory of the device.
    Raises: MissingExtraError; CopytraceError where DALI cannot be set up.
    """

    def __init__(self, sizes: Sequence[int], *, batch: int, device: int | None, threads: int, decodes: bool) -> None:
        dali = optional_module("nvidia.dali", "dali", "gpu")
        self._sizes, self._device, self._decodes = list(sizes), device, decodes
        # One run at a time, and no other prepared meanwhile: who wants several in flight has several graphs.
        depth = {"prefetch_queue_depth": 1, "exec_dynamic": True}
        try:
            self._pipeline = dali.Pipeline(batch, threads, device, **depth)
            with self._pipeline:
                pictures = self._pictures()
                outputs = [self._square(pictures, number, size) for number, size in enumerate(self._sizes)]
                self._pipeline.set_outputs(*outputs)
            self._pipeline.build()
        except FAILURES as error:
            raise CopytraceError(f"DALI cannot be set up: {first_line(error)}") from error

    def __call__(self, sources: Sequence[Any], headers: Sequence[JpegHeader]) -> list[Squares]:
        """Encoded JPEGs uint8 [bytes], or pictures uint8 [H, W, 3] as they are stored -> a square of each size for each.

        Raises: one of ``FAILURES``, for all of them, where one cannot be decoded or memory is lacking; the graph is then not to
        be called again.
        """
        layout, stream = ("", None) if self._decodes else ("HWC", None if self._device is None else 0)
        self._pipeline.feed_input("source", list(sources), layout, stream)
        for number, size in enumerate(self._sizes):
            of_each = [steps(header, size) for header in headers]
            for name in ("interpolated", "groups", "upright"):
                self._pipeline.feed_input(f"{name}{number}", np.stack([getattr(one, name) for one in of_each]))
        outputs = self._pipeline.run()
        by_size = [self._rows(output) for output in outputs]
        return list(zip(*by_size, strict=True))

    def _pictures(self) -> Any:
        fn, types = optional_module("nvidia.dali.fn", "dali", "gpu"), optional_module("nvidia.dali.types", "gpu")
        on_card = self._device is not None
        if not self._decodes:
            where = "gpu" if on_card else "cpu"
            return fn.external_source(name="source", dtype=types.UINT8, ndim=3, layout="HWC", device=where)
        return fn.decoders.image(
            fn.external_source(name="source", dtype=types.UINT8, ndim=1),
            device="mixed" if on_card else "cpu",
            output_type=types.RGB,
            adjust_orientation=False,  # see ``steps``
            jpeg_fancy_upsampling=True,  # as libjpeg does
            # All of what the hardware can, and else none: the same picture must not be decoded now one way and now another.
            hw_decoder_load=1.0,
            affine=False,  # the threads of several graphs would be tied to the same processors
        )

    def _square(self, pictures: Any, number: int, size: int) -> Any:
        """Upright squares uint8 [size, size, 3]; see ``steps``."""
        fn, types = optional_module("nvidia.dali.fn", "dali", "gpu"), optional_module("nvidia.dali.types", "gpu")
        interpolated = fn.external_source(name=f"interpolated{number}", dtype=types.FLOAT, ndim=1)
        groups = fn.external_source(name=f"groups{number}", dtype=types.INT32, ndim=1)
        upright = fn.external_source(name=f"upright{number}", dtype=types.FLOAT, ndim=2)
        near = fn.resize(pictures, size=interpolated, interp_type=types.INTERP_LINEAR, antialias=False)
        mean = fn.reductions.mean(fn.reshape(near, shape=groups), axes=[1, 3], dtype=types.FLOAT)
        square = fn.reshape(fn.cast(mean, dtype=types.UINT8), layout="HWC")  # the cast rounds
        return fn.warp_affine(square, matrix=upright, interp_type=types.INTERP_NN, size=[size, size])

    def _rows(self, output: Any) -> list[Any]:
        """One square for each picture: on a card DALI's own memory, kept as long as one of its squares is."""
        if self._device is None:
            return list(np.array(output.as_array()))
        squares = [DeviceArray.of(output[number], self._device) for number in range(len(output))]
        return [replace(square, owner=(output, square.owner)) for square in squares]


def first_line(error: Exception) -> str:
    """What DALI says went wrong, without its tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "rror" in line and not line.startswith(("Critical error", "Error in"))]
    return (told or lines or [type(error).__name__])[-1 if not told else 0]
