"""A source of images: their ids, sorted, and a way to the bytes of each.

No more than a name and a position is ever held per image. Sources and images pickle, and ``read`` may be called from several
threads.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, Protocol, get_args

from ..arguments import whole_number
from ..errors import DuplicateIdError, SourceError
from .entry import Entry, shown
from .stamps import STAMP_BYTES, StampKind, Stamps, names_digest, stamp

Metadata = dict[str, Any]
"""A JSON object."""


def _none() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a source: its id, a way to its bytes, and one to the metadata that its source has beside it.

    ``read`` raises OSError when they cannot be had; one without an ``errno`` has the whole reason as its text. So does
    ``metadata``, which is None where the source has nothing of the kind.
    """

    id: str
    read: Callable[[], bytes]
    metadata: Callable[[], Metadata | None] = _none


class Reader(Protocol):
    """Reads the entries of one source, those of no more than ``byte_limit`` bytes; it pickles."""

    byte_limit: int

    def read(self, entry: Entry) -> bytes:
        """The entry's bytes. Raises: OSError."""
        ...

    def metadata(self, entry: Entry) -> Metadata | None:
        """What the source has beside the entry's bytes. Raises: OSError."""
        ...

    def file(self, entry: Entry) -> Path | None:
        """The file that is this entry alone, where there is one."""
        ...

    def state(self, entry: Entry) -> str:
        """What changes when the entry's bytes are changed, without reading them."""
        ...

    def place(self, entry: Entry) -> tuple[str, str] | None:
        """The name of the file that holds the entry and others, and where it lies there: the same on every machine."""
        ...


@dataclass
class Listing:
    """What was found in one place: images, what is damaged there, and how many files of which kind are not images."""

    entries: list[Entry]
    damages: list[Entry]
    ignored: Counter[str]
    reader: Reader


class Source:
    """A sorted list of images; iterate it for :class:`Image` objects.

    Attributes: ``name``, for messages; ``path``, where it is (None for standard input and paths in memory); ``ignored``, how
    many files of which kind are not images and were left out; ``byte_limit``, beyond which images are not read; ``holders``, of
    a part alone, of every file that holds several images, some of them in the part, a hash that changes with the file and is
    the same for every copy of it.
    """

    def __init__(
        self, name: str, path: Path | None, entries: list[Entry], reader: Reader, ignored: Mapping[str, int]
    ) -> None:
        self.name = name
        self.path = path
        self.ignored = dict(ignored)
        self.byte_limit = reader.byte_limit
        self.holders: dict[str, str] = {}
        self._entries = entries
        self._reader = reader

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Image]:
        return self.starting_at(0)

    def starting_at(self, index: int) -> Iterator[Image]:
        """Images from position ``index`` on, in the order of their ids."""
        for position in range(index, len(self._entries)):
            yield self[position]

    def __getitem__(self, index: int) -> Image:
        entry = self._entries[index]
        return Image(entry.id, partial(_read, self._reader, entry), partial(self._reader.metadata, entry))

    def ids(self) -> list[str]:
        return [entry.id for entry in self._entries]

    def files(self) -> Iterator[Path]:
        """Every file that is read: the source itself where it is one, and those of its images."""
        if self.path is not None:
            yield self.path
        last = None
        for entry in self._entries:
            if (file := self._reader.file(entry)) not in (None, last):
                yield file
            last = file

    def part(self, i: int, n: int) -> "Source":
        """The ``i``-th of ``n`` consecutive parts, whose sizes differ by at most one; all parts in order are the whole.

        A part may be empty. What was ignored is counted in the first one. Raises: ValueError unless 0 <= i < n; TypeError for
        what is no whole number.
        """
        n = whole_number("n", n, 1)
        i = whole_number("i", i, 0, n - 1)
        start, stop = (len(self) * place // n for place in (i, i + 1))
        entries = self._entries[start:stop]
        part = Source(self.name, self.path, entries, self._reader, self.ignored if i == 0 else {})
        part.holders = self._holders(entries)
        return part

    def cycled(self, count: int) -> "Source":
        """``count`` images: the first ones, or all again and again; their ids are numbers. Raises: ValueError, TypeError."""
        count = whole_number("count", count, 1)
        names = (f"{position:0{len(str(count))}}" for position in range(count))
        entries = [replace(entry, id=name) for name, entry in zip(names, cycle(self._entries), strict=False)]
        return Source(self.name, self.path, entries, self._reader, self.ignored)

    def stamps(self, kind: StampKind = "stat") -> Stamps:
        """A stamp of every image as it is now: of its size and time of change ("stat"), or of its bytes ("hash").

        "hash" reads every image once.
        """
        if kind not in get_args(StampKind):
            raise ValueError(f"a stamp is of kind 'stat' or 'hash', not {kind!r}")
        return Stamps(b"".join(stamp(entry, self._reader, kind) for entry in self._entries))

    def _holders(self, entries: list[Entry]) -> dict[str, str]:
        """Of the files that hold these entries and others: a hash of where all their images lie."""
        wanted = {entry.file for entry in entries if self._reader.place(entry) is not None}
        digests: dict[str, hashlib.blake2b] = {}
        for entry in self._entries if wanted else ():
            if entry.file in wanted and (place := self._reader.place(entry)) is not None:
                name, where = place
                digests.setdefault(name, hashlib.blake2b(digest_size=STAMP_BYTES)).update(f"{where}\n".encode())
        return {name: digest.hexdigest() for name, digest in sorted(digests.items())}

    def names(self) -> str:
        """A hash of the ids and names, whatever the images are."""
        return names_digest(self._entries)

    def fingerprint(self, kind: StampKind = "stat") -> str:
        """A hash that changes with the images: with their ids, names, and stamps (see ``stamps``)."""
        return self.stamps(kind).digest()


def _read(reader: Reader, entry: Entry) -> bytes:
    if entry.problem is not None:
        raise OSError(entry.problem)
    return reader.read(entry)


def make_source(name: str, path: Path | None, listing: Listing, *, damages_allowed: bool) -> Source:
    """Sort what was found, and refuse what cannot be a source.

    Raises: SourceError without any image, or where something is damaged and that is not allowed; DuplicateIdError.
    """
    if listing.damages and not damages_allowed:
        raise SourceError(f"{name}: {listing.damages[0].problem}")
    entries = sorted(listing.entries + listing.damages, key=lambda entry: entry.id)
    if not entries:
        kinds = describe_ignored(listing.ignored)
        raise SourceError(f"{name}: no images found" + (f" ({kinds})" if kinds else ""))
    for first, second in pairwise(entries):
        if first.id == second.id:
            raise DuplicateIdError(f"{name}: two images have the id {first.id!r}: {_two(first, second)}")
    return Source(name, path, entries, listing.reader, listing.ignored)


def _two(first: Entry, second: Entry) -> str:
    names = [shown(entry.name) for entry in (first, second)]
    if first.name != second.name:
        rows = [f" (line {entry.row})" if entry.row else "" for entry in (first, second)]
        return f"{names[0]}{rows[0]} and {names[1]}{rows[1]}; rename one, or use --id path"
    if first.offset != second.offset:
        return f"{names[0]} is there twice, at bytes {first.offset} and {second.offset}"
    return f"{names[0]} is there twice" + (
        f", in lines {first.row} and {second.row}" if first.row != second.row else ""
    )


def describe_ignored(ignored: Mapping[str, int]) -> str:
    """ "5 ignored: 3 not an image, 2 hidden file", the most frequent first; empty where there are none."""
    if not ignored:
        return ""
    kinds = sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
    return f"{sum(ignored.values())} ignored: " + ", ".join(f"{count} {kind}" for kind, count in kinds)
