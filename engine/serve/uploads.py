"""Bodies of requests, read with limits: images as multipart parts named ``images``, or one image as the whole body."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from time import perf_counter
from typing import Any

from fastapi import Request

from .failure import RequestError, busy
from .multipart import MultipartError, Part, parts_of
from .settings import Settings

IMAGES = "images"
RAW_TYPES = ("image/", "application/octet-stream")
MAX_FIELD_BYTES = 4 << 20
DRAIN_SECONDS = 2.0


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
        header = request.headers.get("content-type", "")
        kind = header.partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return self._upload(header, await body.read(), part, fields)
        if kind.startswith(RAW_TYPES):
            return Upload([UploadedImage("", await body.read())])
        raise RequestError(
            415, "media_type", f"send multipart/form-data with parts named {part}, or one image as image/*"
        )

    def _upload(self, header: str, body: bytes, part: str, fields: tuple[str, ...]) -> Upload:
        """Raises: RequestError."""
        most = self._settings.request_images
        try:
            upload = _sorted(parts_of(header, body), part, fields, most)
        except MultipartError as error:
            raise RequestError(400, "multipart", str(error)) from None
        if len(upload.images) > most:
            raise RequestError(413, "images", f"more than {most} images, and a request has no more")
        return upload


class _Body:
    """A body, counted as it comes."""

    def __init__(self, uploads: Uploads, request: Request, most: int) -> None:
        self._uploads = uploads
        self._receive = request.receive
        self._most = most
        self.size = 0

    async def read(self) -> bytes:
        """Raises: RequestError for a body that is too large, or when too much is under way."""
        chunks: list[bytes] = []
        more = True
        while more:
            chunk, more = await self._next()
            if self.size + len(chunk) > self._most:
                await self._drain(more)
                raise RequestError(413, "body", f"the body has more than {self._most} bytes")
            if self._uploads.under_way + len(chunk) > self._uploads._settings.upload_bytes:
                raise busy("too many bytes are under way; try again", 1.0)
            self.size += len(chunk)
            self._uploads.under_way += len(chunk)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _next(self) -> tuple[bytes, bool]:
        """The next chunk, and whether more follow. Raises: ClientGoneError."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message.get("body", b""), message.get("more_body", False)

    async def _drain(self, more: bool) -> None:
        """Take in and forget some of the rest: a client that is still writing would not see the answer."""
        end, left = perf_counter() + DRAIN_SECONDS, 4 * self._most
        while more and left >= 0 and perf_counter() <= end:
            chunk, more = await self._next()
            left -= len(chunk)


class ClientGoneError(RequestError):
    """There is nobody to answer any more."""

    def __init__(self) -> None:
        super().__init__(499, "gone", "the client has gone")


def _sorted(parts: Iterable[Part], part: str, fields: tuple[str, ...], most: int) -> Upload:
    """One image more than ``most`` at most. Raises: RequestError for fields that are not known, and for images that are no
    files; MultipartError."""
    images: list[UploadedImage] = []
    texts: dict[str, str] = {}
    for one in parts:
        if one.name == part and one.filename is not None:
            images.append(UploadedImage(one.filename, one.data))
            if len(images) > most:
                break
        elif one.name == part:
            raise RequestError(422, "images", f"parts named {part} must be files: give them a filename")
        elif one.name not in fields or one.filename is not None:
            raise RequestError(422, "field", f"the form has a part {one.name!r}; it may have {part}{_listed(fields)}")
        elif one.name in texts:
            raise RequestError(422, "field", f"the form has two parts named {one.name}")
        elif len(one.data) > MAX_FIELD_BYTES:
            raise RequestError(413, "field", f"{one.name} has more than {MAX_FIELD_BYTES} bytes")
        else:
            texts[one.name] = one.text
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
