"""What turns images into descriptors, as the pipeline sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .read import Image, PixelImage, PixelSet

Role = Literal["reference", "query"]
Output = Literal["raw", "projected", "method1", "method2"]
"""How far an image is taken: the networks' embedding, the projected descriptor, or that moved away from the bank."""
Damaged = Literal["keep", "skip"]
"""Whether images that are damaged but can be decoded are embedded."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image made ready for the networks: its pixels, or the reason why there are none; and what is damaged about it."""

    id: str
    pixels: PixelSet | None
    reason: str | None = None
    damage: str | None = None


class Embedder(Protocol):
    """Images to descriptors. Safe to use from several threads."""

    decoders: int
    """Threads that decode side by side."""
    workers: int
    """Threads that compute embeddings side by side."""
    batch: int
    """Images it does best to be given at a time; changes no row."""

    def decode(self, images: Sequence[Image | PixelImage]) -> list[Decoded]:
        """Each image's pixels, or why there are none."""
        ...

    def embed(self, pictures: Sequence[PixelSet]) -> Float32:
        """Raw embeddings float32 [N, E]; a row depends on its own picture alone."""
        ...

    def describe(self, raw: Float32, output: Output) -> Float32:
        """Raw embeddings float32 [N, E] -> what ``output`` names, float32 [N, D] (or [N, E] for "raw").

        Raises: ValueError where a row is not finite.
        """
        ...

    def dimension(self, output: Output) -> int:
        """Length of the rows that :meth:`describe` gives."""
        ...

    def output_for(self, role: Role) -> Output:
        """What a role gets by default."""
        ...

    def attributes(self) -> Mapping[str, str]:
        """What a descriptor file says of the rows' origin."""
        ...

    def options(self) -> Mapping[str, str | int]:
        """What else rows, or which images have one, depend on."""
        ...
