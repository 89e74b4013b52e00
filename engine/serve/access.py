"""Who may do what: API keys with roles, a rate for each, and nothing from other web sites."""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from time import monotonic
from urllib.parse import urlsplit

from fastapi import Request

from ..collection import Key, Keys, Role
from ..collection.audit import now
from ..collection.keys import digest
from ..errors import CollectionError
from .failure import RequestError
from .sessions import Sessions
from .settings import LOOPBACK

ALLOWED: dict[Role, tuple[Role, ...]] = {
    "read": ("read",),
    "write": ("read", "write"),
    "review": ("read", "review"),
    "admin": ("read", "write", "review", "admin"),
}
"""What a key of each role may do."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+|::1)(?::[0-9]*)?")
ANYONE = "anyone on this machine"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from: the name of a key, for the audit log, and what rates are counted by."""

    name: str
    role: Role
    sha256: str = ""

    def may(self, role: Role) -> bool:
        return role in ALLOWED[self.role]


class Access:
    """Decides on every request. keys: of the collection. no_auth: let requests without a key do everything.

    rate: requests per second of one caller, None for any number; twice as many may come at once.
    """

    def __init__(self, keys: Keys, *, no_auth: bool, rate: float | None) -> None:
        self._keys = keys
        self._no_auth = no_auth
        self._rate = rate
        self.sessions = Sessions()
        self._lock = Lock()
        self._version = -1
        self._known: dict[str, Key] = {}
        self._used: dict[str, str] = {}
        self._tokens: dict[str, tuple[float, float]] = {}

    def check(self, request: Request, role: Role) -> Caller:
        """The caller, who may do this. Raises: RequestError 401, 403 or 429."""
        check_origin(request)
        caller = self._caller(request)
        if not caller.may(role):
            raise RequestError(403, "forbidden", f"this needs a key with the role {role}, and yours is {caller.role}")
        self._take_token(caller)
        return caller

    def save_used(self) -> None:
        """Keep in the collection when keys were used last."""
        with self._lock:
            used, self._used = self._used, {}
        if used:
            self._keys.set_used(used)

    def has_keys(self) -> bool:
        return any(key.is_valid for key in self._current().values())

    def log_in(self, secret: str) -> str | None:
        """The token of a new session, None for a key that is not valid."""
        sha256 = digest(secret)
        key = self._current().get(sha256)
        return self.sessions.start(sha256) if key is not None and key.is_valid else None

    def visitor(self, request: Request) -> Caller | None:
        """Who looks at the page, None for somebody who has to log in first. It is no request that counts."""
        try:
            return self._caller(request)
        except RequestError:
            return None

    def _caller(self, request: Request) -> Caller:
        given = request.headers.get("authorization")
        if given is not None:
            scheme, _, secret = given.partition(" ")
            if scheme.lower() != "bearer":
                raise _unknown("a key is sent as Authorization: Bearer KEY")
            return self._by_key(digest(secret.strip()))
        if self._no_auth:
            check_host(request)
            return Caller(ANYONE, "admin")
        session = self.sessions.key_of(request)
        if session is None:
            raise _unknown("a key is needed: Authorization: Bearer KEY")
        check_own_page(request)
        return self._by_key(session)

    def _by_key(self, sha256: str) -> Caller:
        key = self._current().get(sha256)
        if key is None or not key.is_valid:
            raise _unknown("the key is not known, or not valid any more")
        with self._lock:
            self._used[sha256] = now()
        return Caller(key.name, key.role, sha256)

    def _current(self) -> dict[str, Key]:
        """Keys by their sha256, read again after anyone has changed the catalogue."""
        with self._lock:
            version = self._keys.version()
            if version != self._version:
                self._known = {key.sha256: key for key in self._keys.list_keys()}
                self._version = version
            return self._known

    def _take_token(self, caller: Caller) -> None:
        if self._rate is None:
            return
        most = max(1.0, 2.0 * self._rate)
        with self._lock:
            left, before = self._tokens.get(caller.sha256, (most, monotonic()))
            time = monotonic()
            left = min(most, left + (time - before) * self._rate)
            self._tokens[caller.sha256] = (left - 1.0 if left >= 1.0 else left, time)
        if left < 1.0:
            wait = str(max(1, round((1.0 - left) / self._rate)))
            raise RequestError(429, "rate", f"more than {self._rate:g} requests per second", {"Retry-After": wait})


def check_origin(request: Request) -> None:
    """Raises: RequestError 403 for what a page of another site has sent."""
    origin = request.headers.get("origin")
    other = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if other or request.headers.get("sec-fetch-site") == "cross-site":
        raise RequestError(403, "origin", "requests from pages of other sites are refused")


def check_own_page(request: Request) -> None:
    """A cookie comes with whatever a browser sends here; it counts for requests of our own page alone, and for looking at it.

    Raises: RequestError 403.
    """
    site = request.headers.get("sec-fetch-site")
    known = site in ("same-origin", "none") or request.headers.get("origin") is not None  # which has been compared
    if site == "same-site" or (request.method not in ("GET", "HEAD") and not known):
        raise RequestError(403, "origin", "a session is for the service's own page; elsewhere give the key itself")


def check_host(request: Request) -> None:
    """Without keys, a name that somebody else lets point to this machine must not open it. Raises: RequestError 403."""
    if not is_loopback(request.headers.get("host") or request.url.hostname or ""):
        raise RequestError(403, "host", "without keys the service is called by a loopback address or localhost only")


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Whether a Host header, with a port or without, names this machine."""
    found = _HOST.fullmatch(host)
    return found is not None and found[1].strip("[]").lower() in LOOPBACK


def allow(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of routes that need a role; gives the caller."""

    async def check(request: Request) -> Caller:
        caller = authorised(request.app.state.service.access, request, role)
        _check_parameters(request)
        return caller

    return check


def authorised(access: Access, request: Request, role: Role) -> Caller:
    """The caller, who may do this. Raises: RequestError, also where it cannot be known."""
    try:
        return access.check(request, role)
    except (sqlite3.Error, CollectionError):
        raise RequestError(503, "storage", "the keys cannot be read", {"Retry-After": "1"}) from None


def _check_parameters(request: Request) -> None:
    """A parameter that is spelt wrongly must not be taken for one that is not given. Raises: RequestError 422."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        raise RequestError(422, "parameter", f"there is no parameter {unknown[0]!r}{there}")


def _unknown(message: str) -> RequestError:
    return RequestError(401, "unauthorised", message, {"WWW-Authenticate": "Bearer"})
