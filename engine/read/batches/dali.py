"""JPEGs decoded by DALI: on a card by nvJPEG and its hardware decoders, on the CPU by libjpeg-turbo."""

from collections.abc import Sequence

import numpy as np

from .checked import CheckedJpeg
from .graph import SquaresGraph
from .halved import halved
from .pool import Pool
from .protocol import BatchDecoderName, Squares


class DaliDecoder:
    """See :class:`~copytrace.engine.read.batches.protocol.JpegDecoder`; the parameters are those of ``SquaresGraph``.

    in_flight: batches that are decoded side by side, each with memory and threads of its own.
    Raises: MissingExtraError; CopytraceError where DALI cannot be set up.
    """

    name: BatchDecoderName = "dali"

    def __init__(self, sizes: Sequence[int], *, batch: int, device: int | None, threads: int, in_flight: int) -> None:
        def graph() -> SquaresGraph:
            return SquaresGraph(sizes, batch=batch, device=device, threads=threads, decodes=True)

        self._graphs = Pool(graph, in_flight)

    def __call__(self, files: Sequence[CheckedJpeg]) -> list[Squares | None]:
        return halved(self._decode, files, "DALI")

    def _decode(self, files: Sequence[CheckedJpeg]) -> list[Squares | None]:
        """Raises: one of ``FAILURES`` for one of them; which, DALI does not say."""
        sources = [np.frombuffer(file.data, np.uint8) for file in files]
        with self._graphs.one() as graph:
            return list(graph(sources, [file.header for file in files]))
