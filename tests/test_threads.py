"""How many threads there are, and that what waits between them does not grow with their number."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Bundle, pictures, pipeline, threads
from copytrace.engine.bundle_embedder import BundleEmbedder
from copytrace.engine.pictures import Looks, picture_stream
from copytrace.engine.pipeline import Pipeline
from copytrace.engine.read import PixelImage

from bundle_files import small_bundle


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "broken"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "0\n"}, 64),
    ],
)
def test_processors_that_a_container_is_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], count: int
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(64), raising=False)
    assert threads.cpu_count() == count


@pytest.mark.parametrize("whole", [True, False])
def test_what_waits_is_bounded_however_many_threads_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(pipeline, "MOST_WAITING", 20)
    monkeypatch.setattr(pictures, "_MOST_WAITING", 20)
    embedder = BundleEmbedder(Bundle(small_bundle(tmp_path / "bundle")), threads=2, decoders=16, batch=8)
    taken = 0

    def endless() -> Iterator[PixelImage]:
        nonlocal taken
        while True:
            taken += 1
            yield PixelImage(str(taken), np.full((40, 40, 3), taken % 256, np.uint8))

    stream = (
        Pipeline(embedder).embed(endless(), "raw")
        if whole
        else picture_stream(embedder, endless(), Looks.of_references(embedder, local=False))
    )
    for _ in range(3):
        next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert taken < 100  # and not 2 * 16 * 8
