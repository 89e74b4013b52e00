"""A connection to Milvus. Whatever goes wrong is one line that begins with the address."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from ..errors import MilvusError, optional_module
from .address import TOKEN, MilvusAddress

CONNECT_SECONDS = 20.0
CALL_SECONDS = 60.0
BULK_SECONDS = 3600.0
"""Of what works on everything there: building an index, loading it."""
_SILENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CONNECT_FAILED", "Fail connecting", "Retry timeout", "timeout")
_MOST_TEXT = 300


@dataclass(eq=False, slots=True)
class _Lite:
    """Milvus Lite on one folder, shared by all connections of this process.

    lock: one call at a time. Lite itself lets calls go on beside a change, and while it flushes, rows that were added are in
    neither of the places where a search looks.
    """

    uri: str
    users: int = 0
    lock: RLock = field(default_factory=RLock)


_LITES: dict[str, _Lite] = {}
_OPENING = RLock()


class Connection:
    """Safe to use from several threads. Raises: MilvusError, MissingExtraError."""

    def __init__(self, address: MilvusAddress) -> None:
        pymilvus = optional_module("pymilvus", "milvus")
        for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite.adapter"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # they print tracebacks; we raise one line
        self.address = address
        self._path = None if address.path is None else os.path.realpath(address.path)
        self._lite = None if self._path is None else _opened(address, self._path)
        uri = address.uri if self._lite is None else self._lite.uri
        try:
            with self._reporting():
                self._client = pymilvus.MilvusClient(
                    uri=uri,
                    token=os.environ.get(TOKEN, "") if self._lite is None else "",
                    db_name=address.database,
                    timeout=CONNECT_SECONDS,
                    dedicated=True,
                )
        except BaseException:
            self._release()
            raise

    def __call__(self, method: str, *arguments: Any, seconds: float = CALL_SECONDS, **named: Any) -> Any:
        """What a method of pymilvus's client returns. Raises: MilvusError, from a server also after ``seconds``."""
        with self._reporting():
            if self._lite is None:
                return getattr(self._client, method)(*arguments, timeout=seconds, **named)
            with self._lite.lock:
                return getattr(self._client, method)(*arguments, timeout=BULK_SECONDS, **named)

    @property
    def index_params(self) -> Any:
        """Empty ones, to be filled."""
        return self._client.prepare_index_params()

    def close(self) -> None:
        """Milvus Lite brings everything to its files now, and its folder is free for others."""
        try:
            with self._reporting():
                self._client.close()
        finally:
            self._release()

    def _release(self) -> None:
        if self._lite is None or self._path is None:
            return
        with _OPENING:
            lite, self._lite = self._lite, None
            lite.users -= 1
            if not lite.users:
                del _LITES[self._path]
                optional_module("milvus_lite.server_manager", "milvus").server_manager_instance.release_server(
                    self._path
                )

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        grpc, exceptions = optional_module("grpc", "milvus"), optional_module("pymilvus.exceptions", "milvus")
        try:
            yield
        except (exceptions.MilvusException, grpc.RpcError, grpc.FutureTimeoutError, ValueError) as error:
            raise MilvusError(f"{self.address}: {_reason(error)}") from error


def _opened(address: MilvusAddress, path: str) -> _Lite:
    """Milvus Lite on a folder, which is made where there is none. Raises: MilvusError."""
    manager = optional_module("milvus_lite.server_manager", "milvus").server_manager_instance
    if not Path(path).parent.is_dir():
        raise MilvusError(f"{address}: there is no folder {Path(path).parent}")
    with _OPENING:
        if path not in _LITES:
            with _last_exception("milvus_lite.server_manager") as caught:
                uri = manager.start_and_get_uri(path)
            if uri is None:
                raise MilvusError(f"{address}: {_lite_reason(caught)}")
            _LITES[path] = _Lite(uri)
        _LITES[path].users += 1
        return _LITES[path]


@contextmanager
def _last_exception(name: str) -> Iterator[list[BaseException]]:
    """What a logger is told of instead of raising it."""
    caught: list[BaseException] = []

    class Catching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                caught.append(record.exc_info[1])

    logger, handler = logging.getLogger(name), Catching()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield caught
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _lite_reason(caught: list[BaseException]) -> str:
    error = caught[-1] if caught else None
    if type(error).__name__ == "DataDirLockedError":
        return "is open in another process, and Milvus Lite's folder is for one process at a time"
    if isinstance(error, OSError):
        return f"cannot be opened: {error.strerror or error}"
    return f"cannot be opened: {_one_line(str(error))}; if the folder is damaged, delete it: it is made again"


def _reason(error: BaseException) -> str:
    details, code = getattr(error, "details", None), getattr(error, "code", None)
    text = str(getattr(error, "message", "") or (details() if callable(details) else "") or error)
    code = str(code() if callable(code) else code)
    if os.strerror(errno.ENOSPC) in text:
        return f"cannot be written: {os.strerror(errno.ENOSPC)}"
    if any(word in text or word in code for word in _SILENT):
        return "does not answer"
    return _one_line(text)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]} ..."
