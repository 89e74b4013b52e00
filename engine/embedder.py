"""What turns images into descriptors, as the pipeline sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .device import DeviceArray
from .match.views import WHOLE
from .read import Image, PixelImage
from .read.batches import Squares

Role = Literal["reference", "query"]
Output = Literal["raw", "projected", "method1", "method2"]
"""How far an image is taken: the networks' embedding, the projected descriptor, or that moved away from the bank."""
Damaged = Literal["keep", "skip"]
"""Whether images that are damaged but can be decoded are embedded."""

Views = Literal["whole", "turns", "regions", "all"]
"""Which labelled rows an image gives: the whole picture's; its quarter turns' as well, its regions', or all of these."""

Float32 = NDArray[np.float32]
Raw = Float32 | DeviceArray
"""Raw embeddings float32 [N, E]; those of networks on a card stay there."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image made ready for the networks: its pixels, or the reason why there are none; and what is damaged about it.

    views: label and pixels of further views beside the whole picture.
    """

    id: str
    pixels: Squares | None
    reason: str | None = None
    damage: str | None = None
    views: Sequence[tuple[str, Squares]] = ()

    @property
    def all_pixels(self) -> list[Squares]:
        """One for each row that the image gives."""
        return [] if self.pixels is None else [self.pixels, *(pixels for _, pixels in self.views)]

    @property
    def labels(self) -> list[str]:
        """The name of each row that the image gives."""
        return [] if self.pixels is None else [WHOLE, *(label for label, _ in self.views)]


class Embedder(Protocol):
    """Images to descriptors. Safe to use from several threads."""

    decoders: int
    """Threads that decode side by side."""
    workers: int
    """Threads that compute embeddings side by side."""
    two_stages: bool
    """Whether pictures go from decoders to workers; else each worker takes images all the way from bytes to rows."""
    batch: int
    """Images it does best to be given at a time; changes no row."""

    def decode(self, images: Sequence[Image | PixelImage], views: Views = "whole") -> list[Decoded]:
        """Each image's pixels, or why there are none; and those of the views that are asked for."""
        ...

    def embed(self, pictures: Sequence[Squares]) -> Raw:
        """Raw embeddings float32 [N, E]; a row depends on its own picture alone."""
        ...

    def describe(self, raw: Raw, output: Output) -> Float32:
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
