"""Sources of images: a folder, a tar, a text file of paths, or one image file.

A source lists the ids first, sorted, and hands out each image's bytes when asked for; no more than a name and a position
is ever held per image. ``read`` may be called from several threads.
"""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import DuplicateIdError, SourceError
from .formats import SNIFF_BYTES, has_image_bytes, has_image_name

IdRule = Literal["stem", "path"]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a source: its id and a way to its bytes. ``read`` raises OSError when they cannot be had."""

    id: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    name: str
    position: tuple[int, int] | None = None  # offset and size inside a tar


class Source:
    """A sorted list of images; iterate it for :class:`Image` objects.

    Attributes: ``path``, ``ignored`` (number of files that are not images and were left out).
    """

    def __init__(self, path: Path, entries: list[_Entry], ignored: int, reader: Callable[[_Entry], bytes]) -> None:
        entries.sort(key=lambda entry: entry.id)
        for first, second in pairwise(entries):
            if first.id == second.id:
                raise DuplicateIdError(
                    f"{path}: two images have the id {first.id!r}: {first.name} and {second.name}; "
                    "rename one, or use --id path"
                )
        if not entries:
            raise SourceError(f"{path}: no images found" + (f" ({ignored} other files)" if ignored else ""))
        self.path = path
        self.ignored = ignored
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
        return Image(entry.id, lambda: self._reader(entry))

    def ids(self) -> list[str]:
        return [entry.id for entry in self._entries]

    def files(self) -> Iterator[Path]:
        """Every file that is read: the source itself, and those of its images that are files of their own."""
        yield self.path
        for entry in self._entries:
            if entry.position is None:
                yield Path(entry.name)

    def fingerprint(self) -> str:
        """A hash of the ids and file names, by which an unfinished run recognises its source."""
        digest = hashlib.sha256()
        for entry in self._entries:
            digest.update(f"{entry.id}\0{entry.name}\n".encode(errors="backslashreplace"))
        return digest.hexdigest()


def open_source(path: str | os.PathLike[str], *, ids: IdRule = "stem") -> Source:
    """Open a folder (searched recursively), an uncompressed tar, a text file of paths, or a single image.

    ids: "stem", the file name without its extension, or "path", the path inside the source.
    Raises: SourceError when it is missing, holds no images or is none of these; DuplicateIdError.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _open_folder(path, ids)
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        if has_image_bytes(head):
            return Source(path, [_Entry(_id(path.name, ids), str(path))], 0, _read_file)
        if head and tarfile.is_tarfile(path):
            return _open_tar(path, ids)
        return _open_list(path, ids)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None


def _id(name: str, rule: IdRule) -> str:
    text = name if rule == "path" else PurePosixPath(name).stem
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _read_file(entry: _Entry) -> bytes:
    return Path(entry.name).read_bytes()


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SNIFF_BYTES)
    except OSError:
        return b""


def _open_folder(root: Path, rule: IdRule) -> Source:
    entries, ignored = [], 0
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder) / name
            image_name = has_image_name(name)
            if name.startswith(".") or not (image_name or path.is_file()):
                ignored += 1
            elif image_name or has_image_bytes(_first_bytes(path)):
                entries.append(_Entry(_id(path.relative_to(root).as_posix(), rule), str(path)))
            else:
                ignored += 1
    return Source(root, entries, ignored, _read_regular_file)


def _read_regular_file(entry: _Entry) -> bytes:
    path = Path(entry.name)
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    return path.read_bytes()


def _open_tar(path: Path, rule: IdRule) -> Source:
    entries, ignored = [], 0
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed below, reading goes through a plain descriptor
    except tarfile.ReadError:
        raise SourceError(f"{path}: compressed tars cannot be read in the order of ids; decompress it first") from None
    with archive, path.open("rb") as file:
        while (member := _next_member(archive, path)) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
            if not member.isfile():
                continue
            name = PurePosixPath(member.name)
            image = has_image_name(member.name)
            if not image:
                file.seek(member.offset_data)
                image = has_image_bytes(file.read(SNIFF_BYTES))
            if image and not name.name.startswith("."):
                entries.append(_Entry(_id(str(name), rule), str(name), (member.offset_data, member.size)))
            else:
                ignored += 1
    return Source(path, entries, ignored, _TarReader(path))


def _next_member(archive: tarfile.TarFile, path: Path) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except tarfile.TarError as error:
        raise SourceError(f"{path}: damaged or cut off: {error}") from None


class _TarReader:
    """Reads members by position; one descriptor serves all threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def __call__(self, entry: _Entry) -> bytes:
        assert entry.position is not None
        offset, size = entry.position
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise OSError("the tar ends inside this image")
        return data


def _open_list(path: Path, rule: IdRule) -> Source:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not a folder, a tar, an image or a UTF-8 text file of paths") from None
    entries = []
    for line in lines:
        if line.strip():
            file = Path(line)
            if not file.is_absolute() and not file.exists() and (path.parent / file).exists():
                file = path.parent / file
            entries.append(_Entry(_id(file.name if rule == "stem" else line, rule), str(file)))
    return Source(path, entries, 0, _read_regular_file)
