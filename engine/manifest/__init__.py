"""What a bundle says of itself: the typed model of ``manifest.json`` and its reading."""

from .model import FORMAT, MANIFEST, FileEntry, Manifest, MatchingFile, NetworkEntry, NetworkRole, Precision
from .network_file import NetworkFile
from .reading import check_manifest, read_manifest

__all__ = [
    "FORMAT",
    "MANIFEST",
    "FileEntry",
    "Manifest",
    "MatchingFile",
    "NetworkEntry",
    "NetworkFile",
    "NetworkRole",
    "Precision",
    "check_manifest",
    "read_manifest",
]
