"""``/v1/references``."""

import hashlib
from functools import partial
from typing import Annotated, Any

import cv2
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from ...collection import Reference
from ...collection.incoming import metadata_text
from ...errors import CollectionError
from ...match.stored import THUMBNAIL, thumbnail_from_bytes
from ..computing import Computed
from ..failure import RequestError
from ..forms import (
    AddAnswer,
    AddedImage,
    DeleteAnswer,
    DeletedReference,
    ErrorAnswer,
    Ids,
    MetadataPatch,
    ReferenceAnswer,
    ReferencePage,
)
from ..live import Metadata, Newcomer, check_name
from ..uploads import Upload, UploadedImage, json_array
from .context import Reader, TheService, Writer, images_body

router = APIRouter(prefix="/v1", tags=["references"])
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer}}
_BODY = images_body(
    ids="A JSON array with an id for each image (default: the file name without extension, or the sha256 of the bytes).",
    metadata="A JSON array with an object, or null, for each image.",
)


@router.post("/references", openapi_extra=_BODY, responses={507: {"model": ErrorAnswer}})
async def add(
    request: Request,
    service: TheService,
    caller: Writer,
    replace: Annotated[bool, Query(description="Let images take the place of others under the same id.")] = False,
    id: Annotated[str | None, Query(description="The id, where one image is the whole body.")] = None,
) -> AddAnswer:
    """Add images as references. What is added is on the disk, and found by the next search."""
    service.check_room()
    async with service.uploads.read(request, "ids", "metadata") as upload:
        named = _named(upload, id)
        facts = [(name, _digest(image), metadata) for image, (name, metadata) in zip(upload.images, named, strict=True)]
        if await service.write(partial(service.references.are_there, facts)):  # a request that is repeated costs little
            return AddAnswer(items=[AddedImage(id=name, status="unchanged") for name, _ in named])
        results = await service.compute(request, [service.as_reference(image.data) for image in upload.images])
        items: list[AddedImage] = []
        newcomers: list[Newcomer] = []
        for image, (name, metadata), one in zip(upload.images, named, results.images, strict=True):
            error = _refused(name, metadata, one)
            items.append(AddedImage(id=name, status="error", error=error, damaged=one.damaged))
            if error is None:
                newcomers.append(_newcomer(image, name, metadata, one))
    outcomes = iter(await service.write(partial(service.references.add, newcomers, caller.name, replace=replace)))
    for item in items:
        if item.error is None:
            outcome = next(outcomes)
            item.status, item.error, item.same_as = outcome.status, outcome.error, list(outcome.same_as)
    return AddAnswer(items=items)


@router.get("/references")
async def page(
    service: TheService,
    caller: Reader,
    after: Annotated[str | None, Query(description="Begin behind this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    prefix: Annotated[str | None, Query(description="Those whose ids begin so.")] = None,
) -> ReferencePage:
    """References in the order of their ids, page by page."""
    reader = service.references.reader
    for text in (after, prefix):
        if text:
            _check_id(text)
    found = await service.read(partial(reader.references, after, limit + 1, prefix or ""))
    items = [_answer(reference) for reference in found[:limit]]
    following = items[-1].id if len(found) > limit else None
    return ReferencePage(items=items, count=len(service.references), next=following)


@router.post("/references/delete", responses={507: {"model": ErrorAnswer}})
async def delete_many(service: TheService, caller: Writer, body: Ids) -> DeleteAnswer:
    """Delete references; those that are not there are said so. They are gone from answers at once."""
    for name in body.ids:
        _check_id(name)
    service.check_ready()
    there = await service.write(partial(service.references.remove, body.ids, caller.name))
    items = [DeletedReference(id=name, status="deleted" if was else "missing") for name, was in there.items()]
    return DeleteAnswer(items=items)


@router.get("/references/{id:path}", responses=MISSING)
async def get(service: TheService, caller: Reader, id: str) -> ReferenceAnswer:
    """One reference."""
    _check_id(id)
    found = (await service.read(partial(service.references.reader.find, [id]))).get(id)
    if found is None:
        raise _missing(id)
    return _answer(found)


@router.get("/thumbnails/{id:path}", responses=MISSING, response_class=Response)
async def thumbnail(service: TheService, caller: Reader, id: str) -> Response:
    """A small grey picture of a reference, as PNG; only where the collection keeps local features."""
    _check_id(id)
    reader = service.references.reader
    found = (await service.read(partial(reader.find, [id]))).get(id)
    if found is None or THUMBNAIL not in found.blobs:
        raise RequestError(404, "missing", f"there is no thumbnail of {id!r}")
    ((_, blob),) = await service.read(lambda: list(reader.blobs(THUMBNAIL, [id])))
    grey = thumbnail_from_bytes(blob.data if blob is not None else b"")
    return Response(cv2.imencode(".png", grey)[1].tobytes(), media_type="image/png")


@router.patch("/references/{id:path}", responses=MISSING)
async def patch(service: TheService, caller: Writer, id: str, body: MetadataPatch) -> ReferenceAnswer:
    """Change metadata key by key; null takes a key away."""
    _check_id(id)
    try:
        metadata_text(body.metadata)
    except CollectionError as error:
        raise RequestError(422, "metadata", str(error)) from None
    service.check_ready()
    changed = await service.write(partial(service.references.patch, id, body.metadata, caller.name))
    if changed is None:
        raise _missing(id)
    return _answer(changed)


@router.delete("/references/{id:path}", responses=MISSING)
async def delete(service: TheService, caller: Writer, id: str) -> DeletedReference:
    """Delete one reference. It is gone from answers at once, and from the files when they are compacted."""
    _check_id(id)
    service.check_ready()
    there = await service.write(partial(service.references.remove, [id], caller.name))
    if not there[id]:
        raise _missing(id)
    return DeletedReference(id=id, status="deleted")


def _named(upload: Upload, id: str | None) -> list[tuple[str, Metadata | None]]:
    """The id and metadata of every image. Raises: RequestError."""
    count = len(upload.images)
    ids = json_array(upload.fields.get("ids"), "ids", count)
    metadata = json_array(upload.fields.get("metadata"), "metadata", count)
    if id is not None:
        if ids is not None or count != 1:
            raise RequestError(422, "id", "?id= is for one image; several have the field ids")
        ids = [id]
    names = [_default_id(image) for image in upload.images] if ids is None else ids
    if not all(isinstance(name, str) for name in names):
        raise RequestError(422, "ids", "ids must be text")
    values = metadata or [None] * count
    if not all(value is None or isinstance(value, dict) for value in values):
        raise RequestError(422, "metadata", "metadata must be JSON objects, or null")
    return list(zip(names, values, strict=True))


def _digest(image: UploadedImage) -> str:
    return hashlib.sha256(image.data).hexdigest()


def _default_id(image: UploadedImage) -> str:
    return image.stem or _digest(image)


def _refused(name: str, metadata: Metadata | None, one: Computed) -> str | None:
    """Why an image cannot be a reference."""
    try:
        check_name(name)
        metadata_text(metadata or {})
    except CollectionError as error:
        return str(error)
    return one.reason


def _newcomer(image: UploadedImage, name: str, metadata: Metadata | None, one: Computed) -> Newcomer:
    assert one.row is not None
    return Newcomer(name, _digest(image), len(image.data), one.row, metadata, one.looks())


def _check_id(name: str) -> None:
    try:
        check_name(name)
    except CollectionError as error:
        raise RequestError(422, "id", str(error)) from None


def _answer(reference: Reference) -> ReferenceAnswer:
    return ReferenceAnswer(id=reference.id, sha256=reference.sha256, size=reference.size, metadata=reference.metadata)


def _missing(name: str) -> RequestError:
    return RequestError(404, "missing", f"there is no reference {name!r}")
