"""Who finds regions in a query, by name; joins the ways of ``match`` with a bundle's network.

=========  ===================================================================================================
classical  rectangles by long straight edges
trained    the bundle's detector of pasted photographs, which may also be turned, round or have soft edges
both       what the detector finds, and behind it rectangles that are elsewhere
=========  ===================================================================================================
"""

from dataclasses import dataclass
from typing import Literal, get_args

from .bundle import Bundle
from .errors import BundleError, MatchError
from .infer import Network, open_network
from .manifest import Precision
from .match.detector import DEFAULT_RULES, DetectorRules, grid_of, read_regions
from .match.regions import Pixels, Region, RegionFinder, distinct, find_regions
from .read import stretch

FinderName = Literal["classical", "trained", "both"]
DEFAULT_FINDER: FinderName = "classical"


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
    """Regions of the first finder, then those of the second that are elsewhere."""

    first: RegionFinder
    second: RegionFinder

    def __call__(self, pixels: Pixels, most: int) -> list[Region]:
        found = self.first(pixels, most)
        return found if len(found) == most else distinct([*found, *self.second(pixels, most)], most)


def region_finder(name: FinderName, bundle: Bundle, precision: Precision) -> RegionFinder:
    """Raises: ValueError for another name; MatchError where the bundle has no detector; BundleError for one that is none."""
    if name not in get_args(FinderName):
        raise ValueError(f"the finder of regions must be one of {', '.join(get_args(FinderName))}, not {name!r}")
    if name == "classical":
        return find_regions
    file = bundle.detector(precision)
    if file is None:
        raise MatchError(f"{bundle.path}: has no detector, which {name} regions need; use classical ones")
    network = open_network(file, batch=1)
    try:
        grid_of(network.dimension)
    except ValueError as error:
        raise BundleError(f"{file.path}: {error}") from None
    trained = TrainedFinder(network)
    return trained if name == "trained" else BothFinders(trained, find_regions)
