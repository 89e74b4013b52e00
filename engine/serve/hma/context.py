"""What HMA's routes share: the one signal type and content type, and how a photograph comes in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Query, Request

from ...errors import SignalError
from ...signals import Float32
from ..computing import Computed
from ..failure import RequestError
from ..service import Service
from ..uploads import Upload

SIGNAL_TYPE = "copytrace"
CONTENT_TYPE = "photo"

Types = Annotated[str | None, Query(description="Signal types, separated by commas; there is copytrace.")]
Banks = Annotated[str | None, Query(description="Look in these banks only, separated by commas.")]
Seed = Annotated[str | None, Query(description="Has no effect: every bank is matched in full.")]
Bypass = Annotated[bool, Query(description="Has no effect: every bank is matched in full.")]
Url = Annotated[str | None, Query(description="Refused: the service fetches nothing.")]
ContentType = Annotated[str | None, Query(description="Of the URL.")]

PHOTO_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [CONTENT_TYPE],
                    "properties": {CONTENT_TYPE: {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


def no_url() -> RequestError:
    return RequestError(400, "url", f"this service fetches no URLs; send the file by POST as the part {CONTENT_TYPE!r}")


def check_types(types: str | None) -> None:
    """Raises: RequestError for other signal types than ours, or none."""
    if types is None:
        return
    named = [name.strip() for name in types.split(",") if name.strip()]
    if not named:
        raise RequestError(400, "types", "empty signal type selection")
    for name in named:
        if name != SIGNAL_TYPE:
            raise RequestError(400, "types", f"signal type {name!r} doesn't exist or is disabled")


def check_signal_type(name: str) -> None:
    """Raises: RequestError."""
    if name != SIGNAL_TYPE:
        raise RequestError(400, "signal_type", f"No such SignalType {name!r}")


def bank_names(banks: str | None) -> set[str] | None:
    return {name.strip() for name in banks.split(",")} if banks else None


def descriptor(service: Service, signal: str) -> Float32:
    """Raises: RequestError for what is no signal of this service's bundle."""
    try:
        return service.signals.decode(signal)
    except SignalError as error:
        raise RequestError(400, "signal", f"invalid signal: {error}") from None


def signal_of(service: Service, one: Computed) -> str:
    """The signal of an image that was computed, "" where it has none."""
    return "" if one.row is None else service.signals.encode(one.row)


def check_signal(signal: str, one: Computed, message: str) -> None:
    """Raises: RequestError that says why an image has no signal."""
    if not signal:
        raise RequestError(400, "image", f"{message}: {one.reason or 'the image is blank'}")


@asynccontextmanager
async def one_photo(service: Service, request: Request, *fields: str) -> AsyncIterator[Upload]:
    """A body with one file, named by its content type. Raises: RequestError."""
    service.check_room()
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(400, "files", "Missing multipart/form-data file upload")
    async with service.uploads.read(request, *fields, part=CONTENT_TYPE) as upload:
        if len(upload.images) > 1:
            raise RequestError(400, "files", "Only one file allowed per request")
        yield upload
