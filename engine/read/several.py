"""Files that hold many images each, tars (WebDataset's among them) or Parquet files, as one source."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import SourceError
from .archive import TarReader, list_tar
from .entry import EMPTY, Entry, IdRule, shown, unreadable
from .files import first_bytes
from .parquet import list_parquet
from .sniff import is_compressed, other_kind
from .source import Listing, Metadata

_SUFFIXES = {
    ".parquet": "Parquet",
    ".tar": "tar",
    **{f".tar.{end}": "tar" for end in ("gz", "bz2", "xz", "zst")},
    **dict.fromkeys((".tgz", ".tbz2", ".txz", ".tzst"), "tar"),
}
"""The ends of names -> what such files are; compressed tars are not read, and named as what is."""


class TarsReader:
    """Reads members of several tars; each is opened for every image, as there may be more than a process may hold open."""

    def __init__(self, root: Path, names: Sequence[str], states: list[str], byte_limit: int) -> None:
        self._root = root
        self._names = names
        self._states = states
        self.byte_limit = byte_limit

    def read(self, entry: Entry) -> bytes:
        with self._opened(entry) as reader:
            return reader.read(entry)

    def metadata(self, entry: Entry) -> Metadata | None:
        if entry.sidecar is None:
            return None
        with self._opened(entry) as reader:
            return reader.metadata(entry)

    def _opened(self, entry: Entry) -> TarReader:
        """Raises: OSError."""
        return TarReader(self.file(entry), self.byte_limit, self._states[entry.file])

    def file(self, entry: Entry) -> Path:
        return self._root / self._names[entry.file]

    def place(self, entry: Entry) -> tuple[str, str]:
        return shown(self._names[entry.file]), f"{entry.offset} {entry.size} {entry.changed}"

    def state(self, entry: Entry) -> str:
        return f"{entry.offset} {entry.size} {entry.changed} {self._states[entry.file]}"


def holds_many(name: str) -> bool:
    """Whether a file is, by its name, one that holds many images."""
    return _kind(name) is not None


def _kind(name: str) -> str | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes[-2:]]
    return next((_SUFFIXES[end] for end in ("".join(suffixes), *suffixes[-1:]) if end in _SUFFIXES), None)


def list_several(root: Path, names: Sequence[str], rule: IdRule, byte_limit: int) -> Listing:
    """The images in files that hold many each, named relative to ``root``; these names go before those of the images in them.

    One that cannot be read is a damage. Raises: SourceError for tars and Parquet files together, and as :func:`list_parquet`.
    """
    kinds = {_kind(name): name for name in names}
    if len(kinds) > 1:
        first, second, *_ = map(shown, kinds.values())
        raise SourceError(f"a source is of files of one kind that hold many images, not of {first} and {second}")
    if "Parquet" in kinds:
        return list_parquet(root, names, rule, byte_limit)
    states: list[str] = []
    listing = Listing([], [], Counter(), TarsReader(root, names, states, byte_limit))
    for number, name in enumerate(names):
        states.append("")
        path = root / name
        try:
            if is_compressed(head := first_bytes(path)):
                listing.damages.append(unreadable(name, number, f"{other_kind(head)}; decompress it first"))
                continue
            with TarReader(path, byte_limit) as reader:
                states[number] = reader.whole_state
                one = list_tar(path, rule, byte_limit, reader=reader, within=name, number=number)
        except OSError as error:
            listing.damages.append(unreadable(name, number, f"cannot be read: {error.strerror or error}"))
            continue
        listing.entries += one.entries
        listing.damages += one.damages
        listing.ignored += one.ignored
        listing.ignored[EMPTY] += not (one.entries or one.damages)
    listing.ignored = +listing.ignored  # without those of which there are none
    return listing
