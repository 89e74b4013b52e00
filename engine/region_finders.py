"""Who finds regions in a query, by name; joins the ways of ``match`` with a bundle's network.

=========  ===================================================================================================
classical  rectangles by long straight edges
trained    the bundle's detector of pasted photographs, which may also be turned, round or have soft edges
both       what the detector finds, and behind it sure rectangles elsewhere; the default where there is a detector
=========  ===================================================================================================
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from .bundle import Bundle
from .errors import BundleError, MatchError
from .infer import Network, open_network
from .manifest import Precision
from .match.detector import DEFAULT_RULES, DetectorRules, grid_of, read_regions
from .match.regions import Pixels, Region, RegionFinder, distinct, find_regions
from .read import stretch

FinderName = Literal["classical", "trained", "both"]


@dataclass(frozen=True, eq=False, slots=True)
class TrainedFinder:
    """Regions by a detector network."""

    network: Network
    rules: DetectorRules = DEFAULT_RULES

    def __call__(self, pixels: Pixels, most: int) -> list[Region]:
        """See :class:`~copytrace.engine.match.regions.RegionFinder`. Raises: BundleError when the network fails."""
        maps = self.network(stretch(pixels, self.network.input_size)[None])[0]
        return read_regions(maps, (pixels.shape[1], pixels.shape[0]), most, self.rules)


@dataclass(frozen=True, eq=False, slots=True)
class BothFinders:
    """Regions of the first finder, then those of the second that are elsewhere: its likeliest one where the first finds none,
    and beside that only those of strength ``sure`` or more.

    A view more takes as long as all that is done with its candidates. Of 500 attacked training photographs 497 are among ten
    candidates, by all rectangles (6.7 views a query) as well as by 5.1 views with ``sure`` 1.2.
    """

    first: RegionFinder
    second: RegionFinder
    sure: float = 1.2

    def __call__(self, pixels: Pixels, most: int) -> list[Region]:
        found = self.first(pixels, most)
        if len(found) == most:
            return found
        regions = distinct([*found, *self.second(pixels, most)], most)
        needed = max(1, len(found))
        return regions[:needed] + [region for region in regions[needed:] if region.strength >= self.sure]


def region_finder(name: FinderName | None, bundle: Bundle, precision: Precision) -> RegionFinder:
    """name: None for what the bundle has: both ways, or, without a detector, the classical one.

    Raises: ValueError for another name; MatchError where the bundle has no detector; BundleError for one that is none.
    """
    name = name or ("classical" if bundle.manifest.detector is None else "both")
    if name not in get_args(FinderName):
        raise ValueError(f"the finder of regions must be one of {', '.join(get_args(FinderName))}, not {name!r}")
    if name == "classical":
        return find_regions
    if bundle.manifest.detector is None:
        raise MatchError(f"{bundle.path}: has no detector, which {name} regions need; use classical ones")
    trained = _trained_finder(bundle, precision)
    return trained if name == "trained" else BothFinders(trained, find_regions)


@lru_cache(maxsize=4)  # a service asks for it with every query
def _trained_finder(bundle: Bundle, precision: Precision) -> TrainedFinder:
    file = bundle.detector(precision)
    assert file is not None
    network = open_network(
        file, "cpu", runtime="onnxruntime", batch=1
    )  # one picture at a time, on the thread that looks at it
    try:
        grid_of(network.dimension)
    except ValueError as error:
        raise BundleError(f"{file.path}: {error}") from None
    return TrainedFinder(network)
