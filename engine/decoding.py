"""Which decoder makes images ready for the networks, and images made ready many at a time."""

import logging
from collections.abc import Sequence
from typing import Literal

from .embedder import Decoded
from .errors import CopytraceError
from .read import Image, PixelImage, UndecodableError, stretch_sizes
from .read.batches import BatchDecoder, BatchDecoderName, Outcome, open_batch_decoder
from .threads import cpu_count

log = logging.getLogger(__name__)

DecoderName = Literal["auto", "cpu", "dali", "nvimgcodec"]
"""Who decodes plain JPEGs; all other images are the CPU's. "auto": DALI for networks on a card, else the CPU."""

ON_CARD: BatchDecoderName = "dali"
"""What "auto" is on a card. Not the faster one as measured when it starts: the two need not agree to the last bit, and the same
command has to give the same descriptors. Neither has run on a card yet: the tests run
both on the CPU, where only the decoding itself and the copies are others."""
_IN_FLIGHT = 3
"""Batches that a card decodes side by side: one whose codes the CPU reads, one that is decoded, one that is resized."""


def open_decoder(
    name: DecoderName, sizes: Sequence[int], *, batch: int, on_card: bool, decoders: int, pixel_limit: int
) -> BatchDecoder | None:
    """What decodes images many at a time; None where they are decoded one by one on the CPU.

    on_card: whether the networks are on a graphics card. decoders: threads that will call it.
    Raises: MissingExtraError, CopytraceError where the decoder that was named cannot be set up.
    """
    if name == "cpu" or (name == "auto" and not on_card):
        return None
    in_flight = min(_IN_FLIGHT, decoders) if on_card else decoders
    try:
        return open_batch_decoder(
            ON_CARD if name == "auto" else name,
            sizes,
            batch=batch,
            device=0 if on_card else None,
            threads=max(1, cpu_count() // in_flight) if on_card else 1,
            in_flight=in_flight,
            pixel_limit=pixel_limit,
        )
    except CopytraceError as error:
        if name != "auto":
            raise
        log.warning("JPEGs are decoded on the CPU: %s", error)
        return None


def decode_together(decoder: BatchDecoder, images: Sequence[Image | PixelImage], sizes: Sequence[int]) -> list[Decoded]:
    """Each image's pixels at every size, or why there are none."""
    outcomes = iter(decoder.decode([image.read for image in images if not isinstance(image, PixelImage)]))
    return [
        Decoded(image.id, stretch_sizes(image.pixels, sizes))
        if isinstance(image, PixelImage)
        else _decoded(image.id, next(outcomes))
        for image in images
    ]


def why_not(error: UndecodableError | OSError) -> str:
    """The reason that an image has no pixels, in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    return str(error)


def _decoded(name: str, outcome: Outcome) -> Decoded:
    if isinstance(outcome, UndecodableError | OSError):
        return Decoded(name, None, why_not(outcome))
    squares, damage = outcome
    return Decoded(name, squares, damage=damage)
