"""The first image of a fresh process: Python starts, the libraries and networks are loaded, one image becomes a descriptor."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..embedder import Role
from ..errors import CopytraceError

PROGRAM = Path(__file__).with_name("first_image.py")


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Milliseconds of one fresh process: ``total_ms`` from before it starts until it has ended, and the parts of its work."""

    total_ms: float
    import_ms: float
    load_ms: float
    first_image_ms: float


def measure_cold(image: bytes, options: Mapping[str, object], role: Role) -> ColdStart:
    """Start a process that embeds one image, and wait for it. Files it reads may be in the system's memory already.

    options: what ``Engine`` is made with.
    Raises: CopytraceError when it does not end well.
    """
    command = [sys.executable, "-P", str(PROGRAM), json.dumps([dict(options), role])]
    start = time.perf_counter()
    ended = subprocess.run(command, input=image, capture_output=True)
    total = 1000 * (time.perf_counter() - start)
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        raise CopytraceError(f"a fresh process could not embed an image: {lines[-1] if lines else ended.returncode}")
    return ColdStart(total, **json.loads(ended.stdout))


def medians(starts: Sequence[ColdStart]) -> dict[str, float]:
    """The median of each part over several starts, of which there is at least one."""
    rows = [asdict(start) for start in starts]
    return {part: statistics.median(row[part] for row in rows) for part in rows[0]}
