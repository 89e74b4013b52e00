"""Joins the stages of matching: views, candidates, local matches, geometry, aligned pixels, probability.

========  =====================================================================================================
mode      candidates of a query, and what is looked at
========  =====================================================================================================
views     the ten references nearest to any of its views, by the global descriptor alone
verify    the same ten, each verified by local features
full      also the three with the most votes of local features among all references
========  =====================================================================================================

The rules of ISC2021's third place (``published``) have candidates and a score of their own.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from .api import Engine
from .candidates import NearestReferences, nearest_references, similarities
from .collection import Collection
from .errors import BadImageError, MatchError
from .local_recall import LocalRecall, Recall
from .match.aligned import NOTHING, align
from .match.constants import MatchConstants
from .match.misfit import misfit
from .match.probability import PairFeatures
from .match.recall import Quantisers
from .match.regions import MOST_REGIONS
from .match.verification import NONE, Verification
from .match.verify import Verifier
from .match.views import REFERENCE_VIEWS
from .matches import Look, Match, Matched, weigh
from .memory import Picture as GivenImage
from .memory import as_images
from .parallel import Threads
from .pictures import Looks, Picture, picture_stream
from .pipeline import chunks_of
from .published import CONVENTIONS, PublishedMatcher, Rule
from .read import BadImage, Place, Source
from .references import References, notes_on, references_at
from .region_finders import FinderName, region_finder
from .run import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")
Mode = Literal["views", "verify", "full"]
CANDIDATES = 10
VOTED = 3
_GROUP = 64  # queries searched at a time: the search reads all references, and their checksums, once for them


class Matcher:
    """Finds of which references images are copies.

    references: a source of images (folder, tar, list of paths), a collection or its folder, or ``References``. mode: see above.
    engine: what embeds (default: the default bundle); its threads are used for all. candidates, voted: how many references are
    looked at. turns, regions: the views of a query beside the whole. finder: who finds the regions, see ``region_finders``.
    crops: compare crops of references that are images; a collection has them or not, and another wish is an error.
    pictures: put small ones into the evidence, for drawing. announce: is told the size of an index before it is built, and what
    may make answers others than they were (default: the log).
    nearest: who finds the nearest references (default: exact search; ``milvus_index.open_candidates`` opens an index).
    recall: whose votes ``full`` goes by (default: those of an index of the references' local features, made here).
    rule: "copytrace", or a published one, which leaves mode, voted, turns and regions unused.
    Raises: SourceError, CollectionError, BundleError, MatchError, MissingExtraError.
    """

    def __init__(
        self,
        references: Place | Collection | References,
        mode: Mode = "verify",
        *,
        rule: Rule = "copytrace",
        engine: Engine | None = None,
        candidates: int = CANDIDATES,
        voted: int = VOTED,
        turns: bool = True,
        regions: int = MOST_REGIONS,
        finder: FinderName | None = None,
        crops: bool | None = None,
        pictures: bool = False,
        constants: MatchConstants | None = None,
        recall: Recall | None = None,
        nearest: NearestReferences = nearest_references,
        progress: Progress = lambda done, total, failed: None,
        announce: Callable[[str], None] = log.info,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, not {rule!r}")
        if candidates < 1 or voted < 0 or not 0 <= regions <= 9:
            raise ValueError("candidates must be at least 1, voted at least 0 and regions 0 to 9")
        self.mode = mode
        self.engine = engine or Engine()
        self._embedder = self.engine.embedder
        find = region_finder(finder, self._embedder.bundle, self._embedder.precision)
        convention = CONVENTIONS.get(rule)
        self._local = local = mode != "views" or convention is not None
        if not isinstance(references, References):
            references = references_at(self._embedder, references, local=local, crops=crops, progress=progress)
        if local and len(references.features) != len(references):
            what = f"mode {mode}" if convention is None else f"rule {rule}"
            raise MatchError(f"{what} needs the references' local features, and these have none")
        self.references = references
        for note in notes_on(self.engine.bundle, references):
            announce(note)
        self._looks = Looks.of_queries(self._embedder, local=local, turns=turns, regions=regions, finder=finder)
        if convention is not None:
            self._looks = Looks.of_branches(self._embedder, find)
        self._constants = constants or MatchConstants.load(self.engine.bundle.matching_file("constants")[0])
        self._workers = Threads(self._embedder.workers, "match")
        self._pictures = pictures
        self._candidates = candidates
        self._voted = voted
        self._nearest_references = nearest
        self.recall: Recall | None = recall
        if recall is None and (convention or (mode == "full" and voted)):
            self.recall = self._local_recall(announce)
        self._published: PublishedMatcher | None = None
        if convention is not None and isinstance(self.recall, LocalRecall):
            self._published = PublishedMatcher(self.recall, convention)

    def update(self, collection: Collection) -> None:
        """Go by what a collection, the one matched with so far, holds now; only what came and went is looked at for votes.

        Not while another thread matches. Raises: CollectionError; MatchError where local features are missing.
        """
        references = references_at(self._embedder, collection, local=self._local)
        if isinstance(self.recall, LocalRecall):
            self.recall.update(references)
        self.references = references

    def match(self, images: GivenImage | Iterable[GivenImage]) -> list[list[Match]]:
        """Paths, encoded images or pixels (uint8 RGB [H, W, 3] or grey [H, W]) -> the matches of each, the likeliest first.

        Raises: BadImageError naming every image that cannot be used; ValueError or TypeError for what is no image.
        """
        found = list(self.matched(picture_stream(self._embedder, as_images(images), self._looks)))
        bad = sorted(f"{query.query_id}: {query.reason}" for query in found if query.reason is not None)
        if bad:
            raise BadImageError("; ".join(bad))
        return [query.matches for query in found]

    def match_source(self, source: Source, progress: Progress = lambda done, total, failed: None) -> Iterator[Matched]:
        """The same for every image of a source, in order; what cannot be used has a reason instead of matches."""
        failed = 0
        for done, query in enumerate(self.matched(picture_stream(self._embedder, source, self._looks)), 1):
            failed += query.reason is not None
            progress(done, len(source), failed)
            yield query

    def matched(self, pictures: Iterable[Picture | BadImage]) -> Iterator[Matched]:
        """The same for pictures that are made ready already, as ``Looks`` of this mode or rule."""

        def matched(query: Picture, nearest: NDArray[np.int64], voted: list[int]) -> Matched:
            if self._published is not None:
                return self._published.matched(query, nearest, self.references)
            return self._weighed(query, self._look(query, self._chosen(query, nearest, voted)))

        for query, found in self._each(pictures, matched):
            yield Matched(query.id, [], query.reason) if isinstance(query, BadImage) else cast(Matched, found)

    def verify_source(
        self,
        source: Source,
        pairs: Iterable[tuple[str, str]],
        progress: Progress = lambda done, total, failed: None,
    ) -> Iterator[Matched]:
        """A second look at pairs (query id, reference id) of a source's images, however they were found; queries in order.

        Raises: MatchError for an id that is not there, and under a published rule, which verifies nothing.
        """
        if self._published is not None:
            raise MatchError("pairs are verified by the rule copytrace alone")
        wanted = self.references.numbers_of(pairs, source)
        queries = [image for image in source if image.id in wanted]
        stream = picture_stream(self._embedder, queries, self._looks)
        failed = 0
        for done, query in enumerate(stream, 1):
            failed += isinstance(query, BadImage)
            progress(done, len(queries), failed)
            if isinstance(query, BadImage):
                yield Matched(query.id, [], query.reason)
            else:
                yield self._weighed(query, self._look(query, wanted[query.id]))

    def looks(self, pictures: Iterable[Picture | BadImage]) -> Iterator[tuple[Picture | BadImage, list[Look]]]:
        """What is found about every query and its candidates, in order, before it is weighed."""

        def look(query: Picture, nearest: NDArray[np.int64], voted: list[int]) -> list[Look]:
            return self._look(query, self._chosen(query, nearest, voted))

        return ((query, looks or []) for query, looks in self._each(pictures, look))

    def _each(
        self, pictures: Iterable[Picture | BadImage], look: Callable[[Picture, NDArray[np.int64], list[int]], T]
    ) -> Iterator[tuple[Picture | BadImage, T | None]]:
        """Every query with what ``look`` makes of it and the numbers of the references nearest to its views, and of those voted
        for."""

        def done(item: tuple[Picture | BadImage, NDArray[np.int64], list[int]]) -> T | None:
            query, nearest, voted = item
            return None if isinstance(query, BadImage) else look(query, nearest, voted)

        for group in chunks_of(pictures, _GROUP):
            items = list(zip(group, self._nearest(group), self._most_voted(group), strict=True))
            yield from zip(group, self._workers.map(done, items, len(items) + 1), strict=True)

    def _nearest(self, group: Sequence[Picture | BadImage]) -> list[NDArray[np.int64]]:
        """For every query the references that are among the nearest to one of its views, in order of number."""
        first = 0 if self._published is None else -1  # the published rule searches by the region where there is one
        rows = [query.descriptors[first:] for query in group if isinstance(query, Picture)]
        if not rows:
            return [np.empty(0, np.int64) for _ in group]
        owner = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        queries = np.concatenate(rows)
        of_row, numbers = self._nearest_references(
            queries,
            self.references,
            self._candidates,
            crops=self._published is None,
            threads=self._embedder.workers,
        )
        sets = iter([np.unique(numbers[owner[of_row] == i]) for i in range(len(rows))])
        return [next(sets) if isinstance(query, Picture) else np.empty(0, np.int64) for query in group]

    def _most_voted(self, group: Sequence[Picture | BadImage]) -> list[list[int]]:
        """For every query the references with the most votes; none where the mode or the rule asks for none."""
        features = [query.features if isinstance(query, Picture) else None for query in group]
        if self.recall is None or self._published is not None:
            return [[] for _ in group]
        found = iter(self.recall.most_voted([one for one in features if one is not None], self._voted))
        return [[] if one is None else next(found) for one in features]

    def _chosen(self, query: Picture, nearest: NDArray[np.int64], voted: list[int]) -> list[int]:
        """The numbers of the references to look at."""
        near = similarities(query, self.references, nearest, self._constants.penalties)
        chosen: list[int] = nearest[np.argsort(-near.values, kind="stable")[: self._candidates]].tolist()
        return chosen + [number for number in voted if number not in chosen]

    def _look(self, query: Picture, numbers: Sequence[int]) -> list[Look]:
        """Verify a query with these references."""
        near = similarities(query, self.references, np.asarray(numbers, np.int64), self._constants.penalties)
        found: list[Verification] = [NONE] * len(numbers)
        if query.features is not None:
            found = Verifier(query.features).verify_many([self.references.features[n] for n in numbers])
        return [
            Look(
                n,
                float(near.values[i]),
                int(near.views[i]),
                REFERENCE_VIEWS[near.reference_views[i]],
                found[i],
                self._features(query, n, near.values[i], found[i]),
            )
            for i, n in enumerate(numbers)
        ]

    def _features(self, query: Picture, number: int, similarity: float, found: Verification) -> PairFeatures:
        alignment = NOTHING
        if found.inliers and query.grey is not None:
            frame = self.references.features[number].frame
            alignment = align(query.grey, self.references.thumbnails[number], found.affine, frame)
        off = misfit(query.features, self.references.features[number], found) if query.features is not None else 0.0
        return PairFeatures.of(1.0 + similarity / 2.0, found, alignment, off, len(query.views))

    def _weighed(self, query: Picture, looks: Sequence[Look]) -> Matched:
        model = self._constants.views if self.mode == "views" else self._constants.verify
        return weigh(query, looks, self.references, model, pictures=self._pictures)

    def _local_recall(self, announce: Callable[[str], None]) -> LocalRecall:
        quantisers = Quantisers.load(self.engine.bundle.matching_file("quantisers")[0])
        return LocalRecall(self.references, quantisers, announce, self._embedder.workers)
