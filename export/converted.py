"""What came of converting a network to another precision."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Converted:
    """kept: nodes that stay float32 because of what was measured. cosine: of the embeddings to the float32 network's on
    photographs; of int8 the mean, of fp16 the smallest."""

    kept: int
    cosine: float
