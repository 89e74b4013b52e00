"""A tar as a source: its members are read in place, in any order."""

import os
from collections import Counter
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath

from .entry import Entry, IdRule, Sidecar, image_id, shown
from .files import read_at, read_image
from .formats import SNIFF_BYTES, has_image_bytes, has_image_name
from .sidecars import BESIDE, Sidecars, is_sidecar, read_sidecar
from .source import Listing, Metadata
from .tar import Damage, Member, walk

_NO_IMAGE, _HIDDEN, _SPECIAL = "not an image", "hidden file", "special file"
_UNREAD = {
    "sparse": "stored as a sparse file, which is not read; pack the tar without --sparse",
    "part": "begins in another volume of the tar; join the volumes first",
}
_UNCERTAIN = "its whole name may have been in the header before it, which is damaged"


class TarReader:
    """Reads members by position; one descriptor serves all threads. Pickles as its path, and opens it again.

    whole_state: of the tar when it was listed (default: as it is now); nothing is read from one that has changed since.
    """

    def __init__(self, path: Path, byte_limit: int, whole_state: str | None = None) -> None:
        self._path = path
        self.byte_limit = byte_limit
        self._file = path.open("rb")
        self.length = os.fstat(self.descriptor).st_size
        self.whole_state = whole_state or self._state()

    def __enter__(self) -> "TarReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __reduce__(self) -> tuple[type["TarReader"], tuple[Path, int, str]]:
        return type(self), (self._path, self.byte_limit, self.whole_state)

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def read(self, entry: Entry) -> bytes:
        self._check_unchanged()
        data = read_image(self.descriptor, entry.offset, entry.size, self.byte_limit)
        if len(data) < entry.size:
            raise OSError("the tar ends inside this image")
        return data

    def metadata(self, entry: Entry) -> Metadata | None:
        """By the JSON beside it."""
        if entry.sidecar is None:
            return None
        self._check_unchanged()
        return read_sidecar(self.descriptor, entry.sidecar)

    def _state(self) -> str:
        status = os.fstat(self.descriptor)
        return f"{status.st_size} {status.st_mtime_ns}"

    def _check_unchanged(self) -> None:
        """Raises: OSError."""
        if self._state() != self.whole_state:
            raise OSError(f"{shown(self._path.name)} has changed since it was listed")

    def file(self, entry: Entry) -> None:
        """None: all are in one file."""

    def place(self, entry: Entry) -> tuple[str, str]:
        return shown(self._path.name), f"{entry.offset} {entry.size} {entry.changed}"

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
        self._sidecars = Sidecars()

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
        self._add_sidecars()
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
            return
        if cut:
            self._add_damage(member.offset, f"cut off inside the member {shown(name)}")
        if is_sidecar(name) and kind not in (_SPECIAL, _HIDDEN):
            problem = self._why_unread(member)
            problem = None if problem is None else f"{shown(name)}: {problem}"
            if not self._sidecars.add(Sidecar(name, member.offset, member.size, problem)):
                self._ignore(BESIDE)
        elif not cut:
            self._ignore(kind)

    def _why_ignored(self, name: str, member: Member) -> str | None:
        if member.kind == "special":
            return _SPECIAL
        if _is_hidden(name):
            return _HIDDEN
        if has_image_name(name):
            return None
        if member.kind in _UNREAD:
            return f"{member.kind} file, not named like an image"
        head = read_at(self._reader.descriptor, member.offset, min(SNIFF_BYTES, member.size))
        return None if has_image_bytes(head) else _NO_IMAGE

    def _entry(self, name: str, member: Member) -> Entry:
        identity, name = self._named(name)
        place = member.offset, member.size, member.changed
        return Entry(identity, name, 0, *place, self._why_unread(member), self._number)

    def _why_unread(self, member: Member) -> str | None:
        present = self._reader.length - member.offset
        if present < member.size:
            return f"cut off: the tar ends inside it ({max(present, 0)} of {member.size} bytes are there)"
        if member.kind in _UNREAD:
            return _UNREAD[member.kind]
        return _UNCERTAIN if member.uncertain else None

    def _named(self, name: str) -> tuple[str, str]:
        """The id of a member and its name in the source."""
        name = str(PurePosixPath(name))
        full = f"{self._within}/{name}" if self._within else name
        return image_id(full if self._rule == "path" else name, self._rule), full

    def _add_sidecars(self) -> None:
        """Where images have JSON under their key, as WebDataset's do, JSON without an image is an image that is missing."""
        listing, inside = self._listing, len(self._within) + 1 if self._within else 0
        cut = [entry for entry in listing.damages if entry.size]  # images; other damages have none
        images = [entry.name[inside:] for entry in listing.entries + cut]
        used = {sidecar.name for name in images if (sidecar := self._sidecars.of(name)) is not None}
        keys = {image_id(name, "key") for name in images} if used else set()
        if used:
            listing.entries = self._sidecars.beside(listing.entries, inside)
        for sidecar in self._sidecars:
            if sidecar.offset + sidecar.size > self._reader.length:
                continue  # is a damage already
            if sidecar.name in used:
                self._ignore(BESIDE)
            elif not used or image_id(str(PurePosixPath(sidecar.name)), "key") in keys:
                self._ignore(_NO_IMAGE)
            else:
                identity, full = self._named(sidecar.name)
                problem = f"no image beside {shown(sidecar.name)}"
                listing.entries.append(Entry(identity, full, problem=problem, file=self._number))

    def _add_links(self) -> None:
        links = {normpath(link.name): link for link in self._links}
        for link in self._links:
            target = self._resolve(link, links)
            if target is not None:
                self._add(link.name, target)
            elif _is_hidden(link.name):
                self._ignore(_HIDDEN)
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
