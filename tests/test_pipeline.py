"""One pipeline for files and for images in memory: results in order, one for each image, the same whatever is beside them."""

import io
import logging
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from copytrace.engine import BadImageError, Bundle, BundleError, DamagedImageWarning, Engine
from copytrace.engine.bundle_embedder import BundleEmbedder
from copytrace.engine.embedder import Decoded, Views
from copytrace.engine.infer import OrtNetwork, Runtime, open_network
from copytrace.engine.infer import ort as ort_module
from copytrace.engine.parallel import Threads, map_ordered
from copytrace.engine.pipeline import Pipeline
from copytrace.engine.read import PixelImage, PixelSet, decode

from bundle_files import small_bundle
from conftest import PHOTOS

IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:33]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    size = Bundle().networks("int8")[0].input_size
    return np.stack([decode(path.read_bytes(), size) for path in IMAGES])


@pytest.mark.parametrize(("precision", "runtime"), [("int8", "native"), ("int8", "onnxruntime"), ("float32", "auto")])
@pytest.mark.parametrize("place", range(len(Bundle().networks("int8"))))
def test_rows_are_the_same_to_the_last_bit_for_every_number_computed_together(
    place: int, precision: str, runtime: Runtime
) -> None:
    file = Bundle().networks(precision)[place]
    pictures = np.stack([decode(path.read_bytes(), file.input_size) for path in IMAGES])
    alone = open_network(file, runtime=runtime, batch=1)
    expected = np.concatenate([alone(picture[None]) for picture in pictures])
    for batch in (1, 2, 3, 4, 8, 16, 33):
        network = open_network(file, runtime=runtime, batch=batch)
        for count in (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33):
            rows = network(pictures[:count])
            assert rows.tobytes() == expected[:count].tobytes(), (batch, count)


def test_a_network_whose_rows_depend_on_their_number_computes_them_one_by_one(pictures: NDArray[np.uint8]) -> None:
    """As one of other kernels would be: every row changes by the number of rows."""
    network = open_network(Bundle().networks("int8")[0], runtime="onnxruntime", batch=8)
    assert isinstance(network, OrtNetwork)
    session, calls = network._session, []

    class Uneven:
        def run(self, names: None, inputs: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
            (pixels,) = inputs.values()
            calls.append(len(pixels))
            return [session.run(names, inputs)[0] * np.float32(1 + len(pixels) / 1e6)]

    expected = np.concatenate([network(picture[None]) for picture in pictures[:13]]) * np.float32(1 + 1e-6)
    network._session, network._exact = Uneven(), {1: True}
    assert network(pictures[:13]).tobytes() == expected.tobytes()
    calls.clear()
    network(pictures[:13])
    assert calls == [1] * 13


def test_no_more_are_computed_together_than_there_are(pictures: NDArray[np.uint8]) -> None:
    network = open_network(Bundle().networks("int8")[0], runtime="onnxruntime", batch=100)
    assert isinstance(network, OrtNetwork)
    for count in (1, 2, 4, 33):
        network(pictures[:count])  # tries them out
    session, calls = network._session, []

    class Counting:
        def run(self, names: None, inputs: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
            calls.append(len(next(iter(inputs.values()))))
            return list(session.run(names, inputs))

    network._session = Counting()
    for count, together in ((1, [1]), (3, [2, 1]), (4, [4]), (33, [16, 16, 1])):
        calls.clear()
        network(pictures[:count])
        assert calls == together
    assert max(network._exact) == ort_module._MOST_TOGETHER


class Recorded(BundleEmbedder):
    """An embedder that notes how many images come at a time, and on which thread."""

    def __init__(self, bundle: Bundle, **options: int) -> None:
        super().__init__(bundle, **options)  # type: ignore[arg-type]
        self.decoded: list[tuple[int, str]] = []
        self.embedded: list[tuple[int, str]] = []

    def decode(self, images: Sequence[object], views: Views = "whole") -> list[Decoded]:
        self.decoded.append((len(images), threading.current_thread().name))
        return super().decode(images, views)  # type: ignore[arg-type]

    def embed(self, pictures: Sequence[PixelSet]) -> NDArray[np.float32]:
        self.embedded.append((len(pictures), threading.current_thread().name))
        return super().embed(pictures)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(Bundle(small_bundle(tmp_path / "bundle")), threads=3, decoders=2, batch=4)


@pytest.fixture
def in_one_go(tmp_path: Path) -> Recorded:
    return Recorded(Bundle(small_bundle(tmp_path / "bundle")), threads=3, batch=4)


def items(count: int) -> Iterator[PixelImage]:
    rng = np.random.default_rng(0)
    return (PixelImage(str(i), rng.integers(0, 256, (50, 40, 3), np.uint8)) for i in range(count))


def test_batches_fit_what_is_there(recorded: Recorded) -> None:
    pipeline = Pipeline(recorded)
    for count, decoded, embedded in (
        (1, [1], [1]),
        (2, [1, 1], [1, 1]),
        (6, [3, 3], [2, 2, 2]),
        (40, [4] * 10, [4] * 10),
    ):
        recorded.decoded, recorded.embedded = [], []
        assert sum(len(part.rows) for part in pipeline.embed(items(count), "raw", count=count)) == count
        assert [size for size, _ in recorded.decoded] == decoded and [size for size, _ in recorded.embedded] == embedded
        names = {name.split("_")[0] for _, name in recorded.embedded}
        assert names == ({threading.current_thread().name.split("_")[0]} if count == 1 else {"infer"})


def test_as_many_decoders_as_workers_are_the_same_threads(recorded: Recorded, in_one_go: Recorded) -> None:
    expected = [part.rows for part in Pipeline(recorded).embed(items(40), "raw")]
    pipeline, before = Pipeline(in_one_go), threading.active_count()
    for count, sizes in ((1, [1]), (2, [1, 1]), (7, [3, 3, 1]), (40, [4] * 10)):
        in_one_go.decoded, in_one_go.embedded = [], []
        parts = list(pipeline.embed(items(count), "raw", count=count))
        assert [name for part in parts for name, _ in part.items] == [str(i) for i in range(count)]
        assert [len(part.rows) for part in parts] == sizes
        assert sorted(in_one_go.decoded) == sorted(in_one_go.embedded)
        assert (np.concatenate([part.rows for part in parts]) == np.concatenate(expected)[:count]).all()
    assert threading.active_count() - before <= 3


def test_threads_stay_and_are_as_many_as_said(recorded: Recorded) -> None:
    pipeline, before = Pipeline(recorded), threading.active_count()
    for _ in range(5):
        list(pipeline.embed(items(50), "raw"))
    assert threading.active_count() - before <= 2 + 3
    assert len({name for _, name in recorded.decoded}) <= 2 and len({name for _, name in recorded.embedded}) <= 3


@pytest.mark.parametrize("made", ["recorded", "in_one_go"])
def test_a_stream_that_is_left_early_leaves_nothing_running(made: str, request: pytest.FixtureRequest) -> None:
    recorded: Recorded = request.getfixturevalue(made)
    slow = threading.Semaphore(0)

    def endless() -> Iterator[PixelImage]:
        while True:
            slow.release()
            yield from items(1)

    stream = Pipeline(recorded).embed(endless(), "raw")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    done = len(recorded.decoded), len(recorded.embedded)
    time.sleep(0.1)
    assert (len(recorded.decoded), len(recorded.embedded)) == done


def test_one_engine_in_several_threads(engine: Engine) -> None:
    expected = engine.embed(IMAGES)
    with ThreadPoolExecutor(6) as pool:
        assert all((rows == expected).all() for rows in pool.map(lambda _: engine.embed(IMAGES), range(12)))
        alone = list(pool.map(engine.embed, IMAGES))
    assert (np.concatenate(alone) == expected).all()


def test_a_result_for_each_image_in_order(engine: Engine, tmp_path: Path) -> None:
    good, pixels = IMAGES[0], np.asarray(Image.open(IMAGES[1]).convert("RGB"))
    huge = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(huge, "PNG")
    mixed = [good, b"junk", pixels, tmp_path / "missing.jpg", good, b"", IMAGES[2].read_bytes(), huge.getvalue(), good]
    for images in (mixed, iter(mixed)):
        each = engine.embed_each(images, role="query")  # type: ignore[arg-type]
        assert [result.row is None for result in each] == [False, True, False, True, False, True, False, True, False]
        assert [result.reason is None for result in each] == [result.row is not None for result in each]
        rows = engine.embed([good, pixels, good, IMAGES[2], good], role="query")
        kept = [result.row for result in each if result.row is not None]
        assert (np.stack(kept) == rows).all() and kept[0].dtype == np.float32
        assert "No such file" in str(each[3].reason) and "empty" in str(each[5].reason)
        assert "limit" in str(each[7].reason)
    unnameable = engine.embed_each(["a\0b", "\ud800", "", good])
    assert [result.reason for result in unnameable] == ["no file can have this name"] * 3 + [None]
    assert engine.embed_each([]) == [] and len(engine.embed_each(good)) == 1
    assert engine.embed_each(good, output="raw")[0].row.shape == engine.bundle.projection.mean.shape  # type: ignore[union-attr]
    with pytest.raises(BadImageError, match="image 1: not an image"):
        engine.embed(mixed)
    with pytest.raises(TypeError, match="image 1 must be"):
        engine.embed_each([good, None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="damaged must be one of"):
        engine.embed_each([good], damaged="mend")  # type: ignore[arg-type]


def test_damage_belongs_to_its_image_also_where_a_path_comes_twice(engine: Engine, tmp_path: Path) -> None:
    data = bytearray(IMAGES[0].read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    (tmp_path / "damaged.jpg").write_bytes(data)
    images = [IMAGES[0], tmp_path / "damaged.jpg", IMAGES[1], tmp_path / "damaged.jpg", b"junk"]
    each = engine.embed_each(images)
    assert [result.damaged is not None for result in each] == [False, True, False, True, False]
    assert [result.row is not None for result in each] == [True, True, True, True, False]
    with pytest.warns(DamagedImageWarning, match="damaged"):
        rows = engine.embed(images[:4])
    assert (rows == np.stack([result.row for result in each[:4]])).all()  # type: ignore[arg-type]
    left_out = engine.embed_each(images, damaged="skip")
    assert [result.row is not None for result in left_out] == [True, False, True, False, False]
    assert left_out[1].damaged == each[1].damaged and "left out" in str(left_out[1].reason)


def test_a_row_that_is_not_finite_is_that_images_own(engine: Engine) -> None:
    pixels = [np.full((40, 40, 3), value, np.uint8) for value in (0, 100, 200)]

    class Poisoned(BundleEmbedder):
        def embed(self, pictures: Sequence[PixelSet]) -> NDArray[np.float32]:
            rows = super().embed(pictures)
            rows[[picture[0][0, 0, 0] == 100 for picture in pictures]] = np.nan
            return rows

    poisoned = Engine()
    poisoned._pipeline = Pipeline(Poisoned(Bundle()))
    each = poisoned.embed_each(pixels)
    assert [result.reason for result in each] == [None, "the network's values for it are not finite", None]
    assert (each[2].row == engine.embed(pixels[2])[0]).all()


def _rows(engine: Engine) -> NDArray[np.float32]:
    return engine.embed(IMAGES[:3], role="query")


def test_engines_pickle(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _rows(engine)
    assert (_rows(pickle.loads(pickle.dumps(engine))) == expected).all()
    options = {
        "precision": "float32",
        "threads": 1,
        "decoders": 2,
        "batch": 3,
        "backend": "numpy",
        "pixel_limit": 10**6,
    }
    again = pickle.loads(pickle.dumps(Engine(**options)))  # type: ignore[arg-type]
    embedder = again._pipeline.embedder
    assert (embedder.workers, embedder.decoders, embedder.batch) == (1, 2, 3)
    assert (embedder.precision, embedder.options()) == ("float32", {"pixel_limit": 10**6, "backend": "numpy"})
    for method in ("fork", "spawn"):  # forked ones begin with the parent's threads, which they do not have
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert all((rows == expected).all() for rows in pool.map(_rows, [engine] * 2))
    small = small_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(Engine("bundle"))
    monkeypatch.chdir("/")
    assert len(data) < 2000 and pickle.loads(data).bundle.path == small
    (small / "manifest.json").write_text((small / "manifest.json").read_text().replace('"1": 1.5', '"1": 1.25'))
    with pytest.raises(BundleError, match="another bundle"):
        pickle.loads(data)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_engine_that_was_used_works_in_a_forked_process(engine: Engine) -> None:
    expected = _rows(engine)
    results = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=lambda: results.put(_rows(engine)))
    process.start()
    process.join(60)
    assert process.exitcode == 0 and (results.get() == expected).all()


def test_threads_of_one_pool_are_shared() -> None:
    threads = Threads(2, "shared")
    names = set(threads.map(lambda _: threading.current_thread().name, range(50), 5))
    names |= set(threads.map(lambda _: threading.current_thread().name, range(50), 5))
    assert len(names) <= 2


def test_map_ordered_waits_for_what_runs() -> None:
    finished = []

    def work(i: int) -> int:
        time.sleep(0.05)
        finished.append(i)
        return i

    with ThreadPoolExecutor(2) as pool:
        stream = map_ordered(pool, work, range(100), 4)
        next(stream)
        stream.close()
        count = len(finished)
        time.sleep(0.2)
        assert len(finished) == count < 10


def test_logging_is_silent_until_it_is_wanted(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "R0003.jpg").write_bytes(b"junk")
    with caplog.at_level(logging.INFO, "copytrace"):
        Engine().embed_source(photos, tmp_path / "a.h5")
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("copytrace.")]
    assert any("no row for R0003: not an image" in text for text in texts)
    assert any("39 of 40 images embedded" in text for text in texts)
    code = (
        f"from copytrace.engine import Engine; Engine().embed_source({str(photos)!r}, {str(tmp_path / 'b.h5')!r});"
        "import logging; print(logging.getLogger('copytrace').handlers)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == "" and "NullHandler" in result.stdout


def test_decoded_results_hold_pixels_or_a_reason() -> None:
    embedder = BundleEmbedder(Bundle())
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)
    first, second = embedder.decode([PixelImage("a", grey), PixelImage("b", np.repeat(grey[:, :, None], 3, axis=2))])
    assert first.pixels is not None and second.pixels is not None
    assert all((a == b).all() for a, b in zip(first.pixels, second.pixels, strict=True))
    assert replace(first, id="b").reason is None
