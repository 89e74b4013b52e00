"""Writes what a search for near-duplicates found: the table of groups, and the page with their pictures."""

import os
from datetime import datetime
from importlib.metadata import version

from ..arguments import file_path
from ..outputs import GROUPS, REPORT, check_output
from ..score.report import Missing, data_url, render_page
from ..scoring import pictures_of
from ..store.atomic import replacing
from .groups import Duplicates, write_groups

GROUPS_SHOWN = 200
PICTURES_SHOWN = 12
"""Of one group; a page with every picture of a large folder could not be opened."""
REASONS_SHOWN = 20

PathLike = str | os.PathLike[str]


def save_duplicates(found: Duplicates, path: PathLike) -> None:
    """Write ``groups.csv`` whole or not at all.

    Raises: StoreError, also when ``path`` is one of the pictures or a file of another kind.
    """
    path = file_path("path", path)
    _check(found)
    check_output(path, GROUPS, () if found.pictures is None else found.pictures.files())
    with replacing(path) as temporary:
        write_groups(temporary, found.groups)


def save_duplicates_report(found: Duplicates, path: PathLike, *, title: str = "copytrace duplicates") -> list[Missing]:
    """Write the groups as an HTML page with their pictures, where these are known; returns what pictures are missing, and why.

    Raises: StoreError, also when ``path`` is one of the pictures or a file of another kind.
    """
    path = file_path("path", path)
    _check(found)
    check_output(path, REPORT, () if found.pictures is None else found.pictures.files())
    missing: list[Missing] = []
    look_up = None if found.pictures is None else pictures_of(found.pictures)
    urls = {}
    for one in (one for group in found.groups[:GROUPS_SHOWN] for one in group[:PICTURES_SHOWN]):
        picture = "no pictures given" if look_up is None else look_up(one.id)
        urls[one.id] = data_url(picture, "jpeg") if isinstance(picture, bytes) else None
        if look_up is not None and isinstance(picture, str):
            missing.append(Missing("reference", one.id, picture))
    where = {
        "copytrace": version("copytrace"),
        "date": datetime.now().astimezone().isoformat(" ", "minutes"),
        **({} if found.pictures is None else {"pictures": found.pictures.name}),
        **found.origin,
    }
    page = render_page(
        "groups.html.j2",
        title=title,
        found=found,
        urls=urls,
        missing=missing,
        origin=where,
        groups_shown=GROUPS_SHOWN,
        pictures_shown=PICTURES_SHOWN,
        reasons_shown=REASONS_SHOWN,
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return missing


def _check(found: object) -> None:
    if not isinstance(found, Duplicates):
        raise TypeError(f"found must be what find_duplicates gives, not {type(found).__name__}")
