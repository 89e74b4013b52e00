"""Keys to a collection that is served: made, listed and revoked also while the service runs, which sees it at once.

A key is text of 256 random bits; the catalogue keeps its sha256 alone. Changing keys takes no writer's lock, since a key has no
part in the segments.
"""

import hashlib
import secrets
import zlib
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from ..errors import CollectionError
from .audit import AuditEntry, now
from .incoming import can_be_id
from .open_catalogue import OpenCatalogue

Role = Literal["read", "write", "review", "admin"]
PREFIX = "ct_"
MAX_NAME = 128


class Key(NamedTuple):
    """A key as it is kept. Times are UTC, ISO 8601; "" for never. sha256: of the key's text, hexadecimal."""

    name: str
    role: Role
    sha256: str
    created: str
    revoked: str = ""
    used: str = ""

    def seal(self) -> int:
        return zlib.crc32("\0".join(self[:5]).encode())

    @property
    def is_valid(self) -> bool:
        return not self.revoked


def digest(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


class Keys(OpenCatalogue):
    """The keys of a collection. All methods raise CollectionError for what is damaged or cannot be."""

    def add(self, name: str, role: Role, who: str) -> str:
        """Make a key; its text, which cannot be had again. Raises: CollectionError when a valid one has the name."""
        if role not in get_args(Role):
            raise ValueError(f"role must be one of {', '.join(get_args(Role))}, not {role!r}")
        if not can_be_id(name) or not name.isprintable() or len(name) > MAX_NAME:
            raise CollectionError(f"a key's name must be 1 to {MAX_NAME} printable characters, not {name!r}")
        secret = PREFIX + secrets.token_urlsafe(32)
        with self._changing(AuditEntry(who, "add key", {"name": name, "role": role})):
            if any(key.name == name and key.is_valid for key in self._read()):
                raise CollectionError(f"{self.path}: there is a key {name!r} already; revoke it first")
            key = Key(name, role, digest(secret), now())
            self._execute("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, key.seal()))
        return secret

    def revoke(self, name: str, who: str) -> None:
        """Let a key be valid no more. Raises: CollectionError when no valid one has the name."""
        with self._changing(AuditEntry(who, "revoke key", {"name": name})):
            key = next((key for key in self._read() if key.name == name and key.is_valid), None)
            if key is None:
                raise CollectionError(f"{self.path}: there is no valid key {name!r}")
            gone = key._replace(revoked=now())
            self._execute(
                "UPDATE key SET revoked = ?, seal = ? WHERE sha256 = ?", (gone.revoked, gone.seal(), key.sha256)
            )

    def list_keys(self) -> list[Key]:
        """All keys that ever were, by name and time."""
        with self._reading():
            return sorted(self._read())

    def set_used(self, times: Mapping[str, str]) -> None:
        """Keep when keys (by their sha256) were used last."""
        with self._changing():
            for sha256, time in times.items():
                self._execute("UPDATE key SET used = ? WHERE sha256 = ?", (time, sha256))

    def _read(self) -> list[Key]:
        found = []
        for *values, seal in self._execute("SELECT name, role, sha256, created, revoked, used, seal FROM key"):
            key = Key(*values)
            if key.seal() != seal or key.role not in get_args(Role):
                raise CollectionError(f"{self.path}: its catalogue is damaged: the key {key.name!r}; restore a backup")
            found.append(key)
        return found
