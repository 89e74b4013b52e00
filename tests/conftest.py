"""What several test files share: where the photographs are, and a small source to embed."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # as many processes as processors: torch's own threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
PHOTOS = ROOT / "engine" / "photos"

settings.register_profile(
    "same", derandomize=True
)  # the same cases every time, so that a failure belongs to what was changed
settings.register_profile("new")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        skip = pytest.mark.skip(reason="needs an NVIDIA GPU")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason="needs ../shared/data, which is not there")
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(skip)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with 40 photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:40]:
        shutil.copy(path, folder)
    return folder
