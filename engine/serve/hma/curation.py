"""``/c``: banks, and what is in them."""

import json
import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError

from ...collection import Reference
from ...collection.incoming import metadata_text
from ...errors import CollectionError
from ..failure import RequestError
from ..routes.context import Reader, TheService, Writer
from ..service import Service
from ..uploads import Upload
from .banks import add_content, check_bank, find_content, kept_with, list_banks, make_bank, remove_content
from .context import (
    PHOTO_BODY,
    SIGNAL_TYPE,
    ContentType,
    Types,
    Url,
    check_signal,
    check_types,
    no_url,
    one_photo,
    signal_of,
)
from .forms import AddedContent, Bank, Content, ContentMetadata, Deleted, NewBank

router = APIRouter(prefix="/c")

MOST_NOTE = 255
CONTENT = ("content_id", "content_uri", "json")
NUMBER = re.compile("[0-9]{1,19}")


@router.get("/banks")
async def get_banks(service: TheService, caller: Reader) -> list[Bank]:
    """All banks."""
    return [Bank(name=name) for name in await service.read(partial(list_banks, service))]


@router.post("/banks", status_code=201)
async def post_bank(service: TheService, caller: Writer, body: NewBank) -> Bank:
    """Make a bank."""
    if body.enabled is False or body.enabled_ratio not in (None, 1.0):
        raise RequestError(400, "ratio", "every bank is matched in full; enabled_ratio must be 1")
    await service.write(partial(make_bank, service, body.name, caller.name))
    return Bank(name=body.name)


@router.get("/bank/{bank}")
async def get_bank(service: TheService, caller: Reader, bank: str) -> Bank:
    """One bank."""
    await service.read(partial(check_bank, service, bank))
    return Bank(name=bank)


@router.post("/bank/{bank}/content", openapi_extra=PHOTO_BODY)
async def post_content(
    request: Request,
    service: TheService,
    caller: Writer,
    bank: str,
    url: Url = None,
    content_type: ContentType = None,
    types: Types = None,
) -> AddedContent:
    """Add a photograph to a bank; it is on the disk then, and found by the next lookup. Adding it again gives the same id."""
    if url is not None:
        raise no_url()
    check_types(types)
    await service.read(partial(check_bank, service, bank))
    async with one_photo(service, request, "metadata", "note") as upload:
        facts = _facts(upload)
        data = upload.images[0].data
        (one,) = (await service.compute(request, [service.as_reference(data)])).images
        signal = signal_of(service, one)
        check_signal(signal, one, f"Invalid {SIGNAL_TYPE} signal")
        added = await service.write(partial(add_content, service, bank, data, one, facts, caller.name))
    return AddedContent(id=added.number, signals={SIGNAL_TYPE: signal})


@router.get("/bank/{bank}/content/{content}", response_model_exclude_unset=True)
async def get_content(
    service: TheService,
    caller: Reader,
    bank: str,
    content: str,
    include_signals: Annotated[bool, Query()] = False,
    include_metadata: Annotated[bool, Query()] = True,
) -> Content:
    """One content of a bank."""
    found = await service.read(partial(find_content, service, bank, _number(content)))
    if found is None:
        raise RequestError(404, "missing", f"content '{content}' not found")
    fields: dict[str, Any] = {"id": found.number, "disable_until_ts": 1, "original_media_uri": None}
    fields["bank"] = {"name": bank, "matching_enabled_ratio": 1.0}
    if include_signals:
        fields["signals"] = {SIGNAL_TYPE: await service.read(partial(_signal, service, found))}
    kept = kept_with(found)
    metadata = {name: kept.get(name) for name in ("collab", *CONTENT)}
    if include_metadata and any(value is not None for value in metadata.values()):
        fields["metadata"] = metadata
    if isinstance(kept.get("note"), str):
        fields["note"] = kept["note"]
    return Content(**fields)


@router.delete("/bank/{bank}/content/{content}")
async def delete_content(service: TheService, caller: Writer, bank: str, content: str) -> Deleted:
    """Delete a content: it is gone from lookups at once."""
    service.check_ready()
    return Deleted(deleted=await service.write(partial(remove_content, service, bank, _number(content), caller.name)))


def _number(content: str) -> int:
    """Raises: RequestError for what is no number of a content."""
    if not NUMBER.fullmatch(content):
        raise RequestError(404, "missing", f"content {content[:20]!r} not found")
    return int(content)


def _facts(upload: Upload) -> dict[str, Any]:
    """What a client says of a content. Raises: RequestError."""
    facts: dict[str, Any] = {}
    if "metadata" in upload.fields:
        try:
            given = ContentMetadata.model_validate(json.loads(upload.fields["metadata"]))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            raise RequestError(400, "metadata", f"Invalid metadata: {'; '.join(lines)}") from None
        except (ValueError, RecursionError):
            raise RequestError(400, "metadata", "metadata form field must be valid JSON") from None
        facts |= given.model_dump(by_alias=True, exclude_none=True)
    if upload.fields.get("note"):
        facts["note"] = upload.fields["note"]
        if len(facts["note"]) > MOST_NOTE:
            raise RequestError(400, "note", f"note must be at most {MOST_NOTE} characters")
    try:
        metadata_text(facts)
    except CollectionError as error:
        raise RequestError(400, "metadata", str(error)) from None
    return facts


def _signal(service: Service, reference: Reference) -> str:
    """Raises: RequestError when it was deleted meanwhile."""
    try:
        return service.signals.encode(service.references.index.rows([reference.id])[0])
    except KeyError:
        raise RequestError(404, "missing", f"content '{reference.number}' not found") from None
