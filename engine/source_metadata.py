"""Which metadata a reference gets: of what is given for its id, what its source has beside it, and what a collection has.

Beside images stand WebDataset's JSON and the other columns of Parquet files (see ``read``). Keys that are given go before
those beside the image; both together before what the collection has.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .collection import Collection, Reference
from .errors import BadImageError
from .pipeline import chunks_of
from .read import BadImage, Image
from .run import OnError

Metadata = Mapping[str, Any]
_AT_ONCE = 1024
log = logging.getLogger(__name__)


@dataclass
class MetadataReport:
    """How it went with metadata. ``failed``: images whose metadata cannot be read, or is missing where others have it.

    They are references all the same. overridden: images beside which a key stands that was given with another value. changed:
    references that were there, and got other metadata. kept: references that were there, and have other metadata than what
    stands beside their images.
    """

    failed: list[BadImage] = field(default_factory=list)
    overridden: int = 0
    changed: int = 0
    kept: int = 0


class SourceMetadata:
    """The metadata of a source's images, by what is ``given`` for their ids and, where it is wanted, what is ``beside`` them.

    What is given takes the place of what a collection has. What is beside an image does so with ``replace``, or where the
    collection has nothing: what it has may have been changed since it was read from there.
    """

    def __init__(self, given: Mapping[str, Metadata], *, beside: bool, replace: bool, on_error: OnError) -> None:
        self._given = given
        self._beside = beside
        self._replace = replace
        self._on_error = on_error
        self.report = MetadataReport()

    def read(self, image: Image) -> Metadata | BadImage | None:
        """What is beside an image, None where nothing is, or why it cannot be had. May be called from several threads."""
        if not self._beside:
            return None
        try:
            return image.metadata()
        except OSError as error:
            return BadImage(image.id, f"no metadata: {error.strerror or error}")

    def of(self, name: str, beside: Metadata | BadImage | None, there: Metadata | None) -> Metadata:
        """What a reference gets, counted. beside: by :meth:`read`; there: what it has, None for a new one.

        Raises: BadImageError where what is beside it cannot be read, and that is not allowed.
        """
        wanted = self._wanted(name, beside)
        if wanted is None or wanted == there:
            return there or {}
        if there and not self._replace and name not in self._given:
            self.report.kept += 1
            return there
        self.report.changed += there is not None
        return wanted

    def _wanted(self, name: str, beside: Metadata | BadImage | None) -> Metadata | None:
        given = self._given.get(name)
        if isinstance(beside, BadImage):
            log.warning("%s: %s", name, beside.reason)
            if self._on_error == "fail":
                raise BadImageError(f"{name}: {beside.reason}")
            self.report.failed.append(beside)
            return given
        if given is None or beside is None:
            return given if beside is None else beside
        self.report.overridden += any(key in given and given[key] != value for key, value in beside.items())
        return {**beside, **given}

    def update(self, collection: Collection, known: Mapping[str, Reference], images: Iterable[Image]) -> None:
        """Bring the metadata of references up to date that are left as they are otherwise. Raises: BadImageError."""
        for some in chunks_of(images, _AT_ONCE):
            wanted = {image.id: self.of(image.id, self.read(image), known[image.id].metadata) for image in some}
            collection.set_metadata({name: one for name, one in wanted.items() if one != known[name].metadata})
