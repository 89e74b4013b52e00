"""Where a network is computed, what is said of it, and what becomes of a machine that cannot do what was asked for."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copytrace.engine import Bundle, Engine
from copytrace.engine.device import cuda, problem
from copytrace.engine.errors import BundleError, DeviceError, DeviceMemoryError
from copytrace.engine.infer import BatchedNetwork, OrtNetwork, open_network
from copytrace.engine.infer.buffers import HostBuffers
from copytrace.engine.infer.on_card import _fitting, made_for_the_cpu
from copytrace.engine.infer.ort_lane import OrtLane
from copytrace.engine.manifest import NetworkFile

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run

without_card = pytest.mark.skipif(problem() is None, reason="says what happens without a card")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def file(bundle: Path) -> NetworkFile:
    return Bundle(bundle).networks("float32")[0]


@pytest.fixture
def without_binding(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the extra was not installed."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)  # type: ignore[arg-type]
    cuda.runtime.cache_clear()
    cuda.card.cache_clear()
    yield
    cuda.runtime.cache_clear()
    cuda.card.cache_clear()


@without_card
def test_the_cpu_takes_over_and_says_why(file: NetworkFile) -> None:
    for runtime in ("auto", "onnxruntime"):
        network = open_network(file, runtime=runtime)  # type: ignore[arg-type]
        assert isinstance(network, OrtNetwork) and network.lanes == 0
        assert network.runtime.startswith("ONNX Runtime ") and network.runtime.endswith(f" on the CPU ({problem()})")
    assert open_network(file, "cpu").runtime.endswith(" on the CPU")  # which was asked for


@pytest.mark.usefixtures("without_binding")
def test_without_the_extra_the_cpu_takes_over(file: NetworkFile) -> None:
    assert (
        'on the CPU (cuda.bindings.runtime is not installed; pip install "copytrace[gpu]"' in open_network(file).runtime
    )
    with pytest.raises(DeviceError, match=r"cannot compute on a graphics card: .*copytrace\[gpu\].*; use --device cpu"):
        open_network(file, "cuda")


@without_card
@pytest.mark.parametrize(("device", "runtime"), [("cuda", "auto"), ("cuda", "tensorrt"), ("auto", "tensorrt")])
def test_what_was_named_is_not_replaced(file: NetworkFile, device: str, runtime: str) -> None:
    with pytest.raises(DeviceError, match=f"cannot compute on a graphics card: {problem()}; use --device cpu"):
        open_network(file, device, runtime=runtime)  # type: ignore[arg-type]


def test_tensorrt_is_not_for_the_cpu(file: NetworkFile) -> None:
    with pytest.raises(DeviceError, match="TensorRT does not compute on the CPU"):
        open_network(file, "cpu", runtime="tensorrt")


def test_networks_for_the_cpu_say_what_a_card_takes() -> None:
    assert made_for_the_cpu(Bundle().networks("int8")[0]) == (
        "int8 networks are made for the CPU, --precision float32 is for cards"
    )
    assert made_for_the_cpu(Bundle().networks("float32")[0]) is None


def test_int8_stays_on_the_cpu_where_no_card_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a card, which would be asked for float32 networks."""
    monkeypatch.setattr("copytrace.engine.infer.open.problem", lambda: None)
    asked = []
    monkeypatch.setattr("copytrace.engine.infer.open.open_on_card", lambda *given: asked.append(given[0].precision))
    int8, float32 = (Bundle().networks(precision)[0] for precision in ("int8", "float32"))
    network = open_network(int8)
    assert network.lanes == 0 and network.runtime.endswith(f" on the CPU ({made_for_the_cpu(int8)})")
    open_network(float32)
    open_network(int8, "cuda")
    open_network(int8, runtime="tensorrt")
    assert asked == ["float32", "int8", "int8"]


def test_a_run_on_a_card_goes_on_with_batches_of_the_same_size(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which kernels compute a row is up to the largest batch. The card's networks are computed by the CPU here."""

    def opened(file: NetworkFile, device: str, *, batch: int | None, **_: object) -> BatchedNetwork:
        most = batch or 8
        lanes = [OrtLane(file.path, HostBuffers(most, file.input_size, file.dimension), [most])]
        return BatchedNetwork(file.path, lanes, [most], file.input_size, file.dimension, "here")

    monkeypatch.setattr("copytrace.engine.bundle_embedder.open_network", opened)
    options = [Engine(bundle, batch=batch, decoder="cpu", backend="native").embedder.options() for batch in (4, 8)]
    assert [one["batch"] for one in options] == [4, 8] and options[0]["runtime"] == "here"
    monkeypatch.undo()
    assert "batch" not in Engine(bundle, batch=4).embedder.options()


@pytest.mark.parametrize("change", [{"input_size": 64}, {"dimension": 99}])
def test_a_mismatched_bundle_falls_back_on_nothing(file: NetworkFile, change: dict[str, int]) -> None:
    with pytest.raises(BundleError, match="the manifest says"):
        open_network(replace(file, entry=file.entry.model_copy(update=change)))


def test_where_memory_does_not_suffice_fewer_are_computed_together(
    file: NetworkFile, caplog: pytest.LogCaptureFixture
) -> None:
    """TensorRT's own builder is given too little of it; what it builds then is computed by ONNX Runtime here."""
    bindings = pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT for RTX")
    from copytrace.engine.infer.trt import Profile
    from copytrace.engine.infer.trt.build import build_engine
    from copytrace.engine.infer.trt.library import opened

    def with_workspace(size: int) -> BatchedNetwork:
        def way(file: NetworkFile, most: int, building: object) -> BatchedNetwork:
            profile = Profile(1, most, most)
            build_engine(opened(bindings), file, profile, compute_capability="8.9", workspace=size)
            lanes = [OrtLane(file.path, HostBuffers(most, file.input_size, file.dimension), [most])]
            return BatchedNetwork(file.path, lanes, [most], file.input_size, file.dimension, "here")

        return _fitting(way, file, 4096, lambda what, done: None)

    network = with_workspace(8 << 20)
    assert 1 < network.batch < 4096
    assert f"with {network.batch} images at a time instead of {4 * network.batch}" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)
    with pytest.raises(DeviceMemoryError):
        with_workspace(0)  # not even one


@without_card
def test_the_command_line_says_what_computes(tmp_path: Path, bundle: Path) -> None:
    command = ("embed", PHOTOS / "queries", "-o", tmp_path / "q.h5", "--bundle", bundle)
    found = json.loads(run(*command, "--json").stdout)["runtime"]
    assert found.endswith(f"on the CPU ({problem()})")
    assert f"computed by {found}\n" in run(*command).stdout
    failed = run(*command, "--device", "cuda", "--json", code=1)
    assert failed.stderr.count("\n") == 1 and failed.stderr.startswith("error: ")
    assert json.loads(failed.stdout)["kind"] == "DeviceError"


def test_every_verb_that_computes_says_by_what(tmp_path: Path) -> None:
    queries, found = PHOTOS / "queries" / "Q00000.jpg", Engine(device="cpu").runtime
    pairs, refs = tmp_path / "m.csv", tmp_path / "refs.ct"
    for arguments in (
        ("collection", "add", refs, queries),
        ("match", queries, refs, "-o", pairs),
        ("verify", queries, refs, "--pairs", pairs, "-o", tmp_path / "v.csv"),
        ("dedup", queries, "-o", tmp_path / "g.csv"),
    ):
        assert json.loads(run(*arguments, "--device", "cpu", "--json").stdout)["runtime"] == found
        assert run(*arguments, "--device", "cpu").stdout.startswith(f"computed by {found}\n")


@without_card
def test_every_verb_that_computes_takes_a_device(tmp_path: Path, bundle: Path) -> None:
    small = ("--bundle", bundle, "--device", "cuda", "--runtime", "tensorrt")
    queries = PHOTOS / "queries"
    for arguments in (
        ("match", queries, queries, "-o", tmp_path / "m.csv"),
        ("verify", queries, queries, "--pairs", tmp_path / "p.csv", "-o", tmp_path / "v.csv"),
        ("dedup", queries, "-o", tmp_path / "g.csv"),
        ("collection", "add", tmp_path / "refs.ct", queries),
        ("serve", tmp_path / "refs.ct", "--no-auth"),
    ):
        failed = run(*arguments, *small, code=1)
        assert "error: cannot compute on a graphics card: " in failed.stderr and failed.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_engine_says_what_computes(bundle: Path) -> None:
    assert Engine(bundle, device="cpu").runtime.endswith("on the CPU")
    assert "runtime" not in Engine(bundle, device="cpu").embedder.options()  # files of the CPU are as they were
