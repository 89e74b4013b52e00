"""Joins collections and descriptor files: what one holds becomes the other."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .alike import CROPS, FEATURES, decoders_in, note_decoders, open_collection
from .collection import WHOLE, Blob, Blobs, Collection, Descriptors, check_id
from .decoded_by import decoder_attribute, decoders_of
from .errors import CollectionError
from .match.views import CROP_LABELS, REFERENCE_VIEWS
from .outputs import DESCRIPTORS, check_output
from .store import DescriptorFile, open_descriptors, refuse_views, write_descriptors
from .stored_crops import CROPS_FORM, check_crops, stored_crops
from .stored_looks import KINDS, check_bytes

_ROWS = 4096
_CROPS = 1024  # references whose crops are read at a time
_KEPT = ("space", "recipe", "bundle", "bundle_name", "precision", "output", "version")
_MOVED = ("method1", "method2")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the rows of a descriptor file."""

    rows: int
    added: int
    replaced: int
    unchanged: int


def export_descriptors(collection: Collection, path: str | os.PathLike[str]) -> int:
    """Write all references to a descriptor file, in the order of ids; returns how many.

    The rows are those of the whole pictures; views and blobs that matching does not know stay behind. Beside them:
    ``sha256`` (empty where unknown), ``size`` (-1 where unknown), ``metadata`` (JSON) and, where any has them, the bytes of
    ``features`` and ``thumbnail`` (empty where one has none); of a collection with crops their rows, float32 [9, D] as bytes.
    Raises: CollectionError; StoreError; MatchError where crops are missing.
    """
    path = Path(path)
    check_output(path, DESCRIPTORS, collection.path.iterdir())
    references, rows, blobs = collection.everything(KINDS)
    descriptors = rows.of_views([WHOLE])
    crops = stored_crops(collection, rows, descriptors.ids) if collection.properties.get(CROPS) else None
    columns: dict[str, list[str] | NDArray[np.int64]] = {
        "sha256": [reference.sha256 or "" for reference in references],
        "size": np.asarray([-1 if r.size is None else r.size for r in references], np.int64),
        "metadata": [json.dumps(reference.metadata, ensure_ascii=False) for reference in references],
    }
    made = {**collection.attributes, "role": "reference"}
    attributes = {**made, **decoder_attribute(decoders_in(collection))}
    stored = {
        kind: (form, _blob_parts(blobs[kind], form)) for kind, form in KINDS.items() if form in blobs[kind].versions
    }
    if crops is not None:
        stored[CROPS] = (CROPS_FORM, _crop_parts(crops))
    shape = len(references), collection.dimension
    write_descriptors(path, descriptors.blocks(), shape, [], attributes, columns=columns, blobs=stored)
    return len(references)


def _blob_parts(blobs: Blobs, form: int) -> Iterator[list[bytes]]:
    """The bytes of those that have this form."""
    for start in range(0, len(blobs), _ROWS):
        some = (blobs[number] for number in range(start, min(start + _ROWS, len(blobs))))
        yield [blob.data if blob is not None and blob.version == form else b"" for blob in some]


def _crop_parts(crops: Descriptors) -> Iterator[list[bytes]]:
    """The rows of each one's crops."""
    for start in range(0, len(crops), _CROPS * len(CROP_LABELS)):
        rows = crops[start : start + _CROPS * len(CROP_LABELS)].astype("<f4", copy=False)
        yield [one.tobytes() for one in rows.reshape(-1, len(CROP_LABELS), rows.shape[1])]


def import_descriptors(
    path: str | os.PathLike[str], collection: str | os.PathLike[str], *, replace: bool = False
) -> Imported:
    """Add the rows of a descriptor file of references to a collection, which is made where there is none.

    A row that is there under the same id is left as it is, so an interrupted import is gone on with by the same call. Another
    row under an id that is there is an error, before anything is changed, or with ``replace`` takes its place. A file with
    crops goes into a collection that keeps them, and one without into one that does not.
    Raises: CollectionError; StoreError.
    """
    with open_descriptors(path, "reference") as file:
        attributes = _attributes(file)
        refuse_views(file, what="a collection takes one row for each image from a file")
        _check_rows(file)
        kinds, crops = _check_blobs(file), _check_crops(file)
        properties = {FEATURES: len(kinds) == len(KINDS), CROPS: crops}
        dimension = file.descriptors.shape[1]
        with open_collection(collection, dimension, attributes, properties=properties) as target:
            check_crops(target.path, bool(target.properties.get(CROPS)), crops)
            rows = _FileRows(file, target, kinds, REFERENCE_VIEWS if crops else (WHOLE,))
            if rows.changed and not replace:
                more = f" and {len(rows.changed) - 1} more" if len(rows.changed) > 1 else ""
                raise CollectionError(
                    f"{target.path}: {min(rows.changed)!r}{more} is there with another descriptor; "
                    "--replace (replace=True) takes the new"
                )
            if rows.changed or rows.has_new:
                note_decoders(target, decoders_of(file.attributes))
            for start in range(0, len(file.ids), _ROWS):
                rows.add(start)
            replaced = len(rows.changed)
            return Imported(len(file.ids), rows.added, replaced, len(file.ids) - rows.added - replaced)


class _FileRows:
    """The rows of a descriptor file, compared with those of the collection that they are to go into."""

    def __init__(self, file: DescriptorFile, target: Collection, kinds: list[str], views: Sequence[str]) -> None:
        self.added = 0
        self.changed: set[str] = set()
        self._file = file
        self._target = target
        self._kinds = kinds
        self._views = views
        self._columns = {name: file.column(name) for name in ("sha256", "size", "metadata")}
        references, kept = target.contents()
        self._known = {reference.id: reference.metadata for reference in references}
        places = {name: i for i, name in enumerate(kept.ids)}
        self.has_new = any(name not in places for name in file.ids)
        for start in range(0, len(file.ids), _ROWS):
            ids, rows = _block(file, start)
            old = [(i, places[name]) for i, name in enumerate(ids) if name in places]
            mine, theirs = np.asarray(old, np.int64).reshape(-1, 2).T
            different = (rows[mine] != kept.take(theirs)).any(axis=1)
            self.changed.update(ids[i] for i in mine[different].tolist())

    def add(self, start: int) -> None:
        """Add what is new in the block that begins there."""
        ids, rows = _block(self._file, start)
        new = [i for i, name in enumerate(ids) if name not in self._known or name in self.changed]
        names = [ids[i] for i in new]
        bytes_of = {kind: self._file.blobs(kind, start, start + len(ids)) for kind in self._kinds}
        blobs = {
            kind: [Blob(KINDS[kind], data[i]) if data[i] else None for i in new] for kind, data in bytes_of.items()
        }
        try:
            self._target.add(
                names,
                self._with_crops(rows, start)[new],
                sha256=[self._value("sha256", start + i) or None for i in new],
                sizes=[None if (size := self._value("size", start + i)) is None or size < 0 else size for i in new],
                metadata=[self._metadata(start + i) for i in new],
                views=self._views,
                blobs=blobs,
                replace=True,
            )
        except ValueError as error:
            raise CollectionError(f"{self._file.path}: {error}") from None
        self.added += sum(name not in self._known for name in names)

    def _with_crops(self, rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """The rows [n, D] of the block that begins there, with those of the crops behind them where it has any, [n, V, D]."""
        if len(self._views) == 1:
            return rows[:, None]
        data = b"".join(self._file.blobs(CROPS, start, start + len(rows)))
        crops = np.frombuffer(data, "<f4").reshape(len(rows), -1, rows.shape[1])
        return np.concatenate([rows[:, None], crops], axis=1)

    def _value(self, column: str, row: int) -> Any:
        values = self._columns[column]
        return None if values is None else values[row]

    def _metadata(self, row: int) -> Mapping[str, Any] | None:
        """What the file says, or else what is there already."""
        text = self._value("metadata", row)
        if text is None:
            return self._known.get(self._file.ids[row])
        try:
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise CollectionError(f"{self._file.path}: the metadata of {self._file.ids[row]!r} is no JSON object")
        return values


def _block(file: DescriptorFile, start: int) -> tuple[list[str], NDArray[np.float32]]:
    with np.errstate(over="ignore"):
        return file.ids[start : start + _ROWS], np.asarray(file.descriptors[start : start + _ROWS], np.float32)


def _check_rows(file: DescriptorFile) -> None:
    """Before anything is made or changed. Raises: CollectionError for ids and rows that no collection keeps."""
    if len(set(file.ids)) < len(file.ids):
        raise CollectionError(f"{file.path}: an id is there twice")
    for start in range(0, len(file.ids), _ROWS):
        ids, rows = _block(file, start)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise CollectionError(f"{file.path}: the descriptor of {ids[bad[0]]!r} has NaN or infinite values")
        for name in ids:
            check_id(name)


def _check_blobs(file: DescriptorFile) -> list[str]:
    """The kinds of what the second look needs that are there. Raises: CollectionError for what is none, or of another form."""
    kinds = []
    for kind, form in KINDS.items():
        version = file.blob_version(kind)
        if version not in (None, form):
            raise CollectionError(f"{file.path}: its {kind} are of form {version}, this copytrace makes {form}")
        for start in range(0, 0 if version is None else len(file.ids), _ROWS):
            for name, data in zip(file.ids[start : start + _ROWS], file.blobs(kind, start, start + _ROWS), strict=True):
                check_bytes(f"{file.path}: {name!r}", kind, data)
        kinds += [] if version is None else [kind]
    return kinds


def _check_crops(file: DescriptorFile) -> bool:
    """Whether rows of crops are there. Raises: CollectionError for what is none, of another form, or not of all references."""
    version = file.blob_version(CROPS)
    if version not in (None, CROPS_FORM):
        raise CollectionError(f"{file.path}: its crops are of form {version}, this copytrace makes {CROPS_FORM}")
    size = 4 * len(CROP_LABELS) * file.descriptors.shape[1]
    for start in range(0, 0 if version is None else len(file.ids), _CROPS):
        parts = file.blobs(CROPS, start, start + _CROPS)
        for name, data in zip(file.ids[start : start + _CROPS], parts, strict=True):
            if len(data) != size or not np.isfinite(np.frombuffer(data, "<f4")).all():
                raise CollectionError(f"{file.path}: {name!r}: {len(data)} bytes are no rows of its crops")
    return version is not None


def _attributes(file: DescriptorFile) -> dict[str, str]:
    """How the rows were made. Raises: CollectionError when they are not those of references."""
    attributes = {name: str(file.attributes[name]) for name in _KEPT if name in file.attributes}
    if file.attributes.get("role") == "query" or attributes.get("output") in _MOVED:
        raise CollectionError(f"{file.path}: holds queries; a collection is of references")
    return attributes
