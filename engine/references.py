"""References made ready to be matched with, in memory."""

from collections.abc import Container, Iterable

import numpy as np
from numpy.typing import NDArray

from .bundle_embedder import BundleEmbedder
from .errors import SourceError
from .match.features import LocalFeatures
from .match.grey import Grey
from .pictures import Looks, Picture, picture_stream
from .read import BadImage, Source
from .run import Progress


class References:
    """Ids in order, descriptors float32 [N, D] and, where they are wanted for the second look, local features and thumbnails.

    Attributes: ``ids``, ``descriptors``, ``features`` and ``thumbnails`` (both empty without local features), ``sizes`` (width,
    height) of the images, ``failed``, those that could not be used.
    """

    def __init__(self, pictures: Iterable[Picture], failed: Iterable[BadImage] = ()) -> None:
        kept = sorted(pictures, key=lambda picture: picture.id)
        self.ids = [picture.id for picture in kept]
        self.sizes = [picture.size for picture in kept]
        self.descriptors: NDArray[np.float32] = np.concatenate([picture.descriptors for picture in kept])
        self.features: list[LocalFeatures] = [p.features for p in kept if p.features is not None]
        self.thumbnails: list[Grey] = [p.grey for p in kept if p.grey is not None]
        self.failed = list(failed)
        self._numbers = {name: number for number, name in enumerate(self.ids)}

    @classmethod
    def of(
        cls,
        embedder: BundleEmbedder,
        source: Source,
        *,
        local: bool = True,
        only: Container[str] | None = None,
        progress: Progress = lambda done, total, failed: None,
    ) -> "References":
        """The images of a source, or ``only`` those with these ids. Raises: SourceError when none of them can be used."""
        images = [image for image in source if only is None or image.id in only]
        pictures: list[Picture] = []
        failed: list[BadImage] = []
        for item in picture_stream(embedder, images, Looks.of_references(embedder, local=local)):
            if isinstance(item, BadImage):
                failed.append(item)
            else:
                pictures.append(item)
            progress(len(pictures) + len(failed), len(images), len(failed))
        if not pictures:
            why = f": {failed[0].id}: {failed[0].reason}" if failed else ""
            raise SourceError(f"{source.name}: none of the {len(images)} images that are wanted can be used{why}")
        return cls(pictures, failed)

    def __len__(self) -> int:
        return len(self.ids)

    def number(self, name: str) -> int | None:
        """The row of an id, None where there is no such reference."""
        return self._numbers.get(name)
