"""The Python API: :class:`Engine` for images, and the search behind the command line."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bundle import DEFAULT_BUNDLE, Bundle
from .describe.describer import Backend
from .embedder import Damaged, Device, Embedder, Output, Precision, Role
from .errors import SearchError
from .found import Found, origin
from .outputs import PAIRS, check_output
from .pipeline import embed_images
from .read import DEFAULT_BYTE_LIMIT, DEFAULT_PIXEL_LIMIT, IdRule, Place, StampKind, open_source
from .run import OnError, Progress, Summary, embed_source
from .score import write_pairs
from .search import id_ranks, nearest_pairs, pairs_within, top_pairs
from .store import open_descriptors
from .store.atomic import replacing

DEFAULT_TOP = 500_000
PathLike = str | os.PathLike[str]


class Engine:
    """Images to descriptors with one bundle, loaded once.

    bundle: a folder (default: the one in the package). precision: "int8" or "float32". threads: for decoding and networks
    (default: all processors). batch: images a network takes at a time. backend: "native" or "numpy".
    Raises: BundleError, MissingExtraError.
    """

    def __init__(
        self,
        bundle: PathLike = DEFAULT_BUNDLE,
        *,
        precision: Precision = "int8",
        device: Device = "auto",
        threads: int | None = None,
        batch: int | None = None,
        backend: Backend = "native",
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    ) -> None:
        self.bundle = Bundle(bundle)
        self._embedder = Embedder(
            self.bundle,
            precision=precision,
            device=device,
            threads=threads,
            batch=batch,
            backend=backend,
            pixel_limit=pixel_limit,
        )

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self._embedder.dimension("projected")

    def embed(
        self,
        images: Sequence[PathLike | bytes | NDArray[np.uint8]],
        *,
        role: Role = "reference",
        output: Output | None = None,
        damaged: Damaged = "keep",
    ) -> NDArray[np.float32]:
        """Paths, encoded images, or pixels (uint8 RGB [H, W, 3] or grey [H, W]) -> float32 [N, D], in the order given.

        role: queries are also moved away from the bank. output: "raw", "projected", "method1" or "method2" instead of what
        the role gets. damaged: "keep" embeds damaged images, with a DamagedImageWarning; with "skip" they cannot be used.
        Raises: BadImageError naming every image that cannot be used; ValueError for arrays that are not pixels.
        """
        return embed_images(self._embedder, images, output or self._embedder.output_for(role), damaged)

    def embed_source(
        self,
        source: Place,
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
        progress: Progress = lambda done, total, failed: None,
    ) -> Summary:
        """Embed a folder, tar, list of paths or paths in memory into a descriptor file.

        source, ids, byte_limit: as in :func:`copytrace.engine.read.open_source`. With ``on_error`` "skip", a damaged tar and a
        folder that cannot be listed are reported beside what could be read. The rest: see
        :func:`copytrace.engine.run.embed_source`.
        """
        return embed_source(
            self._embedder,
            open_source(source, ids=ids, on_damage=on_error, byte_limit=byte_limit),
            Path(path),
            role=role,
            output=output,
            resume=resume,
            on_error=on_error,
            fingerprint=fingerprint,
            damaged=damaged,
            progress=progress,
        )


def search(
    queries: PathLike,
    references: PathLike,
    *,
    top: int | None = None,
    k: int | None = None,
    max_distance: float | None = None,
    threads: int | None = None,
) -> Found:
    """Search one descriptor file with another, references read block by block.

    Give one of ``top`` (the best pairs over everything, the default with 500,000), ``k`` or ``max_distance``.
    Raises: StoreError, SearchError.
    """
    if sum(value is not None for value in (top, k, max_distance)) > 1:
        raise ValueError("give only one of top, k and max_distance")
    with open_descriptors(queries, "query") as q, open_descriptors(references, "reference") as r:
        bundles = [str(file.attributes["bundle"])[:12] for file in (q, r) if "bundle" in file.attributes]
        if len(set(bundles)) > 1:
            raise SearchError(
                f"made with different bundles, not comparable: {q.path} {bundles[0]}, {r.path} {bundles[1]}"
            )
        a, b, query_ranks, reference_ranks = q.descriptors, r.descriptors, _ranks(q.ids, q.path), _ranks(r.ids, r.path)
        if k is not None:
            pairs = nearest_pairs(a, b, k, query_ranks=query_ranks, reference_ranks=reference_ranks, threads=threads)
        elif max_distance is not None:
            limit = max_distance
            pairs = pairs_within(a, b, limit, query_ranks=query_ranks, reference_ranks=reference_ranks, threads=threads)
        else:
            count = DEFAULT_TOP if top is None else top
            pairs = top_pairs(a, b, count, query_ranks=query_ranks, reference_ranks=reference_ranks, threads=threads)
        return Found(pairs, q.ids, r.ids, origin(q, r))


def _ranks(ids: list[str], path: Path) -> NDArray[np.int64]:
    try:
        return id_ranks(ids)
    except SearchError as error:
        raise SearchError(f"{path}: {error}") from None


def save_pairs(found: Found, path: PathLike) -> None:
    """Write ``pairs.csv`` whole or not at all.

    Raises: StoreError, also when there is a file of another kind at ``path``.
    """
    check_output(path, PAIRS)
    with replacing(Path(path)) as temporary:
        write_pairs(temporary, found.queries(), found.references(), found.pairs.scores)
