"""One bundle made ready to run: an image to pixels, pixels to raw embeddings, raw embeddings to descriptors."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .describe import Describer
from .describe.describer import Backend
from .errors import BundleError, CopytraceError
from .infer import Network, OrtNetwork
from .read import DEFAULT_PIXEL_LIMIT, BadImage, Image, UndecodableError, decode_picture
from .threads import cpu_count

Role = Literal["reference", "query"]
Output = Literal["raw", "projected", "method1", "method2"]
"""How far an image is taken: the network's embedding, the projected descriptor, or that moved away from the bank."""
Precision = Literal["int8", "float32"]
Device = Literal["auto", "cpu", "cuda"]
Damaged = Literal["keep", "skip"]
"""Whether images that are damaged but can be decoded are embedded."""
Decoded = tuple[str, NDArray[np.uint8] | BadImage, str | None]
"""An image's id, its pixels or the reason why there are none, and what is damaged about them."""


def check_damaged(damaged: Damaged) -> None:
    """Raises: ValueError for anything that is not one of the words."""
    if damaged not in ("keep", "skip"):
        raise ValueError(f'damaged must be "keep" or "skip", not {damaged!r}')


class Embedder:
    """Images to descriptors with one bundle. Safe to use from several threads.

    precision: "int8" (default, fast) or "float32". threads: for decoding and for networks alike. batch: images a network
    computes at a time (default: the bundle's). backend: "native" or "numpy", who projects and normalises.
    Raises: BundleError, MissingExtraError; CopytraceError for a device that is not there.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision = "int8",
        device: Device = "auto",
        threads: int | None = None,
        batch: int | None = None,
        backend: Backend = "native",
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    ) -> None:
        if device == "cuda":
            raise CopytraceError("this version of copytrace runs on the CPU only; use --device cpu")
        entry = bundle.network(precision)
        self.bundle = bundle
        self.precision = precision
        self.threads = threads or cpu_count()
        self.pixel_limit = pixel_limit
        self.network: Network = OrtNetwork(entry.path, batch=batch or entry.batch)
        if len(bundle.projection.mean) != self.network.dimension:
            raise BundleError(
                f"{bundle.path}: the projection takes {len(bundle.projection.mean)} values, the {precision} network gives "
                f"{self.network.dimension}"
            )
        self.describer = Describer(bundle.projection, bundle.bank, backend=backend)

    def output_for(self, role: Role) -> Output:
        """What a role gets by default: references are projected, queries also moved by the bundle's method."""
        if role == "reference":
            return "projected"
        return "method1" if self.bundle.normalisation().method == 1 else "method2"

    def dimension(self, output: Output) -> int:
        return self.network.dimension if output == "raw" else self.describer.dimension

    def decode(self, image: Image) -> Decoded:
        """An image made ready for the network, or the reason why it cannot be."""
        try:
            picture = decode_picture(image.read(), self.network.input_size, pixel_limit=self.pixel_limit)
            return image.id, picture.pixels, picture.damage
        except UndecodableError as error:
            reason = str(error)
        except OSError as error:
            reason = str(error) if error.errno is None else f"cannot be read: {error.strerror}"
        return image.id, BadImage(image.id, reason), None

    def describe(self, raw: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
        """Raw embeddings float32 [N, E] -> what ``output`` names, float32 [N, D] (or [N, E] for "raw")."""
        if output == "raw":
            return raw
        if output == "projected":
            return self.describer.project(raw)
        return self.describer.describe_queries(raw, self.bundle.normalisation(1 if output == "method1" else 2))
