"""Images decoded many at a time, by libraries that can use a card: DALI and nvImageCodec. On a card they have not run yet."""

from .decoder import BatchDecoder, Outcome, open_batch_decoder
from .protocol import BatchDecoderName, Squares

__all__ = ["BatchDecoder", "BatchDecoderName", "Outcome", "Squares", "open_batch_decoder"]
