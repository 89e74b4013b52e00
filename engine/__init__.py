"""The inference engine: images in, descriptors out, and the search and scoring that use them. Never imports torch.

::

    from copytrace.engine import Engine, find_duplicates, score_pairs, search

    engine = Engine()
    engine.embed_source("photos/", "references.h5")                      # folder, tar or list of paths -> HDF5
    engine.embed_source("uploads/", "queries.h5", role="query")
    found = search("queries.h5", "references.h5", k=1)                   # exact, by Euclidean distance
    groups = find_duplicates("photos/", engine)                          # near-duplicates, the best of each group first
    descriptors = engine.embed(["a.jpg", open("b.png", "rb").read()])    # float32 [2, 256]
"""

import logging

from .api import Engine
from .bundle import DEFAULT_BUNDLE, Bundle
from .calibration import CalibratedThresholds, calibrate_collection
from .collection import Collection, read_metadata
from .dedup import Duplicate, Duplicates, find_duplicates, save_duplicates, save_duplicates_report
from .errors import (
    BadImageError,
    BundleError,
    ClusterError,
    CollectionError,
    ComparisonError,
    CopytraceError,
    DamagedImageWarning,
    DeviceError,
    DeviceMemoryError,
    DuplicateIdError,
    MatchError,
    MilvusError,
    MissingExtraError,
    PrecisionError,
    ResumeError,
    ScoreError,
    SearchError,
    ServiceError,
    SignalError,
    SourceError,
    StoreError,
)
from .exchange import Imported, export_descriptors, import_descriptors
from .found import Found
from .gathering import Gathered
from .matches import Match, Matched
from .matching import Matcher
from .memory import Embedded
from .run import Summary
from .score import Calibration, Evaluation, GroundTruth, ScoredPairs, evaluate, read_pairs, read_truth
from .scoring import Scored, calibrate, save_report, score_pairs
from .searching import save_pairs, search
from .shards import ShardDone, embed_shard
from .store import (
    Merged,
    check_submission,
    convert_descriptors,
    merge_descriptors,
    merge_parts,
    open_descriptors,
    write_submission,
)

logging.getLogger("copytrace").addHandler(logging.NullHandler())  # silent, unless the application wants to hear

__all__ = [
    "DEFAULT_BUNDLE",
    "BadImageError",
    "Bundle",
    "BundleError",
    "CalibratedThresholds",
    "Calibration",
    "ClusterError",
    "Collection",
    "CollectionError",
    "ComparisonError",
    "CopytraceError",
    "DamagedImageWarning",
    "DeviceError",
    "DeviceMemoryError",
    "Duplicate",
    "DuplicateIdError",
    "Duplicates",
    "Embedded",
    "Engine",
    "Evaluation",
    "Found",
    "Gathered",
    "GroundTruth",
    "Imported",
    "Match",
    "MatchError",
    "Matched",
    "Matcher",
    "Merged",
    "MilvusError",
    "MissingExtraError",
    "PrecisionError",
    "ResumeError",
    "ScoreError",
    "Scored",
    "ScoredPairs",
    "SearchError",
    "ServiceError",
    "ShardDone",
    "SignalError",
    "SourceError",
    "StoreError",
    "Summary",
    "calibrate",
    "calibrate_collection",
    "check_submission",
    "convert_descriptors",
    "embed_shard",
    "evaluate",
    "export_descriptors",
    "find_duplicates",
    "import_descriptors",
    "merge_descriptors",
    "merge_parts",
    "open_descriptors",
    "read_metadata",
    "read_pairs",
    "read_truth",
    "save_duplicates",
    "save_duplicates_report",
    "save_pairs",
    "save_report",
    "score_pairs",
    "search",
    "write_submission",
]
