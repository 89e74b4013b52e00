"""Who has logged in on the page: a random token in a cookie stands for a key, not the key itself."""

import secrets
from threading import Lock
from time import monotonic

from fastapi import Request
from fastapi.responses import Response

from ..collection.keys import digest

COOKIE = "copytrace"
SECONDS = 12 * 3600
MOST = 1000


class Sessions:
    """Kept in memory: a restart ends them all, and so does revoking their key. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: dict[str, tuple[str, float]] = {}
        """By the sha256 of a token, the sha256 of its key and when it ends; the oldest first."""

    def start(self, key: str) -> str:
        """A token for the key of this sha256; of too many the oldest session ends."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._keys) >= MOST:
                del self._keys[next(iter(self._keys))]
            self._keys[digest(token)] = (key, monotonic() + SECONDS)
        return token

    def key_of(self, request: Request) -> str | None:
        """The sha256 of the key that a request's cookie stands for."""
        key, end = self._keys.get(digest(request.cookies.get(COOKIE, "")), (None, 0.0))
        return key if monotonic() < end else None

    def end(self, request: Request) -> None:
        with self._lock:
            self._keys.pop(digest(request.cookies.get(COOKIE, "")), None)


def set_cookie(request: Request, answer: Response, token: str) -> None:
    """Out of reach for scripts, and never sent with what another site has begun."""
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, max_age=SECONDS, httponly=True, samesite="strict", secure=secure)
