"""Whole requests that fail: ``{"error": {"code", "message"}}`` with the status that HTTP has for it.

HMA's routes have ``{"message"}``, and 400 for what is wrong in a request.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import CollectionError, MilvusError

log = logging.getLogger(__name__)

HMA = ("/h/", "/m/", "/c/")
"""What the paths of HMA's routes begin with."""
KNOWN = (HTTPException, RequestValidationError, CollectionError, MilvusError)
"""Errors that a request may end with; any other is the service's own fault."""
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RequestError(HTTPException):
    """Answered with ``status`` instead of a result. code: a word for machines, message: a line for people.

    An HTTPException, since FastAPI lets no other through while it reads a body.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.headers: dict[str, str]
        super().__init__(status, message, dict(headers or {}))
        self.status = status
        self.code = code

    def __str__(self) -> str:
        return self.detail


def busy(message: str, seconds: float) -> RequestError:
    """503 that says when to try again, which a service that is down would not."""
    return RequestError(503, "busy", message, {"Retry-After": str(max(1, round(seconds)))})


def is_full_disk(error: CollectionError) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return isinstance(cause, OSError) and cause.errno in _FULL_DISK


def install(app: FastAPI) -> None:
    """Let every failure of an app be answered in the same form."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return response_to(request, error)

    for kind in (*KNOWN, Exception):
        app.add_exception_handler(kind, refused)


def response_to(request: Request, error: Exception) -> JSONResponse:
    """What a request is answered that has failed with this error."""
    if isinstance(error, RequestError):
        return _answer(request, error.status, error.code, str(error), error.headers)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return _answer(request, status, status.phrase.lower().replace(" ", "_"), str(error.detail), error.headers)
    if isinstance(error, RequestValidationError):
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return _answer(request, 422, "invalid", "; ".join(lines))
    if isinstance(error, CollectionError):
        log.error("%s", error)
        if is_full_disk(error):
            return _answer(request, 507, "full", "the disk is full; nothing of this request was kept")
        return _answer(request, 500, "storage", "the collection cannot be read or written; the log says why")
    if isinstance(error, MilvusError):
        log.error("%s", error)
        if os.strerror(errno.ENOSPC) in str(error):
            return _answer(request, 507, "full", "the disk is full; nothing of this request was kept")
        message = "the index cannot be asked or changed; the log says why"
        return _answer(request, 503, "index", message, {"Retry-After": "5"})
    return _answer(request, 500, "internal", "an error of the service; the log has its traceback")


def _answer(
    request: Request, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    if request.url.path.startswith(HMA):
        return JSONResponse({"message": message}, 400 if status == 422 else status, dict(headers or {}))
    body: dict[str, Any] = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status, dict(headers or {}))
