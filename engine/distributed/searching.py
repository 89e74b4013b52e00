"""References searched by a cluster: their parts lie in actors, and what these find becomes the answer of one machine."""

import os
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..api import PathLike
from ..arguments import MAX_THREADS, file_path, one_of, whole_number
from ..bundle import Bundle
from ..found import Found
from ..infer import Device
from ..run import Progress
from ..search import CardScanner, Images, Pairs, PartedSearch, RowSearch, Wanted, answer
from ..search.pairs import Indices, Offsets, check_dimensions, load
from ..searching import Compared, what_is_wanted
from ..store import open_descriptors
from .cluster import AUTO, Staffing, connected
from .job import Opened
from .joined import JoinedFiles, Part, parts_of
from .pace import Counted
from .team import ATTEMPTS, Team


@dataclass(frozen=True, slots=True)
class ActorUse:
    """An actor: its machine and process, the rows it has searched, and the most memory its process has had, in bytes."""

    place: str
    process: int
    rows: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class ClusterFound:
    """What was found, as by one machine; and by whom: actors, how many parts, and how often one was handed out again."""

    found: Found
    actors: list[ActorUse]
    parts: int
    again: int


@dataclass(frozen=True, slots=True)
class PartFound:
    """A part's pairs, by the numbers of all references; and who found them."""

    pairs: Pairs
    use: ActorUse


class PartSearcher:
    """Searches parts of the references, of which it holds one; see :class:`~copytrace.engine.distributed.job.Worker`.

    queries [N, D] with the ranks of their images and what the search for the best of everything adds to their distances.
    """

    def __init__(
        self, queries: NDArray[np.float32], ranks: Indices, offsets: Offsets | None, threads: int, device: Device
    ) -> None:
        self._queries, self._ranks, self._offsets = queries, ranks, offsets
        self._threads, self._device = threads, device
        self._held: tuple[Part, NDArray[np.float32], Indices] | None = None

    def open(self) -> Opened:
        """Raises: DeviceError, MissingExtraError."""
        columns = self._queries.shape[1]
        self._scanner = CardScanner(columns) if self._device == "cuda" else None
        return Opened(platform.node(), {"version": version("copytrace")})

    def work(self, number: int, part: Part, wanted: Wanted) -> PartFound:
        """Raises: SearchError; StoreError where the part's files cannot be read, or are not the driver's."""
        rows, ranks = self._rows_of(part)
        offsets = self._offsets if wanted.kind == "top" else None
        search = RowSearch(self._queries, rows, self._ranks, ranks, offsets, self._threads, self._scanner)
        found = answer(search, wanted)
        use = ActorUse(platform.node(), os.getpid(), part.rows, _peak_bytes())
        return PartFound(Pairs(found.queries, found.references + part.first, found.distances), use)

    def progress(self) -> tuple[int, Counted]:
        return -1, Counted(0, 0)

    def _rows_of(self, part: Part) -> tuple[NDArray[np.float32], Indices]:
        """A part's rows and the ranks of their images among its own."""
        if self._held is None or self._held[0] != part:
            self._held = None  # there may be no room for two
            with part.open() as files:
                here = slice(part.start, part.stop)
                ranks = Images.of(files.ids[here], files.views and files.views[here]).row_ranks
                self._held = part, files.descriptors[here], ranks
        return self._held[1:]


def search_on_cluster(
    queries: PathLike,
    references: PathLike,
    *,
    address: str = AUTO,
    actors: int | None = None,
    threads: int | None = None,
    parts: int | None = None,
    attempts: int = ATTEMPTS,
    top: int | None = None,
    k: int | None = None,
    max_distance: float | None = None,
    bundle: PathLike | Bundle | None = None,
    device: Device = "auto",
    progress: Progress = lambda done, total, failed: None,
) -> ClusterFound:
    """As :func:`copytrace.engine.search`, by the actors of a Ray cluster: the same answer, with ties in the same order.

    queries: a descriptor file. references: one as well, or the folder of all parts of a source; every machine must see them.
    An actor holds one part of the references at a time, of float32 rows, beside the queries; ``parts`` says how many there are
    (default: one for each actor). The driver holds all ids, the queries, and what all parts have found. address, actors,
    threads, attempts: as in :func:`~copytrace.engine.distributed.embed_on_cluster`. device: "cuda" gives each actor a graphics
    card; "auto" is the processors. progress: told how many references were searched. The rest: as in ``search``.
    Raises: ClusterError, MissingExtraError; what ``search`` raises.
    """
    one_of("device", device, get_args(Device))
    wanted = what_is_wanted(top, k, max_distance)
    actors = None if actors is None else whole_number("actors", actors, 1)
    threads = None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
    parts = None if parts is None else whole_number("parts", parts, 1)
    attempts = whole_number("attempts", attempts, 1)
    if bundle is not None and not isinstance(bundle, Bundle):
        bundle = Bundle(file_path("bundle", bundle))
    queries, references = file_path("queries", queries), file_path("references", references)
    with open_descriptors(queries, "query") as q, JoinedFiles.open(references) as r:
        compared = Compared(q, r, bundle, None)
        check_dimensions(q.descriptors, r.descriptors)
        rows = load(q.descriptors, 0, len(q.ids))
        with connected(address, cpus=(actors or 1) * (threads or 1), store_bytes=rows.nbytes) as cluster:
            machines = cluster.machines()
            staff = Staffing.of(machines, actors=actors, threads=threads, on_cards=device == "cuda")
            units = parts_of(r, parts or staff.actors)
            given = [cluster.ray.put(one) for one in (rows, compared.ranks[0], compared.offsets)]
            used: Device = "cuda" if device == "cuda" else "cpu"
            team: Team[Part, PartFound] = Team(
                cluster,
                staff,
                PartSearcher,
                [*given, staff.threads, used],
                measure=lambda part: Counted(part.use.rows, part.use.rows),
                name=str,
                attempts=attempts,
            )
            uses: list[ActorUse] = []

            def report(counted: Mapping[int, Counted]) -> None:
                progress(sum(one.done for one in counted.values()), len(r.ids), 0)

            def ask(wanted: Wanted) -> Sequence[Pairs]:
                answers = team.work(units, wanted, report=report)
                uses[:] = [one.use for one in answers]  # of the last pass, where images with several rows take more
                return [one.pairs for one in answers]

            with team:
                team.expect({"version": version("copytrace")}, "the driver's machine")
                search = PartedSearch(ask, *compared.ranks, compared.offsets)
                found = compared.found(search, wanted, used)
        return ClusterFound(found, _by_actor(uses), len(units), team.lost)


def _peak_bytes() -> int:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _by_actor(uses: Sequence[ActorUse]) -> list[ActorUse]:
    """One entry for each actor, the rows of its parts added up."""
    actors: dict[tuple[str, int], ActorUse] = {}
    for use in uses:
        known = actors.get((use.place, use.process))
        rows, peak = (known.rows, known.peak_bytes) if known else (0, 0)
        merged = ActorUse(use.place, use.process, rows + use.rows, max(peak, use.peak_bytes))
        actors[use.place, use.process] = merged
    return sorted(actors.values(), key=lambda one: (one.place, one.process))
