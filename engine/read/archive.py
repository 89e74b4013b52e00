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
        self._state = f"{status.st_size} {status.st_mtime_ns}"

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
        return f"{entry.offset} {entry.size} {entry.changed} {self._state}"


def list_tar(path: Path, rule: IdRule, byte_limit: int) -> Listing:
    """Every image in an uncompressed tar; links lead to the members they name. Raises: OSError."""
    reader = TarReader(path, byte_limit)
    return _Members(path, rule, reader).listing()


class _Members:
    """Sorts what is in a tar into images, damages and what is ignored."""

    def __init__(self, path: Path, rule: IdRule, reader: TarReader) -> None:
        self._path = path
        self._rule = rule
        self._reader = reader
        self._listing = Listing([], [], Counter(), reader)
        self._files: dict[str, Member] = {}
        self._links: list[Member] = []

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
        return self._listing

    def _add_damage(self, offset: int, reason: str) -> None:
        name = f"{self._path.name}@{offset}"
        problem = f"byte {offset} of the tar: {reason}"
        self._listing.damages.append(Entry(image_id(name, "path"), name, offset=offset, problem=problem))

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
        return None if has_image_bytes(head) else "not an image"

    def _entry(self, name: str, member: Member) -> Entry:
        present = self._reader.length - member.offset
        problem = None
        if present < member.size:
            problem = f"cut off: the tar ends inside this image ({max(present, 0)} of {member.size} bytes are there)"
        elif member.kind in _UNREAD:
            problem = _UNREAD[member.kind]
        elif member.uncertain:
            problem = "its whole name may have been in the header before it, which is damaged"
        name = str(PurePosixPath(name))
        return Entry(image_id(name, self._rule), name, 0, member.offset, member.size, member.changed, problem)

    def _add_links(self) -> None:
        links = {normpath(link.name): link for link in self._links}
        for link in self._links:
            target = self._resolve(link, links)
            if target is not None:
                self._add(link.name, target)
            elif _is_hidden(link.name):
                self._ignore("hidden file")
            elif has_image_name(link.name):
                name, problem = (
                    str(PurePosixPath(link.name)),
                    f"a {link.kind} to {shown(link.target)}, no file of the tar",
                )
                self._listing.entries.append(Entry(image_id(name, self._rule), name, problem=problem))
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
