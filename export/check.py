"""A bundle's files opened as running it would, so that what is wrong with them is known before that."""

from collections.abc import Callable
from pathlib import Path

from copytrace.engine import Bundle, BundleError, MatchError
from copytrace.engine.infer import open_network
from copytrace.engine.manifest import MatchingFile, NetworkFile
from copytrace.engine.match.constants import MatchConstants
from copytrace.engine.match.detector import grid_of
from copytrace.engine.match.recall import Quantisers

_LOADERS: dict[MatchingFile, Callable[[Path], object]] = {
    "constants": MatchConstants.load,
    "quantisers": Quantisers.load,
}


def check_arrays(bundle: Bundle) -> None:
    """Projection, bank and what is fitted for matching. Raises: BundleError."""
    bundle.describer()
    for name, entry in bundle.manifest.matching.items():
        check_matching(name, bundle.path / entry.file)


def check_networks(bundle: Bundle) -> None:
    """Every network in every precision. Raises: BundleError, MissingExtraError."""
    for network in bundle.manifest.networks:
        for precision, entry in network.precisions.items():
            opened = open_network(NetworkFile(bundle.path / entry.file, network, precision), "cpu", batch=1)
            if network.role == "detector":
                try:
                    grid_of(opened.dimension)
                except ValueError as error:
                    raise BundleError(f"{bundle.path / entry.file}: {error}") from None


def check_matching(name: MatchingFile, file: Path) -> None:
    """Raises: BundleError for a file that is none of the kind."""
    try:
        _LOADERS[name](file)
    except MatchError as error:
        raise BundleError(str(error)) from None
