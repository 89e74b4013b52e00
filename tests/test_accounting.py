"""Every image of a source ends as a row or as a reason, and nothing is called finished before that is so."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import (
    BadImageError,
    CopytraceError,
    Engine,
    ResumeError,
    StoreError,
    Summary,
    open_descriptors,
)
from copytrace.engine.bundle_embedder import BundleEmbedder
from copytrace.engine.describe import open_describer
from copytrace.engine.read import Image, PixelSet, Source, open_source
from copytrace.engine.run import embed_source
from copytrace.engine.store import Journal, Slice


class Poisoned(BundleEmbedder):
    """An embedder with other values for some pictures."""

    def __init__(self, engine: Engine, pictures: list[PixelSet], value: float) -> None:
        self.__dict__.update(engine._pipeline.embedder.__dict__)
        self._poisoned = {picture[0].tobytes() for picture in pictures}
        self._value = value

    def embed(self, pictures: Sequence[PixelSet]) -> NDArray[np.float32]:
        rows = super().embed(pictures)
        for i, picture in enumerate(pictures):
            if picture[0].tobytes() in self._poisoned:
                rows[i] = self._value
        return rows


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("output", ["projected", "method1", "method2", "raw"])
def test_a_row_that_is_not_finite_is_that_images_own_failure(
    photos: Path, tmp_path: Path, value: float, output: str
) -> None:
    engine = Engine()
    projection = replace(
        engine.bundle.projection, eigenvalues=np.full(256, 1e-12, np.float32)
    )  # 3e38 leaves float32 there
    engine._pipeline.embedder.describer = open_describer(projection, engine.bundle.bank)  # type: ignore[attr-defined]
    engine.embed_source(photos, tmp_path / "clean.h5", output=output)  # type: ignore[arg-type]
    embedder = engine._pipeline.embedder
    source = open_source(photos)
    bad = ["R0003", "R0017"]
    pictures = [image.pixels for image in embedder.decode([source[source.ids().index(name)] for name in bad])]
    engine._pipeline.embedder = Poisoned(engine, pictures, value)  # type: ignore[arg-type]
    summary = engine.embed_source(photos, tmp_path / "a.h5", output=output)  # type: ignore[arg-type]
    if output == "raw" and np.isfinite(value):
        assert summary.embedded == 40
        return
    assert [image.id for image in summary.failed] == bad and "not finite" in summary.failed[0].reason
    assert (summary.images, summary.embedded) == (40, 38)
    with open_descriptors(tmp_path / "a.h5") as file, open_descriptors(tmp_path / "clean.h5") as clean:
        kept = [i for i, name in enumerate(clean.ids) if name not in bad]
        assert file.ids == [clean.ids[i] for i in kept] and (file.descriptors[:] == clean.descriptors[:][kept]).all()
    with pytest.raises(BadImageError, match=r"R0003\.jpg: the network's values for it are not finite$"):
        engine.embed([photos / "R0000.jpg", photos / "R0003.jpg"], output=output)  # type: ignore[arg-type]


def test_a_run_that_lost_images_is_not_finished(photos: Path, tmp_path: Path) -> None:
    engine = Engine()

    class Short(Source):
        def starting_at(self, index: int) -> Iterator[Image]:
            yield from list(super().starting_at(index))[:-1]

    source = open_source(photos)
    source.__class__ = Short
    with pytest.raises(StoreError, match="39 of 40 images"):
        embed_source(engine._pipeline, source, tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    source.__class__ = Source
    assert embed_source(engine._pipeline, source, tmp_path / "a.h5", resume=True).embedded == 40


def test_a_finished_file_does_not_hide_its_failures(photos: Path, tmp_path: Path) -> None:
    (photos / "R0005.jpg").write_bytes(b"broken")
    engine = Engine()
    first = engine.embed_source(photos, tmp_path / "a.h5")
    assert first.embedded == 39
    again = engine.embed_source(photos, tmp_path / "a.h5", resume=True)
    assert (again.embedded, again.failed) == (39, first.failed)
    with pytest.raises(BadImageError, match="R0005"):
        engine.embed_source(photos, tmp_path / "a.h5", resume=True, on_error="fail")


def test_a_finished_file_that_lacks_images_is_made_again(photos: Path, tmp_path: Path) -> None:
    engine = Engine()
    engine.embed_source(photos, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for name in ("ids", "descriptors"):
            kept = file[name][:-1]
            del file[name]
            file[name] = kept
    assert engine.embed_source(photos, tmp_path / "a.h5", resume=True).resumed_at == 0


def interrupted(engine: Engine, photos: Path, path: Path) -> bytes:
    """Begin a run and end it at once; its journal's first line."""

    def stop(done: int, total: int, failed: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.embed_source(photos, path, progress=stop)
    return path.with_name(path.name + ".partial").read_bytes().partition(b"\n")[0]


ABSURD: list[tuple[object, bytes]] = [
    (None, b""),
    (7, b""),
    ({"a": 1}, b""),
    ([["R0000", None]], b""),
    ([["R0000", None, 1]], b"\0" * 1024),
    ([[1, None]], b"\0" * 1024),
    ([["R0000", 3]], b""),
    ([["R0000", None]], b"\0" * 1023),
    ([["R0000", None]], b"\0" * 2048),
    ([["R0000", "bad"]], b"\0" * 1024),
    ([["R0000", None]], np.full(256, np.nan, np.float32).tobytes()),
    ([["R0001", None]], b"\0" * 1024),
    ([["R0000", "bad"], ["R0000", "bad"]], b""),
    ([[f"R{i:04d}", "bad"] for i in range(41)], b""),
]


@pytest.mark.parametrize(("items", "rows"), ABSURD)
def test_absurd_journals_with_a_valid_checksum(photos: Path, tmp_path: Path, items: object, rows: bytes) -> None:
    import json
    import struct
    import zlib

    engine = Engine()
    head = interrupted(engine, photos, tmp_path / "a.h5")
    stamps = open_source(photos).stamps("stat")
    stamp = stamps.digest(min(len(items), 40)) if isinstance(items, list) else ""
    text = json.dumps([stamp, items, []]).encode()
    slice_ = struct.pack("<4sIQI", b"CTJ2", len(text), len(rows), zlib.crc32(rows, zlib.crc32(text))) + text + rows
    (tmp_path / "a.h5.partial").write_bytes(head + b"\n" + slice_)
    with pytest.raises(ResumeError, match="delete it to start over"):
        engine.embed_source(photos, tmp_path / "a.h5", resume=True)
    assert engine.embed_source(photos, tmp_path / "a.h5").embedded == 40


def test_deeply_nested_journals(tmp_path: Path) -> None:
    import struct
    import zlib

    journal = Journal(tmp_path / "a.h5", {"a": "b"}, 4, resume=False)
    journal.close()
    data = journal.path.read_bytes()
    text = b"[" * 100_000
    journal.path.write_bytes(data + struct.pack("<4sIQI", b"CTJ2", len(text), 0, zlib.crc32(text)) + text)
    with pytest.raises(ResumeError):
        Journal(tmp_path / "a.h5", {"a": "b"}, 4, resume=True)
    journal.path.write_bytes(b"copytrace journal " + b"[" * 60_000 + b"\n")
    with pytest.raises(ResumeError):
        Journal(tmp_path / "a.h5", {"a": "b"}, 4, resume=True)


def test_an_error_that_is_kept_holds_no_lock(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.h5", {"a": "1"}, 4, resume=False)
    journal.append(Slice([("x", "bad")], np.empty((0, 4), np.float32)))
    journal.close()
    with pytest.raises(ResumeError) as kept:
        Journal(tmp_path / "a.h5", {"a": "2"}, 4, resume=True)
    Journal(tmp_path / "a.h5", {"a": "1"}, 4, resume=True).close()
    assert isinstance(kept.value, CopytraceError)


def test_the_summary_counts_what_is_in_the_file(photos: Path, tmp_path: Path) -> None:
    (photos / "R0005.jpg").write_bytes(b"broken")
    summary: Summary = Engine().embed_source(photos, tmp_path / "a.h5")
    with open_descriptors(tmp_path / "a.h5") as file:
        assert summary.embedded == len(file.ids) == 39 and len(summary.failed) == len(file.failed()) == 1
