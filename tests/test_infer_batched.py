"""Batches of fixed sizes over lanes, by ONNX Runtime at fixed addresses: on the CPU here, on a card with the same code."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Bundle
from copytrace.engine.errors import BundleError, DeviceError, DeviceMemoryError
from copytrace.engine.infer import BatchedNetwork, OrtNetwork, open_network
from copytrace.engine.infer.batched import buckets_up_to
from copytrace.engine.infer.buffers import HostBuffers
from copytrace.engine.infer.fastest import fastest
from copytrace.engine.infer.ort_lane import OrtLane
from copytrace.engine.ort_on_card import card_error, ort_for_cards

from bundle_files import write_network

SIZE, DIMENSION = 16, 12
Make = Callable[[int, int], BatchedNetwork]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("networks") / "n.onnx", SIZE, DIMENSION)


@pytest.fixture(scope="module")
def make(path: Path) -> Make:
    def made(most: int, lanes: int) -> BatchedNetwork:
        buckets = buckets_up_to(most)
        there = [OrtLane(path, HostBuffers(most, SIZE, DIMENSION), buckets) for _ in range(lanes)]
        return BatchedNetwork(path, there, buckets, SIZE, DIMENSION, "ONNX Runtime")

    return made


def noise(count: int, size: int = SIZE, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def test_sizes_of_batches() -> None:
    assert [buckets_up_to(most) for most in (1, 2, 8, 9, 128)] == [[1], [1, 2], [1, 8], [1, 8, 9], [1, 8, 32, 128]]


@pytest.mark.parametrize(("most", "lanes"), [(1, 1), (8, 1), (8, 3), (33, 2)])
def test_rows_are_those_of_the_plain_network(make: Make, path: Path, most: int, lanes: int) -> None:
    network, plain = make(most, lanes), OrtNetwork(path, batch=1)
    assert (network.input_size, network.dimension, network.batch, network.lanes) == (SIZE, DIMENSION, most, lanes)
    for count in (0, 1, 2, 7, 8, 9, 33, 100):
        pixels = noise(count)
        rows = network(pixels)
        assert rows.shape == (count, DIMENSION) and rows.dtype == np.float32
        np.testing.assert_allclose(rows, plain(pixels), rtol=1e-4)
        alone = np.concatenate([rows[:0], *(network(pixels[i : i + 1]) for i in range(count))])
        assert rows.tobytes() == alone.tobytes()


def test_more_callers_than_lanes(make: Make) -> None:
    """Each wants several lanes at once; none gets another's rows, and none waits for ever."""
    network = make(8, 2)
    pixels = [noise(60, seed=seed) for seed in range(12)]
    expected = [network(some) for some in pixels]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(network, pixels * 3))
    assert all(rows.tobytes() == wanted.tobytes() for rows, wanted in zip(found, expected * 3, strict=True))


def test_a_size_whose_rows_differ_is_not_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As another kernel's would: a network that takes the size of its batch into account."""

    class Uneven(OrtLane):
        def run(self, bucket: int) -> None:
            super().run(bucket)
            if bucket == 8:
                self.buffers._rows *= np.float32(1 + 1e-6)  # type: ignore[attr-defined]

    buckets = [1, 8, 32]
    with caplog.at_level("INFO", "copytrace"):
        lane = Uneven(path, HostBuffers(32, SIZE, DIMENSION), buckets)
        network = BatchedNetwork(path, [lane], buckets, SIZE, DIMENSION, "ONNX Runtime")
    assert network.buckets == [1, 32] and "8 together differ by up to" in caplog.text
    pixels = noise(40)
    assert network(pixels)[:5].tobytes() == network(pixels[:5]).tobytes()


def test_a_lane_whose_rows_differ_is_not_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Other(OrtLane):
        def run(self, bucket: int) -> None:
            super().run(bucket)
            self.buffers._rows[0, 0] += np.float32(1)  # type: ignore[attr-defined]

    lanes = [kind(path, HostBuffers(4, SIZE, DIMENSION), [1, 4]) for kind in (OrtLane, Other, OrtLane)]
    network = BatchedNetwork(path, lanes, [1, 4], SIZE, DIMENSION, "ONNX Runtime")
    assert network.lanes == 2 and "2 of 3 lanes agree" in caplog.text
    np.testing.assert_allclose(network(noise(30)), OrtNetwork(path, batch=1)(noise(30)), rtol=1e-4)


def test_a_place_that_changes_a_row_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Leaning(OrtLane):
        def run(self, bucket: int) -> None:
            super().run(bucket)
            self.buffers._rows[0] *= np.float32(1 + 1e-6)  # type: ignore[attr-defined]

    BatchedNetwork(path, [Leaning(path, HostBuffers(4, SIZE, DIMENSION), [4])], [4], SIZE, DIMENSION, "ONNX Runtime")
    assert "the place in a batch changes a row by up to" in caplog.text


def test_the_faster_one_is_taken(make: Make, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(OrtLane):
        def run(self, bucket: int) -> None:
            time.sleep(0.05)
            super().run(bucket)

    quick = make(4, 1)
    slow = BatchedNetwork(path, [Slow(path, HostBuffers(4, SIZE, DIMENSION), [4])], [4], SIZE, DIMENSION, "slow")
    with caplog.at_level("INFO", "copytrace"):
        assert fastest([slow, quick]) is quick and fastest([quick, slow]) is quick
    assert "by slow: " in caplog.text and "images/s" in caplog.text
    assert fastest([slow]) is slow


def test_a_call_that_fails_gives_its_lanes_back(path: Path) -> None:
    class Failing(OrtLane):
        broken = False

        def run(self, bucket: int) -> None:
            if self.broken:
                raise DeviceError("the card has fallen off the bus")
            super().run(bucket)

    lanes = [Failing(path, HostBuffers(4, SIZE, DIMENSION), [4]) for _ in range(2)]
    network = BatchedNetwork(path, lanes, [4], SIZE, DIMENSION, "ONNX Runtime")
    expected = network(noise(20))
    for broken in ([True, True], [False, True], [True, False]):
        for lane, is_broken in zip(lanes, broken, strict=True):
            lane.broken = is_broken
        with pytest.raises(DeviceError, match="off the bus"):
            network(noise(20))
    for lane in lanes:
        lane.broken = False
    assert network(noise(20)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("pixels", [noise(2, 8), noise(2).astype(np.float32), noise(2)[..., :2]])
def test_other_pixels_are_refused(make: Make, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(BundleError, match=r"takes uint8 \[N, 16, 16, 3\], not"):
        make(4, 1)(pixels)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_default_bundle_at_fixed_addresses(precision: str) -> None:
    file = Bundle().networks(precision)[1]
    buckets = [1, 4]
    lanes = [OrtLane(file.path, HostBuffers(4, file.input_size, file.dimension), buckets) for _ in range(2)]
    network = BatchedNetwork(file.path, lanes, buckets, file.input_size, file.dimension, "ONNX Runtime")
    pixels = noise(10, file.input_size)
    expected = open_network(file, "cpu", batch=1)(pixels)
    cosine = (
        (network(pixels) * expected).sum(1) / np.linalg.norm(network(pixels), axis=1) / np.linalg.norm(expected, axis=1)
    )
    assert cosine.min() > 0.99999


def test_the_wrong_onnxruntime_is_one_line(path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(DeviceError, match="is installed without CUDA; for graphics cards: pip"):
        ort_for_cards()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Failed to allocate memory for requested buffer of size 1", DeviceMemoryError),
        ("CUDA failure 2: out of memory ; GPU=0", DeviceMemoryError),
        ("CUBLAS failure 3\n  at line 7", DeviceError),
    ],
)
def test_errors_on_a_card_are_one_line_and_tell_want_of_memory(text: str, kind: type[DeviceError]) -> None:
    error = card_error(RuntimeError(text), "x.onnx cannot compute 2 images on the graphics card")
    assert type(error) is kind and "\n" not in str(error) and str(error).startswith("x.onnx cannot compute 2 images")


def test_a_network_that_cannot_be_loaded_or_computed_is_one_line(path: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"x\.onnx is not a network this ONNX Runtime can load"):
        OrtLane(tmp_path / "x.onnx", HostBuffers(1, SIZE, DIMENSION), [1])
