"""Banks as parts of the collection: the key ``bank`` of a reference's metadata says in which one it is, ``hma`` what else HMA's
clients have said of it.

References whose metadata name none of the banks, as those added without HMA do, are in the bank ``REFERENCES``, which is always
there. The names of the others are a property of the collection. A content's id is its reference's number. A content that is
added by HMA's routes has the reference id BANK/sha256 of its bytes, so that adding it again changes nothing.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...collection import Reference
from ...errors import CollectionError
from ...signals import Float32
from ..computing import Computed
from ..failure import RequestError
from ..live import Newcomer
from ..service import Service

PROPERTY = "banks"
"""The property of the collection that lists them."""
BANK = "bank"
KEPT = "hma"
DEFAULT = "REFERENCES"
MOST_BANKS = 1000
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,254}")


@dataclass(frozen=True, slots=True)
class BankMatch:
    """A content that is like what was looked up; Euclidean distance."""

    content: int
    bank: str
    distance: float


def list_banks(service: Service) -> list[str]:
    """Raises: CollectionError for a property that is no list of names."""
    made = service.references.reader.properties.get(PROPERTY, [])
    if not isinstance(made, list) or not all(isinstance(name, str) for name in made):
        raise CollectionError(f"{service.path}: its property {PROPERTY} must be a list of names, not {made!r}")
    return [DEFAULT, *made]


def check_bank(service: Service, name: str) -> list[str]:
    """All banks. Raises: RequestError when it is none of them."""
    banks = list_banks(service)
    if name not in banks:
        raise RequestError(404, "missing", f"bank {name!r} not found")
    return banks


def make_bank(service: Service, name: str, who: str) -> None:
    """Raises: RequestError for a name that cannot be or is there, CollectionError."""
    if not _NAME.fullmatch(name):
        raise RequestError(400, "name", "Bank names must be UPPER_WITH_UNDERSCORE")
    banks = list_banks(service)
    if name in banks:
        raise RequestError(403, "name", "Bank already exists")
    if len(banks) >= MOST_BANKS:
        raise RequestError(400, "name", f"there are {MOST_BANKS} banks, and no more can be made")
    collection = service.references.collection
    with collection.noting(who, "bank", {"name": name}):
        collection.set_properties(**{PROPERTY: [*banks[1:], name]})


def bank_of(reference: Reference, banks: list[str]) -> str:
    named = reference.metadata.get(BANK)
    return named if isinstance(named, str) and named in banks else DEFAULT


def kept_with(reference: Reference) -> dict[str, Any]:
    """What HMA's clients have said of a content."""
    kept = reference.metadata.get(KEPT)
    return kept if isinstance(kept, dict) else {}


def find_matches(service: Service, row: Float32, only: set[str] | None) -> list[BankMatch]:
    """What is no further from a descriptor float32 [D] than signals that match, the nearest first. only: in these banks."""
    pairs = service.references.index.within(row[None], service.signals.max_distance)
    banks, there = list_banks(service), service.references.reader.find(pairs.references)
    found = []
    for name, distance in zip(pairs.references, np.sqrt(pairs.distances).tolist(), strict=True):
        if name not in there:  # it was deleted after the search
            continue
        bank = bank_of(there[name], banks)
        if only is None or bank in only:
            found.append(BankMatch(there[name].number, bank, distance))
    return found


def find_content(service: Service, bank: str, content: int) -> Reference | None:
    """A reference by its number. Raises: RequestError for a bank that is not there."""
    banks = check_bank(service, bank)
    found = service.references.reader.find_number(content)
    return found if found is not None and bank_of(found, banks) == bank else None


def add_content(
    service: Service, bank: str, data: bytes, one: Computed, facts: Mapping[str, Any], who: str
) -> Reference:
    """Add an image to a bank, or keep other facts with the one that is there. Raises: CollectionError."""
    assert one.row is not None
    references, sha256 = service.references, hashlib.sha256(data).hexdigest()
    name = f"{bank}/{sha256}"
    metadata: dict[str, Any] = {BANK: bank} | ({KEPT: dict(facts)} if facts else {})
    known = references.collection.find([name]).get(name)
    if known is None or known.sha256 != sha256:
        newcomer = Newcomer(name, sha256, len(data), one.row, metadata, one.looks())
        references.add([newcomer], who, replace=True)
    elif metadata != {key: known.metadata.get(key) for key in metadata}:
        references.patch(name, metadata, who)
    return references.collection.find([name])[name]


def remove_content(service: Service, bank: str, content: int, who: str) -> int:
    """How many were removed, 1 or 0. Raises: RequestError for a bank that is not there, CollectionError."""
    found = find_content(service, bank, content)
    if found is None:
        return 0
    return int(service.references.remove([found.id], who)[found.id])
