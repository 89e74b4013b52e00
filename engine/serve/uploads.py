"""Bodies of requests, read with limits: images as multipart parts named ``images``, or one image as the whole body."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from time import perf_counter
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from .failure import RequestError, busy
from .settings import Settings

IMAGES = "images"
RAW_TYPES = ("image/", "application/octet-stream")
MAX_FIELD_BYTES = 4 << 20
DRAIN_SECONDS = 2.0
TAIL_BYTES = 512


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """name: as the client calls its file, "" where it does not."""

    name: str
    data: bytes

    @property
    def stem(self) -> str:
        """The file name without folders, of either kind of system, and without extension."""
        return PurePosixPath(self.name.replace("\\", "/")).stem


@dataclass(frozen=True, slots=True)
class Upload:
    """The images of a request, and its other fields as they were sent."""

    images: list[UploadedImage]
    fields: dict[str, str] = field(default_factory=dict)


class Uploads:
    """Reads bodies. ``under_way``: bytes of those that are being read or worked on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.under_way = 0

    @asynccontextmanager
    async def read(self, request: Request, *fields: str, part: str = IMAGES) -> AsyncIterator[Upload]:
        """The images of a request, which count as under way while the context is open.

        fields: others that it may have. part: what the images are called in it.

        Raises: RequestError.
        """
        body = _Body(self, request, self._settings.request_bytes)
        try:
            try:
                async with asyncio.timeout(self._settings.request_seconds):
                    upload = await self._received(request, body, part, fields)
            except TimeoutError:
                raise RequestError(408, "slow", "the body took too long", {"Connection": "close"}) from None
            yield upload
        finally:
            self.under_way -= body.size

    async def _received(self, request: Request, body: "_Body", part: str, fields: tuple[str, ...]) -> Upload:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._multipart(request, body, part, fields)
        if kind.startswith(RAW_TYPES):
            return Upload([UploadedImage("", b"".join([chunk async for chunk in body.chunks()]))])
        raise RequestError(
            415, "media_type", f"send multipart/form-data with parts named {part}, or one image as image/*"
        )

    async def _multipart(self, request: Request, body: "_Body", part: str, fields: tuple[str, ...]) -> Upload:
        most = self._settings.request_images
        parser = _InMemory(
            request.headers,
            body.chunks(),
            max_files=self._settings.queue_images,
            max_fields=16,
            max_part_size=MAX_FIELD_BYTES,
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise RequestError(400, "multipart", error.message) from None
        if parser.boundary not in body.tail:
            raise RequestError(400, "multipart", "the body is cut off")
        upload = await _sorted(form, part, fields)
        if len(upload.images) > most:
            raise RequestError(413, "images", f"{len(upload.images)} images, and a request has at most {most}")
        return upload


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # never to the disk, which may be full

    @property
    def boundary(self) -> bytes:
        """What a whole body ends with; the parser itself takes one that was cut off at any place."""
        _, parameters = parse_options_header(self.headers["content-type"])
        return b"--" + parameters[b"boundary"] + b"--"


class _Body:
    """The chunks of a body, counted as they come."""

    def __init__(self, uploads: Uploads, request: Request, most: int) -> None:
        self._uploads = uploads
        self._request = request
        self._most = most
        self.size = 0
        self.tail = b""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Raises: RequestError for a body that is too large, or when too much is under way."""
        stream = self._request.stream()
        try:
            async for chunk in stream:
                if self.size + len(chunk) > self._most:
                    await self._drain(stream)
                    raise RequestError(413, "body", f"the body has more than {self._most} bytes")
                if self._uploads.under_way + len(chunk) > self._uploads._settings.upload_bytes:
                    raise busy("too many bytes are under way; try again", 1.0)
                self.size += len(chunk)
                self._uploads.under_way += len(chunk)
                self.tail = (self.tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
                yield chunk
        except ClientDisconnect:
            raise ClientGoneError from None

    async def _drain(self, stream: AsyncIterator[bytes]) -> None:
        """Take in and forget some of the rest: a client that is still writing would not see the answer."""
        end, left = perf_counter() + DRAIN_SECONDS, 4 * self._most
        async for chunk in stream:
            left -= len(chunk)
            if left < 0 or perf_counter() > end:
                return


class ClientGoneError(RequestError):
    """There is nobody to answer any more."""

    def __init__(self) -> None:
        super().__init__(499, "gone", "the client has gone")


async def _sorted(form: FormData, part: str, fields: tuple[str, ...]) -> Upload:
    """Raises: RequestError for fields that are not known, and for images that are no files."""
    images: list[UploadedImage] = []
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if name == part and isinstance(value, UploadFile):
            images.append(UploadedImage(value.filename or "", await value.read()))
        elif name == part:
            raise RequestError(422, "images", f"parts named {part} must be files: give them a filename")
        elif name not in fields or isinstance(value, UploadFile):
            raise RequestError(422, "field", f"the form has a part {name!r}; it may have {part}{_listed(fields)}")
        elif name in texts:
            raise RequestError(422, "field", f"the form has two parts named {name}")
        else:
            texts[name] = value
    if not images:
        raise RequestError(422, "images", f"no images: send parts named {part}, each with a filename")
    return Upload(images, texts)


def _listed(fields: tuple[str, ...]) -> str:
    return "".join(f", {name}" for name in fields)


def json_array(text: str | None, name: str, length: int) -> list[Any] | None:
    """A field's JSON array with one value for each image. Raises: RequestError."""
    if text is None:
        return None
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(422, name, f"{name} is not JSON: {error}") from None
    if not isinstance(values, list) or len(values) != length:
        raise RequestError(422, name, f"{name} must be a JSON array with one value for each of the {length} images")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
