"""Every error the engine raises on purpose.

::

    CopytraceError                 anything below; its text is one line a user can act on
    ├── MissingExtraError          an optional library cannot be imported; names the extra
    ├── SourceError                a source of images is missing, empty or ambiguous
    │   └── DuplicateIdError       two images with one id; names both
    ├── BadImageError              an image could not be read, or was damaged, and skipping was not allowed
    ├── BundleError                a bundle is incomplete, changed or of a newer format
    │   └── PrecisionError         a bundle has no network of this precision; a ValueError too
    ├── DeviceError                a graphics card, its driver or its libraries cannot be used
    │   └── DeviceMemoryError      its memory does not suffice
    ├── StoreError                 a descriptor file or submission cannot be read or written
    │   ├── ResumeError            an unfinished run does not belong to this command
    │   └── CollectionError        a collection cannot be opened, read or changed
    ├── SearchError                descriptors that cannot be searched
    │   └── ComparisonError        two files whose descriptors mean different things; a StoreError too
    ├── MilvusError                an index in Milvus cannot be reached, or is not what it should be
    ├── MatchError                 evidence or a match model that cannot be read
    ├── ServiceError               the service cannot start as it was told to, or a request to it has failed
    ├── ClusterError               a cluster of machines cannot be used, or work on it keeps failing
    ├── SignalError                a signal, or an index of signals, that cannot be used
    ├── PlanError                  numbers, or rates, that no plan can be made of
    └── ScoreError                 pairs or ground truth that cannot be scored
"""

from importlib import import_module
from types import ModuleType

from .extras import import_problem


class CopytraceError(Exception):
    """The root of all errors raised on purpose."""


class MissingExtraError(CopytraceError, ImportError):
    """An optional library is not installed, or cannot be loaded."""


class SourceError(CopytraceError):
    """A source of images is missing, empty or ambiguous."""


class DuplicateIdError(SourceError):
    """Two images of a source have the same id."""


class BadImageError(CopytraceError):
    """An image could not be read."""


class DamagedImageWarning(UserWarning):
    """Images were embedded although they are damaged; the text names them, with the reasons."""


class BundleError(CopytraceError):
    """A bundle is incomplete, changed or of a newer format."""


class PrecisionError(BundleError, ValueError):
    """A bundle has no network of this precision."""


class DeviceError(CopytraceError):
    """A graphics card, its driver or its libraries cannot be used."""


class DeviceMemoryError(DeviceError):
    """The memory of a graphics card does not suffice."""


class StoreError(CopytraceError):
    """A descriptor file or a submission cannot be read or written."""


class ResumeError(StoreError):
    """An unfinished run does not belong to this command."""


class CollectionError(StoreError):
    """A collection cannot be opened, read or changed."""


class SearchError(CopytraceError, ValueError):
    """Descriptors that cannot be searched."""


class MilvusError(CopytraceError):
    """An index in Milvus cannot be reached, or is not what it should be."""


class MatchError(CopytraceError, ValueError):
    """Evidence or a match model that cannot be read."""


class ComparisonError(StoreError, SearchError):
    """Two files whose descriptors cannot be compared with each other."""


class ServiceError(CopytraceError):
    """The service cannot start as it was told to, or a request to it has failed."""


class ClusterError(CopytraceError):
    """A cluster of machines cannot be used, or work on it keeps failing."""


class SignalError(CopytraceError, ValueError):
    """A signal, or an index of signals, that cannot be used."""


class PlanError(CopytraceError, ValueError):
    """Numbers or rates that no plan can be made of."""


class ScoreError(CopytraceError, ValueError):
    """Pairs or ground truth that cannot be scored."""


def optional_module(name: str, *extras: str) -> ModuleType:
    """Import an optional library, or say which extra of copytrace brings it.

    Raises: MissingExtraError.
    """
    try:
        return import_module(name)
    except (
        ImportError,
        OSError,
    ) as error:  # not there, or without a library of the system that it needs, such as CUDA's
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else name
        raise MissingExtraError(import_problem(missing, error, extras)) from error
