"""Engines that were built once and are found again."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DeviceError, DeviceMemoryError
from .build import Built
from .engine_file import StaleEngineError, read_engine, write_engine, write_whole
from .key import EngineKey
from .library import Library

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Ready:
    """A deserialised engine; found: whether it had been built before."""

    engine: Any
    found: bool


class Engines:
    """A folder of engines beside a bundle, ``NAME.engines``, or, where that cannot be written, in the user's cache.

    An engine that cannot be used, whatever is wrong with it, is built again. Of two processes that want the same one the second
    waits for the first and takes its engine; where a file system has no locks both build it, and the later file stays. The
    folder may be deleted at any time.
    """

    def __init__(self, library: Library, bundle: Path) -> None:
        self._library = library
        self.folders = [bundle.absolute().with_name(f"{bundle.absolute().name}.engines"), _of_user()]

    def ready(
        self,
        key: EngineKey,
        build: Callable[[bytes], Built],
        load: Callable[[Library, bytes], Any] | None = None,
    ) -> Ready:
        """The engine of a key, deserialised, built if need be.

        build: makes it, from what earlier builds measured. load: deserialises (default: :func:`deserialised`).
        Raises: what ``build`` raises; DeviceError where not even a new engine can be loaded.
        """
        load = load or deserialised
        for folder in self.folders:
            if (engine := self._found(folder / key.name, key, load)) is not None:
                return Ready(engine, found=True)
        writable = [folder for folder in self.folders if _writable(folder)]
        if not writable:
            log.warning("no folder for TensorRT's engines can be written; the next start builds them again")
            return Ready(load(self._library, build(b"").plan), found=False)
        folder = writable[0]
        with _locked(folder / f".{key.name}.lock"):
            if (engine := self._found(folder / key.name, key, load)) is not None:  # another process was first
                return Ready(engine, found=True)
            built = build(_bytes_of(folder / key.timing_name))
            engine = load(self._library, built.plan)
            self._keep(folder, key, built)
            return Ready(engine, found=False)

    def _found(self, path: Path, key: EngineKey, load: Callable[[Library, bytes], Any]) -> Any:
        """None where there is none, or none that can be used, which is said."""
        try:
            return load(self._library, read_engine(path, key))
        except FileNotFoundError:
            return None
        except DeviceMemoryError:
            raise  # the engine is sound
        except (StaleEngineError, DeviceError, OSError) as error:
            log.warning("%s cannot be used and is built again: %s", path, error)
            return None

    def _keep(self, folder: Path, key: EngineKey, built: Built) -> None:
        try:
            for left in folder.glob(f".{key.name}.*.tmp"):  # of a process that was killed: this one holds the lock
                left.unlink(missing_ok=True)
            write_engine(folder / key.name, key, built.plan)
            if built.timing:
                write_whole(folder / key.timing_name, built.timing)
        except OSError as error:
            log.warning("%s: cannot be written, the next start builds it again: %s", folder / key.name, error.strerror)


def deserialised(library: Library, plan: bytes) -> Any:
    """An engine made ready on this machine's card. Raises: DeviceError where TensorRT refuses it, DeviceMemoryError."""
    with library.listening() as lines:
        engine = library.module.Runtime(library.log).deserialize_cuda_engine(plan)
        if engine is None:
            raise library.error("refuses the engine", lines)
        return engine


def _of_user() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "copytrace" / "engines"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; go without where there can be none."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            log.info("%s: no lock: %s", path, error.strerror)
        yield
