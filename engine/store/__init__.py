"""Descriptor files and challenge submissions, both HDF5, and the journal that makes a run resumable."""

from .comparable import check_comparable
from .descriptors import DescriptorFile, open_descriptors, read_attributes, write_descriptors
from .journal import Journal, Slice
from .submission import check_submission, write_submission

__all__ = [
    "DescriptorFile",
    "Journal",
    "Slice",
    "check_comparable",
    "check_submission",
    "open_descriptors",
    "read_attributes",
    "write_descriptors",
    "write_submission",
]
