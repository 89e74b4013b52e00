"""A Ray cluster: started or found, what its machines have, and actors on it."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..errors import ClusterError, optional_module
from ..threads import cpu_count

AUTO = "auto"
_STORE_BYTES = 128 << 20
_REACHED_SECONDS = 10.0
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""By which HTTP/2 begins, and an empty frame of settings; what speaks it, as a cluster's head does, answers with one."""
_SETTINGS = b"\x04"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Machine:
    """One of a cluster, with the processors and graphics cards that it gives to the cluster."""

    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Staffing:
    """How many actors there are to be, and what each of them gets."""

    actors: int
    threads: int
    gpus: int

    @classmethod
    def of(
        cls,
        machines: Sequence[Machine],
        *,
        actors: int | None = None,
        threads: int | None = None,
        on_cards: bool = False,
    ) -> "Staffing":
        """As many actors as there is room for, unless their number is given.

        threads: of each (default: all processors of the smallest machine, shared out among its actors). on_cards: each gets a
        graphics card. Raises: ClusterError where not even one finds room.
        """
        hosts = [machine for machine in machines if machine.cpus and (machine.gpus or not on_cards)]
        if not hosts:
            raise ClusterError(
                f"no machine of the cluster has {'a graphics card' if on_cards else 'processors'} to give"
            )
        if threads is None:
            on_each = -(-actors // len(hosts)) if actors else 1
            threads = max(1, min(host.cpus // max(on_each, host.gpus if on_cards else 1) for host in hosts))
        rooms = [host.cpus // threads for host in hosts]
        if on_cards:
            rooms = [min(room, host.gpus) for room, host in zip(rooms, hosts, strict=True)]
        if not sum(rooms):
            most = max(host.cpus for host in hosts)
            raise ClusterError(
                f"no machine of the cluster has {threads} processors for one actor; the largest has {most}"
            )
        return cls(actors or sum(rooms), threads, int(on_cards))


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray

    def machines(self) -> list[Machine]:
        """Those that are alive."""
        found = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return [Machine(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in found]

    def actor(self, worker: type, *arguments: object, threads: int, gpus: int) -> Any:
        """An instance of ``worker`` somewhere; it can be asked how far it is while it works. It is not started again."""
        options = {
            "num_cpus": threads,
            "num_gpus": gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,
        }
        return self.ray.remote(**options)(worker).remote(*arguments)


@contextmanager
def connected(address: str, *, cpus: int = 1, store_bytes: int = 0) -> Iterator[Cluster]:
    """A cluster: the one that this process is connected to already, else one by its address, else one on this machine alone.

    address: "auto" starts one on this machine, which ends with the block; HOST:PORT is that of the head of one that this
    machine belongs to. cpus, store_bytes: what a cluster that is started must have room for.
    Raises: ClusterError, MissingExtraError.
    """
    if address != AUTO:
        _check_address(address)
    ray = optional_module("ray", "ray")
    if ray.is_initialized():
        yield Cluster(ray)
        return
    try:
        _init(ray, address, max(cpus, cpu_count()), _STORE_BYTES + 2 * store_bytes)
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _init(ray: Any, address: str, cpus: int, store_bytes: int) -> None:
    """Raises: ClusterError; what the signals' own handlers raise."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about it
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "critical"}
    if address == AUTO:
        own = {"num_cpus": cpus, "object_store_memory": store_bytes, "include_dashboard": False}
        options |= own | {"address": "local"}
    else:
        options["address"] = address
    with _own_signals():
        try:
            ray.init(**options)
        except Exception as error:
            what = (
                "a cluster on this machine cannot be started"
                if address == AUTO
                else f"{address}: no cluster to be used"
            )
            raise ClusterError(f"{what}: {' '.join(str(error).split())}") from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; here what was set before it stays, and hears a signal that came meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    except SystemExit:
        handler = handlers[signal.SIGTERM]
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def deferred_signals() -> Iterator[Callable[[], None]]:
    """Signals that come within the block are heard where what it gives is called.

    What their handlers raise within a call of Ray's ends in a SystemError of its own.
    """
    heard: list[tuple[int, FrameType | None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handlers = {int(number): handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}

    def hear() -> None:
        for number, frame in heard:
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, lambda number, frame: heard.append((number, frame)))
    try:
        yield hear
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check_address(address: str) -> None:
    """Raises: ClusterError for what is no address, or where no cluster answers: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ClusterError(
            f"the address of a cluster is auto, for one on this machine, or its head's HOST:PORT (6379 by default), "
            f"not {address!r}"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACHED_SECONDS) as there:
            if not os.environ.get("RAY_USE_TLS"):
                there.sendall(_HELLO)
                if there.recv(9)[3:4] != _SETTINGS:
                    raise ClusterError(f"{address}: what answers there is not the head of a cluster (6379 is its port)")
    except OSError as error:
        raise ClusterError(f"{address}: no cluster answers there: {error.strerror or error}") from None
