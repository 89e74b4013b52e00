"""Descriptor files and challenge submissions, both HDF5, and the journal that makes a run resumable."""

from .comparable import check_comparable
from .convert import Converted, convert_descriptors
from .descriptors import DescriptorFile, open_descriptors, read_attributes, refuse_views, write_descriptors
from .journal import Journal, Slice, begun_as
from .memory import DescriptorArray, Descriptors, in_memory
from .merge import Merged, check_together, merge_descriptors
from .parts import Origin, Shard, check_parts, merge_parts, read_shard
from .submission import check_submission, write_submission

__all__ = [
    "Converted",
    "DescriptorArray",
    "DescriptorFile",
    "Descriptors",
    "Journal",
    "Merged",
    "Origin",
    "Shard",
    "Slice",
    "begun_as",
    "check_comparable",
    "check_parts",
    "check_submission",
    "check_together",
    "convert_descriptors",
    "in_memory",
    "merge_descriptors",
    "merge_parts",
    "open_descriptors",
    "read_attributes",
    "read_shard",
    "refuse_views",
    "write_descriptors",
    "write_submission",
]
