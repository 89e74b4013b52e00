"""Why an actor's work failed, in a few words, and whether another attempt may help."""

from typing import Any

from ..errors import (
    BadImageError,
    BundleError,
    ClusterError,
    ComparisonError,
    MissingExtraError,
    ResumeError,
    SearchError,
    SourceError,
)

_FINAL = (
    BadImageError,
    BundleError,
    ClusterError,
    ComparisonError,
    MissingExtraError,
    ResumeError,
    SearchError,
    SourceError,
)


class ActorLostError(Exception):
    """An actor is gone, with what it was at; the text says how."""


def cause_of(error: Exception, ray: Any) -> Exception:
    """What an exception from a task stands for: the one that was raised in the actor, or ActorLostError."""
    exceptions = ray.exceptions
    if isinstance(error, exceptions.OutOfMemoryError):
        return ActorLostError("its machine ran out of memory")
    if getattr(error, "actor_init_failed", False):  # such as a module that is not there
        return ActorLostError(f"its actor could not begin: {_last_line(error)}")
    if isinstance(error, exceptions.ActorUnavailableError):
        return ActorLostError("its actor cannot be reached")
    if isinstance(error, exceptions.RayActorError | exceptions.WorkerCrashedError):
        return ActorLostError("its actor died (killed, or out of memory, or with its machine)")
    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        return cause if isinstance(cause, Exception) else ActorLostError(_last_line(error))
    return error


def is_final(cause: Exception) -> bool:
    """Whether another attempt would end the same way: bad input, wrong arguments; all else may be a machine's own trouble."""
    return isinstance(cause, _FINAL) or type(cause) in (ValueError, TypeError)


def said_of(cause: Exception, place: str) -> str:
    """A cause in one line; place: the machine, where there are several."""
    text = " ".join(str(cause).split()) or type(cause).__name__
    more = (
        "; every machine of the cluster must see it under this path" if place and isinstance(cause, SourceError) else ""
    )
    return f"{place}: {text}{more}" if place else text


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
