"""Networks on a card: the CPU's rows, the same rows in every batch, engines that are kept. ``make test-gpu`` runs these."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Bundle, Engine
from copytrace.engine.bundle import DEFAULT_BUNDLE
from copytrace.engine.device import DeviceArray
from copytrace.engine.device.cuda import call, runtime
from copytrace.engine.errors import DeviceMemoryError
from copytrace.engine.infer import BatchedNetwork, open_network
from copytrace.engine.infer.on_card import open_on_card
from copytrace.engine.manifest import NetworkFile
from copytrace.engine.read import decode

from conftest import PHOTOS

pytestmark = pytest.mark.gpu
IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:70]
RUNTIMES = ("onnxruntime", "tensorrt")
BATCH = 32


def silent(what: str, done: float) -> None:
    pass


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that no engines stay beside the package."""
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path_factory.mktemp("bundle") / "default"))


@pytest.fixture(scope="module", params=[precision for precision in Bundle().precisions if precision != "int8"])
def file(request: pytest.FixtureRequest, bundle: Path) -> NetworkFile:
    return Bundle(bundle).networks(request.param)[0]


@pytest.fixture(scope="module")
def pictures(file: NetworkFile) -> NDArray[np.uint8]:
    return np.stack([decode(path.read_bytes(), file.input_size) for path in IMAGES])


@pytest.fixture(scope="module", params=RUNTIMES)
def network(request: pytest.FixtureRequest, file: NetworkFile) -> BatchedNetwork:
    return open_on_card(file, request.param, BATCH, silent)


def cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    return np.asarray((rows * others).sum(axis=1) / lengths, np.float32)


def test_rows_are_the_cpus(network: BatchedNetwork, bundle: Path, pictures: NDArray[np.uint8]) -> None:
    plain = open_network(Bundle(bundle).networks("float32")[0], "cpu")
    assert cosines(network(pictures), plain(pictures)).min() >= 0.9999


def test_a_row_depends_on_its_image_alone(network: BatchedNetwork, pictures: NDArray[np.uint8]) -> None:
    """To the last bit: any number together, any neighbours, any place in the batch."""
    expected = network(pictures)
    for count in (1, 2, 7, 8, 9, 31, 32, 33, 64, 65):
        for start in (0, 5):
            part = pictures[start : start + count]
            assert network(part).tobytes() == expected[start : start + count].tobytes(), (count, network.buckets)
    order = np.random.default_rng(0).permutation(len(pictures))
    assert network(pictures[order]).tobytes() == expected[order].tobytes()
    assert network(pictures[:0]).shape == (0, network.dimension)


def test_pixels_and_rows_may_stay_on_the_card(network: BatchedNetwork, pictures: NDArray[np.uint8]) -> None:
    there = DeviceArray.from_host(pictures)
    expected = network(pictures)
    assert network(there).tobytes() == expected.tobytes()
    assert network.rows_on_card(there).to_host().tobytes() == expected.tobytes()
    assert network.rows_on_card(pictures[:3]).to_host().tobytes() == expected[:3].tobytes()


def test_many_threads(network: BatchedNetwork, pictures: NDArray[np.uint8]) -> None:
    expected = network(pictures)
    with ThreadPoolExecutor(8) as threads:
        for rows in threads.map(network, [pictures] * 40):
            assert rows.tobytes() == expected.tobytes()


def test_engines_are_found_again_and_corrupt_ones_built_again(
    file: NetworkFile, bundle: Path, pictures: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    built: list[str] = []

    def building(what: str, done: float) -> None:
        if not done:
            built.append(what)

    expected = open_on_card(file, "tensorrt", 8, building)(pictures)
    assert len(built) == 2  # for 1 and for 8
    assert open_on_card(file, "tensorrt", 8, building)(pictures).tobytes() == expected.tobytes() and len(built) == 2
    (path,) = bundle.with_name("default.engines").glob(f"*{file.precision}-1.8.8-*.engine")
    path.write_bytes(path.read_bytes()[:-1])
    rows = open_on_card(file, "tensorrt", 8, building)(pictures)
    assert len(built) == 3 and "has changed since it was written" in caplog.text
    assert cosines(rows, expected).min() >= 0.9999


def test_auto_takes_one_of_them(bundle: Path) -> None:
    for network in (open_network(file, batch=BATCH) for file in Bundle(bundle).networks("float32")):
        assert (network.lanes and " on NVIDIA" in network.runtime) or " on " in network.runtime


@pytest.fixture
def full() -> Iterator[None]:
    """A card of which all but 300 MB is taken."""
    free, _ = call(runtime().cudaMemGetInfo)
    taken = DeviceArray.empty((max(1, free - (300 << 20)),), np.uint8)
    yield
    del taken


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("name", RUNTIMES)
def test_a_full_card_computes_fewer_together_or_says_so(
    file: NetworkFile, pictures: NDArray[np.uint8], name: str
) -> None:
    try:
        network = open_on_card(file, name, 2048, silent)  # type: ignore[arg-type]
    except DeviceMemoryError as error:
        assert "\n" not in str(error)
        return
    assert network.batch < 2048 and np.isfinite(network(pictures)).all()


def test_the_engine_on_a_card(bundle: Path) -> None:
    precision = next(precision for precision in Bundle(bundle).precisions if precision != "int8")
    there = Engine(bundle, precision=precision, device="cuda", batch=BATCH)
    here = Engine(bundle, precision="float32", device="cpu")
    assert cosines(there.embed(IMAGES), here.embed(IMAGES)).min() >= 0.9999
    assert there.embed(IMAGES[:3]).tobytes() == there.embed(IMAGES)[:3].tobytes()
