"""A tar as a source: its members are read in place, in any order."""

import os
from collections import Counter
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath

from .entry import Entry, IdRule, image_id, shown
from .files import read_at, read_image
from .formats import SNIFF_BYTES, has_image_bytes, has_image_name
from .source import Listing
from .tar import Damage, Member, walk

_NO_IMAGE = "not an image"
_UNREAD = {
    "sparse": "stored as a sparse file, which is not read; pack the tar without --sparse",
    "part": "begins in another volume of the tar; join the volumes first",
}


class TarReader:
    """Reads members by position; one descriptor serves all threads. Pickles as its path, and opens it again."""

    def __init__(self, path: Path, byte_limit: int) -> None:
        self._path = path
        self.byte_limit = byte_limit
        self._file = path.open("rb")
        status = os.fstat(self._file.fileno())
        self.length = status.st_size
        self.whole_state = f"{status.st_size} {status.st_mtime_ns}"

    def __enter__(self) -> "TarReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __reduce__(self) -> tuple[type["TarReader"], tuple[Path, int]]:
        return type(self), (self._path, self.byte_limit)

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def read(self, entry: Entry) -> bytes:
        data = read_image(self.descriptor, entry.offset, entry.size, self.byte_limit)
        if len(data) < entry.size:
            raise OSError("the tar ends inside this image")
        return data

    def file(self, entry: Entry) -> None:
        """None: all are in one file."""

    def state(self, entry: Entry) -> str:
        """The archive's own size and time of change too: rewritten in place, a member keeps its header."""
        return f"{entry.offset} {entry.size} {entry.changed} {self.whole_state}"


def list_tar(
    path: Path, rule: IdRule, byte_limit: int, *, reader: TarReader | None = None, within: str = "", number: int = 0
) -> Listing:
    """Every image in an uncompressed tar; links lead to the members they name.

    reader: of the tar, where it is open. within, number: where it is one of several, its name, which goes before those of its
    members, and its number. Raises: OSError.
    """
    return _Members(path, rule, reader or TarReader(path, byte_limit), within, number).listing()


class _Members:
    """Sorts what is in a tar into images, damages and what is ignored."""

    def __init__(self, path: Path, rule: IdRule, reader: TarReader, within: str, number: int) -> None:
        self._path = path
        self._rule = rule
        self._reader = reader
        self._within = within
        self._number = number
        self._listing = Listing([], [], Counter(), reader)
        self._files: dict[str, Member] = {}
        self._links: list[Member] = []
        self._notes: list[str] = []

    def listing(self) -> Listing:
        for found in walk(self._reader.descriptor, self._reader.length):
            if isinstance(found, Damage):
                self._add_damage(found.offset, found.reason)
            elif found.kind in ("hard link", "symbolic link"):
                self._links.append(found)
            elif found.kind != "folder":
                self._files[normpath(found.name)] = found
                self._add(found.name, found)
            elif self._is_cut(found):
                self._add_damage(found.offset, f"cut off inside the folder {shown(found.name)}")
        self._add_links()
        self._add_missing()
        return self._listing

    def _add_damage(self, offset: int, reason: str) -> None:
        name = f"{self._within or self._path.name}@{offset}"
        problem = f"byte {offset} of the tar: {reason}"
        entry = Entry(image_id(name, "path"), name, offset=offset, problem=problem, file=self._number)
        self._listing.damages.append(entry)

    def _ignore(self, kind: str) -> None:
        self._listing.ignored[kind] += 1

    def _is_cut(self, member: Member) -> bool:
        return member.offset + member.size > self._reader.length

    def _add(self, name: str, member: Member) -> None:
        """A name in the archive and the member that has its bytes, which is another one for a link."""
        cut = self._is_cut(member)
        kind = self._why_ignored(name, member)
        if kind is None:
            (self._listing.damages if cut else self._listing.entries).append(self._entry(name, member))
        elif cut:
            self._add_damage(member.offset, f"cut off inside the member {shown(name)}")
        else:
            self._ignore(kind)
            if kind == _NO_IMAGE and name.endswith(".json"):
                self._notes.append(name)

    def _why_ignored(self, name: str, member: Member) -> str | None:
        if member.kind == "special":
            return "special file"
        if _is_hidden(name):
            return "hidden file"
        if has_image_name(name):
            return None
        if member.kind in _UNREAD:
            return f"{member.kind} file, not named like an image"
        head = read_at(self._reader.descriptor, member.offset, min(SNIFF_BYTES, member.size))
        return None if has_image_bytes(head) else _NO_IMAGE

    def _entry(self, name: str, member: Member) -> Entry:
        present = self._reader.length - member.offset
        problem = None
        if present < member.size:
            problem = f"cut off: the tar ends inside this image ({max(present, 0)} of {member.size} bytes are there)"
        elif member.kind in _UNREAD:
            problem = _UNREAD[member.kind]
        elif member.uncertain:
            problem = "its whole name may have been in the header before it, which is damaged"
        identity, name = self._named(name)
        size, changed = member.size, member.changed
        return Entry(identity, name, 0, member.offset, size, changed, problem, self._number)

    def _named(self, name: str) -> tuple[str, str]:
        """The id of a member and its name in the source."""
        name = str(PurePosixPath(name))
        full = f"{self._within}/{name}" if self._within else name
        return image_id(full if self._rule == "path" else name, self._rule), full

    def _add_missing(self) -> None:
        """Where images have JSON under their key, as WebDataset's do, JSON without an image is an image that is missing."""
        inside = len(self._within) + 1 if self._within else 0
        keys = {image_id(entry.name[inside:], "key") for entry in self._listing.entries + self._listing.damages}
        alone = [name for name in self._notes if image_id(str(PurePosixPath(name)), "key") not in keys]
        if len(alone) < len(self._notes):
            for name in alone:
                identity, full = self._named(name)
                problem = f"no image beside {shown(name)}"
                self._listing.entries.append(Entry(identity, full, problem=problem, file=self._number))

    def _add_links(self) -> None:
        links = {normpath(link.name): link for link in self._links}
        for link in self._links:
            target = self._resolve(link, links)
            if target is not None:
                self._add(link.name, target)
            elif _is_hidden(link.name):
                self._ignore("hidden file")
            elif has_image_name(link.name):
                identity, name = self._named(link.name)
                problem = f"a {link.kind} to {shown(link.target)}, no file of the tar"
                self._listing.entries.append(Entry(identity, name, problem=problem, file=self._number))
            else:
                self._ignore("link to no file of the tar")

    def _resolve(self, link: Member, links: dict[str, Member]) -> Member | None:
        for _ in range(len(links) + 1):  # more steps than there are links lead round in a circle
            folder = (
                "" if link.kind == "hard link" else dirname(link.name)
            )  # a hard link names its target from the root
            target = normpath(join(folder, link.target))
            if target in self._files:
                return self._files[target]
            if target not in links:
                return None
            link = links[target]
        return None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
