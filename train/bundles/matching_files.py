"""Where what is fitted for matching goes: a file, or a bundle whose part it becomes."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from copytrace.engine.manifest import MANIFEST, MatchingFile
from copytrace.export.bundle import MATCHING, set_matching


def save_fitted(output: Path, name: MatchingFile, save: Callable[[Path], object]) -> None:
    """Save to a file, or into the bundle at ``output``; all else of that stays. Raises: BundleError, StoreError."""
    if not (output / MANIFEST).is_file():
        save(output)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / MATCHING[name]
        save(file)
        set_matching(output, {name: file})
