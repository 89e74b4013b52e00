"""The Python API for images: :class:`Engine`."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .alike import CROPS, FEATURES, MATCHING, OUTPUT, open_collection
from .arguments import MAX_BATCH, MAX_THREADS, file_path, flag, one_of, whole_number
from .bundle import DEFAULT_BUNDLE, Bundle
from .bundle_embedder import BundleEmbedder
from .decoding import DecoderName
from .describe import BackendName
from .embedder import Damaged, Output, Role, Views
from .errors import BundleError
from .gathering import Gathered, gather_source
from .infer import Building, Device, Runtime
from .manifest import Precision
from .memory import Embedded, Picture, embed_each, embed_images
from .pipeline import Pipeline
from .read import DEFAULT_BYTE_LIMIT, DEFAULT_PIXEL_LIMIT, IdRule, Place, Source, StampKind, open_source
from .run import OnError, Progress, Summary, describe_run, embed_source

PathLike = str | os.PathLike[str]


class Engine:
    """Images to descriptors with one bundle, loaded once.

    bundle: a folder (default: the one in the package). precision: "int8", "float32" or "fp16", of those that the bundle has.
    threads: for networks, and for decoding unless ``decoders`` says how many decode (default: all processors). batch: images a
    network takes at a time. backend: "native", "numpy" or "cuda", who projects and normalises, "auto" for whom the networks'
    device suits. device: "auto" is a graphics card where one can be used, else the CPU. runtime: "onnxruntime", "tensorrt" (on
    a card), "native" (on the CPU), or "auto" for the fastest; :attr:`runtime` says what it came to. TensorRT builds engines
    when a bundle is first used, and ``building`` is told which and how far, 0 to 1. decoder: who decodes plain JPEGs, "cpu",
    "dali", "nvimgcodec", or "auto" for DALI where the networks are on a card and the CPU elsewhere; their pixels differ by
    fractions of a grey level.
    Safe to use from several threads; its copy in another process (it pickles) opens the bundle anew.
    Raises: BundleError, MissingExtraError; DeviceError for a device or a runtime that was named and cannot be used; ValueError
    or TypeError for arguments that are none of these.
    """

    def __init__(
        self,
        bundle: PathLike = DEFAULT_BUNDLE,
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
        one_of("device", device, get_args(Device))
        one_of("runtime", runtime, get_args(Runtime))
        one_of("backend", backend, get_args(BackendName))
        one_of("decoder", decoder, get_args(DecoderName))
        threads = None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
        decoders = None if decoders is None else whole_number("decoders", decoders, 1, MAX_THREADS)
        batch = None if batch is None else whole_number("batch", batch, 1, MAX_BATCH)
        pixel_limit = whole_number("pixel_limit", pixel_limit, 1)
        self.bundle = Bundle(file_path("bundle", bundle))
        self._options: dict[str, Any] = {
            "precision": precision,
            "device": device,
            "runtime": runtime,
            "threads": threads,
            "decoders": decoders,
            "batch": batch,
            "backend": backend,
            "pixel_limit": pixel_limit,
            "decoder": decoder,
        }
        self._embedder = BundleEmbedder(self.bundle, **self._options, building=building)
        self._pipeline = Pipeline(self._embedder)

    def __reduce__(self) -> tuple[Callable[..., "Engine"], tuple[object, ...]]:
        return _reopened, (str(self.bundle.path.absolute()), self._options, self.bundle.space, self.bundle.recipe)

    @property
    def pixel_limit(self) -> int:
        """Images with more pixels are refused."""
        return int(self._options["pixel_limit"])

    @property
    def embedder(self) -> BundleEmbedder:
        """What all of it runs on."""
        return self._embedder

    @property
    def runtime(self) -> str:
        """What runs the networks and where, and, if it is the CPU though a card would have been taken, why."""
        return self._embedder.runtime

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self._pipeline.embedder.dimension("projected")

    def embed(
        self,
        images: Picture | Iterable[Picture],
        *,
        role: Role = "reference",
        output: Output | None = None,
        damaged: Damaged = "keep",
    ) -> NDArray[np.float32]:
        """Paths, encoded images, or pixels (uint8 RGB [H, W, 3] or grey [H, W]) -> float32 [N, D], in the order given.

        images: any iterable of them, pixels also as one array [N, H, W, 3]; a single one gives one row, [1, D].
        role: queries are also moved away from the bank. output: "raw", "projected", "method1" or "method2" instead of what
        the role gets. damaged: "keep" embeds damaged images, with a DamagedImageWarning; with "skip" they cannot be used.
        Raises: BadImageError naming every image that cannot be used; ValueError or TypeError for what is no image, and for
        other arguments that are not allowed.
        """
        one_of("damaged", damaged, get_args(Damaged))
        return embed_images(self._pipeline, images, self._output(role, output), damaged)

    def embed_each(
        self,
        images: Picture | Iterable[Picture],
        *,
        role: Role = "reference",
        output: Output | None = None,
        damaged: Damaged = "keep",
    ) -> list[Embedded]:
        """As :meth:`embed`, with a result for each image, in the order given: its row, or the reason why it has none.

        Raises: ValueError or TypeError for what is no image, and for other arguments that are not allowed.
        """
        one_of("damaged", damaged, get_args(Damaged))
        return embed_each(self._pipeline, images, self._output(role, output), damaged)

    def _output(self, role: Role, output: Output | None) -> Output:
        one_of("role", role, get_args(Role))
        if output is None:
            return self._pipeline.embedder.output_for(role)
        one_of("output", output, get_args(Output))
        return output

    def embed_source(
        self,
        source: Place | Source,
        path: PathLike,
        *,
        role: Role = "reference",
        output: Output | None = None,
        ids: IdRule = "stem",
        resume: bool = False,
        on_error: OnError = "skip",
        byte_limit: int = DEFAULT_BYTE_LIMIT,
        fingerprint: StampKind = "stat",
        damaged: Damaged = "keep",
        views: Views = "whole",
        about: Mapping[str, str] | None = None,
        progress: Progress = lambda done, total, failed: None,
    ) -> Summary:
        """Embed a folder, tar, list of paths or paths in memory into a descriptor file.

        source, ids, byte_limit: as in :func:`copytrace.engine.read.open_source`; a source that is open already is taken as it
        is. With ``on_error`` "skip", a damaged tar and a
        folder that cannot be listed are reported beside what could be read. The rest: see
        :func:`copytrace.engine.run.embed_source`.
        Raises: what these raise, and ValueError or TypeError for arguments that are not allowed.
        """
        output = self._output(role, output)
        one_of("fingerprint", fingerprint, get_args(StampKind))
        one_of("views", views, get_args(Views))
        decoder = self._options["decoder"]
        if views != "whole" and decoder not in ("auto", "cpu"):
            raise ValueError(f"the decoder {decoder} makes whole pictures only; views {views} are the CPU's to cut out")
        flag("resume", resume)
        path = file_path("path", path)
        return embed_source(
            self._pipeline,
            _open_source(source, ids, on_error, byte_limit, damaged, progress),
            path,
            role=role,
            output=output,
            resume=resume,
            on_error=on_error,
            fingerprint=fingerprint,
            damaged=damaged,
            views=views,
            about=about,
            progress=progress,
        )

    def add_source(
        self,
        source: Place | Source,
        collection: PathLike,
        *,
        ids: IdRule = "stem",
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        source_metadata: bool = True,
        features: bool | None = None,
        crops: bool | None = None,
        replace: bool = False,
        on_error: OnError = "skip",
        byte_limit: int = DEFAULT_BYTE_LIMIT,
        damaged: Damaged = "keep",
        progress: Progress = lambda done, total, failed: None,
    ) -> Gathered:
        """Embed a folder, tar, list of paths or paths in memory into a collection, made where there is none.

        source, ids, byte_limit: as in :meth:`embed_source`. features: keep local features and thumbnails too, for the second
        look (default: as the collection does; a new one keeps them). crops: keep the descriptors of nine crops of each, at the
        cost of nine more network passes and rows (fixed when the collection is made; default: as it does, a new one keeps
        none). The rest: see
        :func:`copytrace.engine.gathering.gather_source`.
        Raises: what that raises, SourceError, and ValueError or TypeError for arguments that are not allowed.
        """
        flag("replace", replace)
        flag("source_metadata", source_metadata)
        if features is not None:
            flag("features", features)
        if crops is not None:
            flag("crops", crops)
        collection = file_path("collection", collection)
        opened = _open_source(source, ids, on_error, byte_limit, damaged, progress)
        made = describe_run(self._embedder, "reference", OUTPUT)
        dimension = self._embedder.dimension(OUTPUT)
        properties = {FEATURES: features is not False, CROPS: bool(crops), MATCHING: self.bundle.matching}
        with open_collection(collection, dimension, made, properties=properties) as target:
            return gather_source(
                self._embedder,
                opened,
                target,
                metadata=metadata,
                source_metadata=source_metadata,
                features=features,
                crops=crops,
                replace=replace,
                on_error=on_error,
                damaged=damaged,
                progress=progress,
            )


def _open_source(
    source: Place | Source, ids: IdRule, on_error: OnError, byte_limit: int, damaged: Damaged, progress: Progress
) -> Source:
    """A source, with what goes with it checked. Raises: SourceError; ValueError or TypeError for what is not allowed."""
    one_of("ids", ids, get_args(IdRule))
    one_of("on_error", on_error, get_args(OnError))
    one_of("damaged", damaged, get_args(Damaged))
    byte_limit = whole_number("byte_limit", byte_limit, 1)
    if not callable(progress):
        raise TypeError("progress must be a function of images done, images in all and images failed")
    if isinstance(source, Source):
        return source
    if isinstance(source, str | os.PathLike | bytes | Mapping) or not isinstance(source, Iterable):
        source = file_path("source", source)  # all others are paths in memory
    return open_source(source, ids=ids, on_damage=on_error, byte_limit=byte_limit)


def _reopened(path: str, options: dict[str, Any], space: str, recipe: str) -> Engine:
    """The engine that was pickled. Raises: BundleError when its bundle has become another since."""
    engine = Engine(path, **options)
    if (engine.bundle.space, engine.bundle.recipe) != (space, recipe):
        raise BundleError(f"{path}: is another bundle than when the engine was pickled")
    return engine
