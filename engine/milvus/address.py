"""Where an index in Milvus is, as one text: it goes through an option, an environment variable or a settings file alike."""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ..errors import MilvusError

FORMS = "milvus://HOST[:PORT]/NAME, or milvus:///FOLDER/FILE.db for Milvus Lite"
TOKEN = "COPYTRACE_MILVUS_TOKEN"
"""The environment variable with "user:password" or an API key: a command line would show it to everybody."""
DEFAULT_PORT = 19530
EMBEDDED_NAME = "copytrace"
MOST_OVERSAMPLING = 100
IndexType = Literal["HNSW", "IVF_FLAT", "DISKANN", "FLAT", "AUTOINDEX"]
EMBEDDED_TYPES = ("HNSW", "IVF_FLAT", "FLAT")

_SCHEMES = {"milvus": "http", "milvus+tls": "https"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """text: as it was given. uri: a server's, as pymilvus takes it; None where ``path`` is Milvus Lite's folder.

    name: of the collection there; database: "" for the default one. index_type: how it searches. oversampling: how many times
    as many rows are asked for as are wanted.
    """

    text: str
    uri: str | None
    path: str | None
    name: str
    database: str = ""
    index_type: IndexType = "HNSW"
    oversampling: int = 10

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> "MilvusAddress":
        """``milvus://HOST[:PORT]/NAME`` (``milvus+tls`` for TLS), ``milvus:///FOLDER/FILE.db`` or ``milvus:FILE.db``; behind it
        ``?index=HNSW&oversampling=10&database=D``.

        Raises: MilvusError for anything else.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise MilvusError(f"{text}: is no address of Milvus: {error}") from None
        if parts.scheme not in _SCHEMES or parts.fragment:
            raise MilvusError(f"{text}: is no address of Milvus: {FORMS}")
        if parts.username is not None or parts.password is not None:
            raise MilvusError(f"an address of Milvus has no password, which others could see: set {TOKEN} to it")
        options = _options(text, parts)
        if parts.netloc:
            return cls(text, *_server(text, parts, port), **options)
        if "database" in options or parts.scheme != "milvus":
            raise MilvusError(f"{text}: Milvus Lite has neither databases nor TLS")
        if options.get("index_type", "HNSW") not in EMBEDDED_TYPES:
            raise MilvusError(f"{text}: Milvus Lite's index is one of {', '.join(EMBEDDED_TYPES)}")
        return cls(text, None, _file(text, parts), EMBEDDED_NAME, **options)


def _server(text: str, parts: SplitResult, port: int | None) -> tuple[str, None, str]:
    """uri, no path, and name."""
    name = parts.path.removeprefix("/")
    if not parts.hostname:
        raise MilvusError(f"{text}: has no host: {FORMS}")
    if not _NAME.fullmatch(name):
        raise MilvusError(
            f"{text}: the collection's name must be of letters, digits and _, not {name!r}; an address is {FORMS}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{_SCHEMES[parts.scheme]}://{host}:{port or DEFAULT_PORT}", None, name


def _file(text: str, parts: SplitResult) -> str:
    path = unquote(parts.path)
    if not path.endswith(".db") or path.endswith("/.db") or "\0" in path:
        raise MilvusError(f"{text}: the name of a folder of Milvus Lite must end in .db; an address is {FORMS}")
    return path


def _options(text: str, parts: SplitResult) -> dict[str, Any]:
    given = parse_qs(parts.query, keep_blank_values=True)
    if strange := given.keys() - {"index", "oversampling", "database"}:
        raise MilvusError(f"{text}: has no option {min(strange)!r}; there are index, oversampling and database")
    if twice := [name for name, values in given.items() if len(values) > 1]:
        raise MilvusError(f"{text}: gives {twice[0]} twice")
    found: dict[str, Any] = {}
    if "index" in given:
        if given["index"][0] not in get_args(IndexType):
            raise MilvusError(f"{text}: index must be one of {', '.join(get_args(IndexType))}")
        found["index_type"] = given["index"][0]
    if "oversampling" in given:
        times = given["oversampling"][0]
        if not re.fullmatch("[1-9][0-9]{0,2}", times) or int(times) > MOST_OVERSAMPLING:
            raise MilvusError(f"{text}: oversampling must be a whole number from 1 to {MOST_OVERSAMPLING}")
        found["oversampling"] = int(times)
    if "database" in given:
        if not _NAME.fullmatch(given["database"][0]):
            raise MilvusError(f"{text}: the database's name must be of letters, digits and _")
        found["database"] = given["database"][0]
    return found
