"""JPEGs decoded by nvImageCodec, which says of each picture whether it could; DALI's graph makes them squares."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import CopytraceError, optional_module
from .checked import CheckedJpeg
from .graph import FAILURES, SquaresGraph, first_line
from .halved import halved
from .pool import Pool
from .protocol import BatchDecoderName, Squares


class NvImageDecoder:
    """See :class:`~copytrace.engine.read.batches.protocol.JpegDecoder`; the parameters are those of ``DaliDecoder``.

    Raises: MissingExtraError; CopytraceError where it cannot be set up.
    """

    name: BatchDecoderName = "nvimgcodec"

    def __init__(self, sizes: Sequence[int], *, batch: int, device: int | None, threads: int, in_flight: int) -> None:
        def pair() -> tuple[_Codec, SquaresGraph]:
            graph = SquaresGraph(sizes, batch=batch, device=device, threads=threads, decodes=False)
            return _Codec(device, threads), graph

        self._pairs = Pool(pair, in_flight)

    def __call__(self, files: Sequence[CheckedJpeg]) -> list[Squares | None]:
        return halved(self._decode, files, "nvImageCodec")

    def _decode(self, files: Sequence[CheckedJpeg]) -> list[Squares | None]:
        """Raises: one of ``FAILURES``, for all of them, as where memory is lacking."""
        squares: list[Squares | None] = [None] * len(files)
        with self._pairs.one() as (codec, graph):
            pictures = codec.decode(files)
            good = [number for number, picture in enumerate(pictures) if picture is not None]
            if good:
                done = graph([pictures[number] for number in good], [files[number].header for number in good])
                for number, one in zip(good, done, strict=True):
                    squares[number] = one
        return squares


class _Codec:
    """nvImageCodec's decoder. On a card its hardware and its kernels decode, never the CPU, which we have a decoder for."""

    def __init__(self, device: int | None, threads: int) -> None:
        os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # it would print what it also returns
        self._library: Any = optional_module("nvidia.nvimgcodec", "dali", "gpu")
        kinds = self._library.BackendKind
        on_card = (kinds.HW_GPU_ONLY, kinds.HYBRID_CPU_GPU, kinds.GPU_ONLY)
        self._on_card = device is not None
        try:
            self._decoder = self._library.Decoder(
                device_id=device if device is not None else self._library.NVIMGCODEC_DEVICE_CPU_ONLY,
                max_num_cpu_threads=threads,
                # Each takes all it can (its load hint is 1): see ``hw_decoder_load`` in ``graph``.
                backends=[self._library.Backend(kind) for kind in (on_card if self._on_card else (kinds.CPU_ONLY,))],
                options=":fancy_upsampling=1",
            )
        except FAILURES as error:
            raise CopytraceError(f"nvImageCodec cannot be set up: {first_line(error)}") from error
        self._params = self._library.DecodeParams(apply_exif_orientation=False)

    def decode(self, files: Sequence[CheckedJpeg]) -> list[Any]:
        """uint8 RGB [H, W, 3] for each as it is stored, in the memory of the device; None for what it cannot decode."""
        streams = [self._library.CodeStream(file.data) for file in files]
        images = self._decoder.decode(streams, params=self._params, cuda_stream=0)
        if self._on_card:
            return list(images)
        return [None if image is None else np.ascontiguousarray(image) for image in images]
