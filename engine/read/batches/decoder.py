"""Batches of images of any kind: plain JPEGs many at a time, all else, and what fails, one by one as ever."""

from collections.abc import Callable, Sequence

from ..decode import decode_sizes
from ..picture import UndecodableError
from .checked import LARGEST, CheckedJpeg, checked_jpeg
from .dali import DaliDecoder
from .nvimgcodec import NvImageDecoder
from .protocol import BatchDecoderName, JpegDecoder, Squares

Outcome = tuple[Squares, str | None] | UndecodableError | OSError
"""What became of an image: its squares and what is damaged about it, or why there are none."""

_PIXELS_TOGETHER = 2 * LARGEST
_BYTES_TOGETHER = 1 << 26


class BatchDecoder:
    """Images to squares of the given sizes, with the same reasons and the same damage as ``decode_sizes`` finds.

    Safe to use from several threads. batch: JPEGs that are decoded together at most; fewer where they are large, so that memory
    is bounded: 67 million pixels (10 bytes each on a card) and 67 MB of encoded bytes.
    """

    def __init__(self, jpegs: JpegDecoder, sizes: Sequence[int], batch: int, pixel_limit: int) -> None:
        self._jpegs = jpegs
        self._sizes = list(sizes)
        self._batch = batch
        self._pixel_limit = pixel_limit

    @property
    def name(self) -> BatchDecoderName:
        """Who decodes the JPEGs."""
        return self._jpegs.name

    def decode(self, reads: Sequence[Callable[[], bytes]]) -> list[Outcome]:
        """Functions that give an image's bytes -> what became of each, in this order."""
        outcomes: dict[int, Outcome] = {}
        waiting: dict[int, CheckedJpeg] = {}
        for number, read in enumerate(reads):
            try:
                data = read()
                jpeg = checked_jpeg(data, self._pixel_limit)
                if jpeg is None:
                    outcomes[number] = decode_sizes(data, self._sizes, pixel_limit=self._pixel_limit)
                    continue
            except (UndecodableError, OSError) as error:
                outcomes[number] = error
                continue
            if not self._fits(jpeg, waiting):
                outcomes |= self._together(waiting)
                waiting = {}
            waiting[number] = jpeg
        outcomes |= self._together(waiting)
        return [outcomes[number] for number in range(len(reads))]

    def _fits(self, jpeg: CheckedJpeg, waiting: dict[int, CheckedJpeg]) -> bool:
        together = [jpeg, *waiting.values()]
        return (
            len(together) <= self._batch
            and sum(one.pixels for one in together) <= _PIXELS_TOGETHER
            and sum(len(one.data) for one in together) <= _BYTES_TOGETHER
        )

    def _together(self, waiting: dict[int, CheckedJpeg]) -> dict[int, Outcome]:
        if not waiting:
            return {}
        squares = self._jpegs(list(waiting.values()))
        return {
            number: self._alone(jpeg) if one is None else (one, None)
            for (number, jpeg), one in zip(waiting.items(), squares, strict=True)
        }

    def _alone(self, jpeg: CheckedJpeg) -> Outcome:
        try:
            return decode_sizes(jpeg.data, self._sizes, pixel_limit=self._pixel_limit)
        except UndecodableError as error:
            return error


def open_batch_decoder(
    name: BatchDecoderName,
    sizes: Sequence[int],
    *,
    batch: int,
    device: int | None,
    threads: int,
    in_flight: int,
    pixel_limit: int,
) -> BatchDecoder:
    """device: the index of a card, None for the CPU. threads: of the CPU, for each of up to ``in_flight`` batches at a time.

    Raises: MissingExtraError; CopytraceError where the decoder cannot be set up.
    """
    kind: type[DaliDecoder] | type[NvImageDecoder] = DaliDecoder if name == "dali" else NvImageDecoder
    jpegs = kind(sizes, batch=batch, device=device, threads=threads, in_flight=in_flight)
    return BatchDecoder(jpegs, sizes, batch, pixel_limit)
