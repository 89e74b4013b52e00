"""Collections: one folder (``refs.ct``) with everything known about a set of references, and the only truth about it.

Rows and blobs lie in append-only segment files, memory-mapped by what scans them; an SQLite catalogue says which of them count.
Checksums are compared whenever a row, a blob or an entry of the catalogue is read, so a flipped byte ends in an error.
"""

from .audit import AuditEntry
from .blobs import Blobs
from .collection import Collection
from .folder import is_collection
from .incoming import Blob, check_id
from .keys import Key, Keys, Role
from .metadata_file import read_metadata
from .records import WHOLE, Reference
from .review_rows import Decision, NewReview, Review
from .reviews import Reviews
from .rows import Descriptors
from .thresholds import StoredThresholds, Thresholds, Verdict

__all__ = [
    "WHOLE",
    "AuditEntry",
    "Blob",
    "Blobs",
    "Collection",
    "Decision",
    "Descriptors",
    "Key",
    "Keys",
    "NewReview",
    "Reference",
    "Review",
    "Reviews",
    "Role",
    "StoredThresholds",
    "Thresholds",
    "Verdict",
    "check_id",
    "is_collection",
    "read_metadata",
]
