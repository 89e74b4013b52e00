"""One bundle made ready to run: an image to pixels, pixels to raw embeddings, raw embeddings to descriptors."""

import logging
from collections.abc import Sequence

import numpy as np

from .bundle import Bundle
from .decoded_by import CPU, DECODER
from .decoding import DecoderName, decode_together, open_decoder, why_not
from .describe import BackendName, CardDescriber, Describer
from .device import on_host, side_by_side, stacked
from .embedder import Decoded, Float32, Output, Raw, Role, Views
from .errors import DeviceError, MissingExtraError
from .infer import BatchedNetwork, Building, Device, Network, Runtime, open_network
from .manifest import Precision
from .match.regions import MOST_REGIONS
from .match.views import query_views
from .read import DEFAULT_PIXEL_LIMIT, Image, PixelImage, UndecodableError, decode_sizes, stretch_sizes
from .read.batches import Squares
from .read.decode import decode_whole
from .threads import cpu_count

log = logging.getLogger(__name__)


class BundleEmbedder:
    """Images to descriptors with one bundle; an :class:`~copytrace.engine.embedder.Embedder`.

    precision: "int8" (default, fast on processors), "fp16" (for cards) or "float32". threads: for networks, and for
    decoding unless ``decoders`` says how many decode (default: all processors). batch: images a network computes at a time
    (default: the bundle's).
    backend: who projects and normalises, see :data:`copytrace.engine.describe.BackendName`. device, runtime, building: see
    :func:`copytrace.engine.infer.open_network`. decoder: see :data:`copytrace.engine.decoding.DecoderName`.
    Raises: BundleError, MissingExtraError; DeviceError for a device or a runtime that was named and cannot be used;
    CopytraceError for a decoder of which that is so.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision = "int8",
        device: Device = "auto",
        runtime: Runtime = "auto",
        threads: int | None = None,
        decoders: int | None = None,
        batch: int | None = None,
        backend: BackendName = "auto",
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
        decoder: DecoderName = "auto",
        building: Building = lambda what, done: None,
    ) -> None:
        self.bundle = bundle
        self.precision = precision
        self.pixel_limit = pixel_limit
        self.networks: list[Network] = [
            open_network(file, device, runtime=runtime, batch=batch, building=building)
            for file in bundle.networks(precision)
        ]
        self.sizes = sorted({network.input_size for network in self.networks})
        self.decoders = decoders or threads or cpu_count()
        self.workers = max(network.lanes for network in self.networks) or threads or cpu_count()
        # Two threads for every processor won nothing: 1.01 to 1.04 times as long, for a reference of `match` 1.1 times.
        self.two_stages = any(network.lanes for network in self.networks) or self.decoders != self.workers
        self.batch = max(network.batch for network in self.networks)
        on_card = all(isinstance(network, BatchedNetwork) for network in self.networks)
        self.describer: Describer = _describer(bundle, backend, on_card)
        self._together = open_decoder(
            decoder,
            self.sizes,
            batch=self.batch,
            on_card=on_card,
            decoders=self.decoders,
            pixel_limit=pixel_limit,
        )
        log.info("%s: %s, %s, %s", bundle.path, bundle.manifest.name, precision, self.runtime)

    @property
    def runtime(self) -> str:
        """What runs the networks and where, and, if it is the CPU, why; for people."""
        return "; ".join(dict.fromkeys(network.runtime for network in self.networks))

    @property
    def decoder(self) -> str:
        """Who decodes plain JPEGs for :meth:`decode`, where they are decoded whole."""
        return CPU if self._together is None else self._together.name

    def output_for(self, role: Role) -> Output:
        """What a role gets by default: references are projected, queries also moved by the bundle's method."""
        if role == "reference":
            return "projected"
        return "method1" if self.bundle.normalisation().method == 1 else "method2"

    def dimension(self, output: Output) -> int:
        """Length of the rows that :meth:`describe` gives."""
        return sum(network.dimension for network in self.networks) if output == "raw" else self.describer.dimension

    def attributes(self) -> dict[str, str]:
        """What a descriptor file says of the rows' origin."""
        return {
            "space": self.bundle.space,
            "recipe": self.bundle.recipe,
            "bundle_name": self.bundle.manifest.name,
            "precision": self.precision,
        }

    def options(self) -> dict[str, str | int]:
        """What else rows, or which images have one, depend on."""
        options: dict[str, str | int] = {"pixel_limit": self.pixel_limit, "backend": self.describer.backend}
        if any(network.lanes for network in self.networks):
            options["runtime"] = self.runtime
            options["batch"] = self.batch  # the largest size's kernels are what the others have to agree with
        if self._together is not None:
            options[DECODER] = self._together.name
        return options

    def decode(self, images: Sequence[Image | PixelImage], views: Views = "whole") -> list[Decoded]:
        """Each image's pixels at every size in ``sizes``, or why there are none; and those of its views."""
        if self._together is not None and views == "whole":
            return decode_together(self._together, images, self.sizes)
        return [self._decode(image, views) for image in images]

    def embed(self, pictures: Sequence[Squares]) -> Raw:
        """Raw embeddings float32 [N, E]: the networks' outputs side by side, each of the picture at its own size."""
        squares = {size: stacked([picture[i] for picture in pictures]) for i, size in enumerate(self.sizes)}
        on_card = [network for network in self.networks if isinstance(network, BatchedNetwork)]
        if len(on_card) == len(self.networks):
            return side_by_side([network.rows_on_card(squares[network.input_size]) for network in on_card])
        of_size = {size: on_host(pixels) for size, pixels in squares.items()}
        parts = [network(of_size[network.input_size]) for network in self.networks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def describe(self, raw: Raw, output: Output) -> Float32:
        """Raw embeddings float32 [N, E] -> what ``output`` names, float32 [N, D] (or [N, E] for "raw").

        Raises: ValueError where a row is not finite.
        """
        if output == "raw":
            return on_host(raw)
        how = None if output == "projected" else self.bundle.normalisation(1 if output == "method1" else 2)
        if isinstance(self.describer, CardDescriber):
            return self.describer.project(raw) if how is None else self.describer.describe_queries(raw, how)
        rows = on_host(raw)
        return self.describer.project(rows) if how is None else self.describer.describe_queries(rows, how)

    def _decode(self, image: Image | PixelImage, views: Views) -> Decoded:
        try:
            if views != "whole":
                return self._decode_views(image, views)
            if isinstance(image, PixelImage):
                return Decoded(image.id, stretch_sizes(image.pixels, self.sizes))
            pixels, damage = decode_sizes(image.read(), self.sizes, pixel_limit=self.pixel_limit)
            return Decoded(image.id, pixels, damage=damage)
        except (UndecodableError, OSError) as error:
            return Decoded(image.id, None, why_not(error))

    def _decode_views(self, image: Image | PixelImage, views: Views) -> Decoded:
        """The whole picture, just as without views, and what was found in it. Raises: UndecodableError, OSError."""
        if isinstance(image, PixelImage):
            grey, damage = image.pixels.ndim == 2, None
            pixels = np.repeat(image.pixels[:, :, None], 3, axis=2) if grey else image.pixels
        else:
            picture, _ = decode_whole(image.read(), max(self.sizes), self.pixel_limit)
            pixels, damage = picture.pixels, picture.damage
        found = query_views(
            pixels, turns=views in ("turns", "all"), regions=MOST_REGIONS if views in ("regions", "all") else 0
        )
        (_, whole), *others = [(view.label, stretch_sizes(view.cut(pixels), self.sizes)) for view in found]
        return Decoded(image.id, whole, damage=damage, views=others)


def _describer(bundle: Bundle, backend: BackendName, on_card: bool) -> Describer:
    """Raises: BundleError; DeviceError, MissingExtraError for "cuda"."""
    if backend == "auto" and on_card:
        try:
            return bundle.describer("cuda")
        except (DeviceError, MissingExtraError) as error:
            log.warning("descriptors are computed on the CPU: %s", error)
    return bundle.describer("native" if backend == "auto" else backend)
