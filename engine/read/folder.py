"""A folder as a source: searched recursively, links to folders not followed.

Without images of its own it is the source of what is in its tars or Parquet files.
"""

import os
from collections import Counter
from pathlib import Path

from .entry import Entry, IdRule, image_id
from .files import FileReader, first_bytes
from .formats import has_image_bytes, has_image_name
from .several import holds_many, list_several
from .source import Listing

_IMAGE = "image"
_MANY = "holds many images"


def list_folder(root: Path, rule: IdRule, byte_limit: int) -> Listing:
    """Every image below a folder, or in the tars or Parquet files below it; a folder that cannot be listed is a damage.

    Raises: OSError when the folder itself cannot be listed; SourceError as :func:`list_several`.
    """
    listing = Listing([], [], Counter(), FileReader(root, byte_limit))
    many: list[str] = []
    waiting = [""]  # not a recursion: folders may be nested deeper than calls may
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as children:
                for child in children:
                    name = f"{folder}/{child.name}" if folder else child.name
                    kind = _kind(child)
                    if kind is None:
                        waiting.append(name)
                    elif kind == _IMAGE:
                        listing.entries.append(Entry(image_id(name, rule), name))
                    elif kind == _MANY:
                        many.append(name)
                    else:
                        listing.ignored[kind] += 1
        except OSError as error:
            if not folder:
                raise
            name = f"{folder}/"  # no image's name ends like this
            problem = f"the folder cannot be listed: {error.strerror}"
            listing.damages.append(Entry(image_id(name, "path"), name, problem=problem))
    if many and not listing.entries:
        found = list_several(root, sorted(many), rule, byte_limit)
        return Listing(found.entries, found.damages + listing.damages, found.ignored + listing.ignored, found.reader)
    if many:
        listing.ignored["tar or Parquet file beside images"] += len(many)
    return listing


def _kind(child: os.DirEntry[str]) -> str | None:
    """None for a folder to go into, ``_IMAGE``, or why it is ignored."""
    try:
        is_folder = child.is_dir(follow_symlinks=False)
        if child.name.startswith("."):
            return "hidden folder" if is_folder else "hidden file"
        if is_folder:
            return None
        if child.is_symlink() and child.is_dir():
            return "link to a folder"
        if has_image_name(child.name):
            return _IMAGE  # whatever it is: what keeps it from being read becomes its reason
        if not child.is_file():
            return "broken link" if child.is_symlink() else "special file"
        if holds_many(child.name):
            return _MANY
        return _IMAGE if has_image_bytes(first_bytes(child.path)) else "not an image"
    except OSError:
        return _IMAGE if has_image_name(child.name) else "unreadable, not named like an image"
