"""An engine on the disk: one line that says what it is, then its bytes as TensorRT wrote them.

TensorRT finds out itself whether it can use an engine, but only on the machine with the card, and not every changed byte.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .key import EngineKey

FORMAT = 1
"""To be raised when engines are built in another way, so that those of before are built again."""
_LONGEST_LINE = 4096


class StaleEngineError(Exception):
    """A file is not the engine that is looked for; its text says why."""


def write_engine(path: Path, key: EngineKey, plan: bytes) -> None:
    """The whole file or none. Raises: OSError."""
    head = {"format": FORMAT, **asdict(key), "bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
    write_whole(path, json.dumps(head).encode() + b"\n" + plan)


def read_engine(path: Path, key: EngineKey) -> bytes:
    """The engine's bytes. Raises: StaleEngineError when it is another, or not whole; OSError."""
    with path.open("rb") as file:
        line, plan = file.readline(_LONGEST_LINE), file.read()
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or not line.endswith(b"\n"):
        raise StaleEngineError("is no engine that copytrace wrote")
    for name, wanted in {"format": FORMAT, **asdict(key)}.items():
        if head.get(name) != wanted:
            raise StaleEngineError(f"is for {name} {_shown(head.get(name))}, not {_shown(wanted)}")
    if len(plan) != head.get("bytes") or hashlib.sha256(plan).hexdigest() != head.get("sha256"):
        raise StaleEngineError("has changed since it was written")
    return plan


def write_whole(path: Path, data: bytes) -> None:
    """Beside it, flushed, renamed: who reads it meanwhile finds the file of before. Raises: OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _shown(value: object) -> str:
    return ".".join(map(str, value.values())) if isinstance(value, dict) else str(value)[:80]
