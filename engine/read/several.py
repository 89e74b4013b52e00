"""Files that hold many images each, tars (WebDataset's among them) or Parquet files, as one source."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import SourceError
from .archive import TarReader, list_tar
from .entry import Entry, IdRule, shown, unreadable
from .parquet import list_parquet
from .source import Listing

_TAR, _PARQUET = ".tar", ".parquet"


class TarsReader:
    """Reads members of several tars; each is opened for every image, as there may be more than a process may hold open."""

    def __init__(self, paths: list[Path], states: list[str], byte_limit: int) -> None:
        self._paths = paths
        self._states = states
        self.byte_limit = byte_limit

    def read(self, entry: Entry) -> bytes:
        with TarReader(self._paths[entry.file], self.byte_limit) as reader:
            if reader.whole_state != self._states[entry.file]:
                raise OSError(f"{shown(self._paths[entry.file].name)} has changed since it was listed")
            return reader.read(entry)

    def file(self, entry: Entry) -> Path:
        return self._paths[entry.file]

    def state(self, entry: Entry) -> str:
        return f"{entry.offset} {entry.size} {entry.changed} {self._states[entry.file]}"


def holds_many(name: str) -> bool:
    """Whether a file is, by its name, one that holds many images."""
    return PurePosixPath(name).suffix.lower() in (_TAR, _PARQUET)


def list_several(root: Path, names: Sequence[str], rule: IdRule, byte_limit: int) -> Listing:
    """The images in files that hold many each, named relative to ``root``; these names go before those of the images in them.

    One that cannot be read is a damage. Raises: SourceError for tars and Parquet files together, and as :func:`list_parquet`.
    """
    kinds = {PurePosixPath(name).suffix.lower(): name for name in names}
    if len(kinds) > 1:
        first, second, *_ = map(shown, kinds.values())
        raise SourceError(f"a source is of files of one kind that hold many images, not of {first} and {second}")
    if _PARQUET in kinds:
        return list_parquet(root, names, rule, byte_limit)
    paths = [root / name for name in names]
    states: list[str] = []
    listing = Listing([], [], Counter(), TarsReader(paths, states, byte_limit))
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            with TarReader(path, byte_limit) as reader:
                states.append(reader.whole_state)
                one = list_tar(path, rule, byte_limit, reader=reader, within=name, number=number)
        except OSError as error:
            states.append("")
            listing.damages.append(unreadable(name, number, f"cannot be read: {error.strerror}"))
            continue
        listing.entries += one.entries
        listing.damages += one.damages
        listing.ignored += one.ignored
    return listing
