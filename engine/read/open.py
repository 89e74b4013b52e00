"""Opens whatever may be given as a source of images."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from ..errors import SourceError
from .archive import list_tar
from .entry import Entry, IdRule, image_id, shown
from .files import DEFAULT_BYTE_LIMIT, FileReader, first_bytes
from .folder import list_folder
from .formats import has_image_bytes, has_image_name
from .parquet import list_parquet
from .paths import list_paths, list_text
from .sniff import is_compressed, other_kind
from .source import Listing, Source, make_source
from .tar import BLOCK, has_magic, is_header

STANDARD_INPUT = "-"
_PARQUET = b"PAR1"
OnDamage = Literal["skip", "fail"]
Place = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def open_source(
    place: Place,
    *,
    ids: IdRule = "stem",
    on_damage: OnDamage = "fail",
    byte_limit: int = DEFAULT_BYTE_LIMIT,
) -> Source:
    """Open a folder (searched recursively), an uncompressed tar, a Parquet file, a text file of paths, an image, or paths.

    Paths, and files in a folder, are those of images, or of tars or Parquet files that hold many.
    place: a path, "-" for a text of paths on standard input, or an iterable of image paths (a list, a pandas Series, ...).
    ids: "stem", the file name without its extension, "path", the path inside the source, or "key", WebDataset's: the path in
    its tar up to the first dot of the file name. on_damage: what to do where part of a source cannot be seen
    (a damaged tar, a folder that cannot be listed): raise an error, or list it as one more image, which cannot be read for that
    reason. byte_limit: larger images are not read.
    Raises: SourceError when it is missing, holds no images or is none of these; DuplicateIdError; TypeError.
    """
    if isinstance(place, bytes | bytearray | memoryview) or not isinstance(place, str | os.PathLike | Iterable):
        raise TypeError(f"a source must be a path or an iterable of paths, not {type(place).__name__}")
    if ids not in get_args(IdRule) or on_damage not in get_args(OnDamage):
        raise ValueError(
            f"ids must be 'stem', 'path' or 'key' and on_damage 'skip' or 'fail', not {ids!r} and {on_damage!r}"
        )
    if isinstance(place, str) and not place:
        raise SourceError("a source must be named; the path is empty")
    if not isinstance(place, str | os.PathLike):
        name = f"the given {type(place).__name__}"
        return make_source(name, None, list_paths(place, name, ids, byte_limit), damages_allowed=on_damage == "skip")
    path = None if os.fspath(place) == STANDARD_INPUT else Path(place)
    name = "standard input" if path is None else shown(str(path))
    try:
        if path is None:
            with open(0, "rb", closefd=False) as stream:
                listing = list_text(stream, name, Path(), ids, byte_limit)
        else:
            listing = _list(path, name, ids, byte_limit)
    except FileNotFoundError:
        raise SourceError(f"{name}: no such file or folder") from None
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise SourceError(f"{name}: {error}") from None
    return make_source(name, path, listing, damages_allowed=on_damage == "skip")


def _list(path: Path, name: str, rule: IdRule, byte_limit: int) -> Listing:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return list_folder(path, rule, byte_limit)
    if stat.S_ISREG(mode):
        head = first_bytes(path, BLOCK)
        if not head and not has_image_name(name):
            raise SourceError(f"{name}: empty")
        if has_magic(head) or is_header(head) or (path.suffix.lower() == ".tar" and not is_compressed(head)):
            return list_tar(path, rule, byte_limit)
        if has_image_bytes(head) or has_image_name(name):
            entry = Entry(image_id(path.name, rule), path.name)
            return Listing([entry], [], Counter(), FileReader(path.parent, byte_limit))
        if head.startswith(_PARQUET) or path.suffix.lower() == ".parquet":
            return list_parquet(path.parent, [path.name], rule, byte_limit)
        if is_compressed(head):
            raise SourceError(f"{name}: {other_kind(head)}; a source is read in the order of ids, decompress it first")
        if (kind := other_kind(head)) is not None:
            raise SourceError(f"{name}: {kind}; not a source of images")
    with path.open("rb") as stream:  # also a pipe, such as the shell's <(find ...)
        return list_text(stream, name, path.parent, rule, byte_limit)
