"""Who may do what: API keys with roles, a rate for each, and nothing from other web sites."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from urllib.parse import urlsplit

from fastapi import Request

from ..collection import Key, Keys, Role
from ..collection.audit import now
from ..collection.keys import digest
from ..errors import CollectionError
from .failure import RequestError
from .settings import LOOPBACK

ALLOWED: dict[Role, tuple[Role, ...]] = {
    "read": ("read",),
    "write": ("read", "write"),
    "review": ("read", "review"),
    "admin": ("read", "write", "review", "admin"),
}
"""What a key of each role may do."""

ANYONE = "anyone on this machine"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from: the name of a key, for the audit log, and what rates are counted by."""

    name: str
    role: Role
    sha256: str = ""


class Access:
    """Decides on every request. keys: of the collection. no_auth: let requests without a key do everything.

    rate: requests per second of one caller, None for any number; twice as many may come at once.
    """

    def __init__(self, keys: Keys, *, no_auth: bool, rate: float | None) -> None:
        self._keys = keys
        self._no_auth = no_auth
        self._rate = rate
        self._lock = Lock()
        self._version = -1
        self._known: dict[str, Key] = {}
        self._used: dict[str, str] = {}
        self._tokens: dict[str, tuple[float, float]] = {}

    def check(self, request: Request, role: Role) -> Caller:
        """The caller, who may do this. Raises: RequestError 401, 403 or 429."""
        check_origin(request)
        caller = self._caller(request)
        if role not in ALLOWED[caller.role]:
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

    def _caller(self, request: Request) -> Caller:
        given = request.headers.get("authorization")
        if given is None:
            if self._no_auth:
                check_host(request)
                return Caller(ANYONE, "admin")
            raise _unknown("a key is needed: Authorization: Bearer KEY")
        scheme, _, secret = given.partition(" ")
        if scheme.lower() != "bearer":
            raise _unknown("a key is sent as Authorization: Bearer KEY")
        sha256 = digest(secret.strip())
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


def check_host(request: Request) -> None:
    """Without keys, a name that somebody else lets point to this machine must not open it. Raises: RequestError 403."""
    if (request.url.hostname or "") not in LOOPBACK:
        raise RequestError(403, "host", "without keys the service is called by a loopback address or localhost only")


def allow(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of routes that need a role; gives the caller."""

    async def check(request: Request) -> Caller:
        access: Access = request.app.state.service.access
        try:
            caller = access.check(request, role)
        except (sqlite3.Error, CollectionError):
            raise RequestError(503, "storage", "the keys cannot be read", {"Retry-After": "1"}) from None
        _check_parameters(request)
        return caller

    return check


def _check_parameters(request: Request) -> None:
    """A parameter that is spelt wrongly must not be taken for one that is not given. Raises: RequestError 422."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        raise RequestError(422, "parameter", f"there is no parameter {unknown[0]!r}{there}")


def _unknown(message: str) -> RequestError:
    return RequestError(401, "unauthorised", message, {"WWW-Authenticate": "Bearer"})
