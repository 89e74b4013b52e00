"""What machine a figure belongs to."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..threads import cpu_count

LIBRARIES = (
    *("copytrace", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-cu13", "nvidia-dali-cuda130"),
    *("nvidia-nvimgcodec-cu13", "faiss-cpu", "opencv-python-headless", "torch"),
)
"""By the names they are installed by."""


def machine_record() -> dict[str, object]:
    """Processor, memory, system, cards and versions of the libraries that matter, for JSON.

    load: programs that ran or waited to in the last minute, of the whole machine; before a measurement there should be none.
    """
    return {
        "processor": _processor(),
        "processors": cpu_count(),
        "instructions": _instructions(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
        "cards": _cards(),
        "load": round(os.getloadavg()[0], 2),
    }


def machine_text(record: dict[str, object]) -> str:
    """The record on one line."""
    libraries, cards = record["libraries"], record["cards"]
    assert isinstance(libraries, dict) and isinstance(cards, list)
    parts = [
        f"{record['processor']}, {record['processors']} processors, {record['memory_gib']} GiB",
        *cards,
        f"Python {record['python']}",
        *(f"{name} {number}" for name, number in libraries.items()),
        f"load {record['load']}",
    ]
    return ", ".join(parts)


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> list[str]:
    """The instruction sets that decide how fast networks and the native core are, of those there are."""
    found = set(_cpuinfo("flags").split() + _cpuinfo("Features").split())
    return [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp")
        if name in found
    ]


def _cpuinfo(name: str) -> str:
    """The first value of a name in Linux' list of processors; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == name), "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cards() -> list[str]:
    """Name, memory and driver of each NVIDIA card, as the driver's own program tells; none where that is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.splitlines() if line.strip()]
