"""TensorRT without a card, by TensorRT for RTX, which builds for other machines' cards: parsing, profiles, files, staleness."""

import multiprocessing
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from copytrace.engine import Bundle
from copytrace.engine.device import problem
from copytrace.engine.errors import BundleError, DeviceError, DeviceMemoryError, MissingExtraError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.infer.trt import EngineKey, Engines, Library, Profile, find_library
from copytrace.engine.infer.trt.build import Built, build_engine
from copytrace.engine.infer.trt.engine_file import StaleEngineError, read_engine, write_engine
from copytrace.engine.infer.trt.engines import deserialised
from copytrace.engine.infer.trt.library import opened
from copytrace.engine.infer.trt.progress import Steps
from copytrace.engine.manifest import NetworkFile

from bundle_files import small_bundle

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="needs TensorRT for RTX, of which there are wheels for Linux on x86-64"
)
ADA = "8.9"
PROFILE = Profile(1, 4, 4)
without_card = pytest.mark.skipif(problem() is None, reason="says what happens without a card")


@pytest.fixture(scope="module")
def library() -> Library:
    import tensorrt_rtx_bindings

    return opened(tensorrt_rtx_bindings)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def file(bundle: Path) -> NetworkFile:
    return Bundle(bundle).networks("float32")[0]


@pytest.fixture(scope="module")
def built(library: Library, file: NetworkFile) -> Built:
    return build_engine(library, file, PROFILE, compute_capability=ADA)


def test_the_one_that_is_installed_is_found(library: Library) -> None:
    assert find_library().name in ("tensorrt", "tensorrt_rtx")
    assert (library.name, library.version) == ("tensorrt_rtx", library.module.__version__)
    assert str(library) == f"TensorRT for RTX {library.version}"


def test_an_old_one_is_refused() -> None:
    old = ModuleType("tensorrt")
    old.__version__ = "8.6.1"  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match=r"TensorRT 8\.6\.1 is too old; 10 or newer is needed"):
        opened(old)


@pytest.mark.parametrize("capability", ["8.0", "8.9", "12.0"])
def test_engines_for_other_machines_cards(library: Library, file: NetworkFile, capability: str) -> None:
    done: list[float] = []
    engine = build_engine(library, file, PROFILE, compute_capability=capability, progress=done.append)
    assert len(engine.plan) > 1000
    assert done == sorted(set(done)) and 0 < done[0] < done[-1] == 1.0 and len(done) > 5


def test_what_a_builder_measured_is_taken_up(library: Library, file: NetworkFile, built: Built) -> None:
    for before in (built.timing, b"", b"something else"):
        again = build_engine(library, file, PROFILE, compute_capability=ADA, timing=before)
        assert again.plan and again.timing


@pytest.mark.parametrize(
    ("profile", "capability", "line"),
    [
        (Profile(1, 8, 4), ADA, "refuses batches 1.8.4 of .*MIN<=OPT<=MAX"),
        (PROFILE, "9.9", r"cannot build for the compute capability 9\.9"),
    ],
)
def test_what_it_does_not_build_is_one_line(
    library: Library, file: NetworkFile, profile: Profile, capability: str, line: str
) -> None:
    with pytest.raises(DeviceError, match=f"TensorRT for RTX .*{line}") as caught:
        build_engine(library, file, profile, compute_capability=capability)
    assert "\n" not in str(caught.value)


def test_too_little_memory_is_told_from_other_failures(library: Library, file: NetworkFile) -> None:
    with pytest.raises(DeviceMemoryError, match="workspace") as caught:
        build_engine(library, file, PROFILE, compute_capability=ADA, workspace=0)
    assert "\n" not in str(caught.value)


def test_ctrl_c_ends_a_build(library: Library, file: NetworkFile) -> None:
    def interrupted(done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(library, file, PROFILE, compute_capability=ADA, progress=interrupted)
    assert build_engine(library, file, PROFILE, compute_capability=ADA).plan  # and the next one works


def test_progress_is_the_phases_share() -> None:
    done: list[float] = []
    steps = Steps(done.append)
    steps.start("all", None, 2)
    steps.start("first", "all", 4)
    for step in range(4):
        steps.step("first", step)
    steps.finish("first")
    steps.step("all", 0)
    steps.start("second", "all", 2)
    steps.step("second", 0)
    steps.step("unknown", 7)
    steps.finish("second")
    steps.finish("all")
    assert done == [0.125, 0.25, 0.375, 0.5, 0.75, 1.0]


def test_a_lock_that_cannot_be_had_is_gone_without(
    library: Library, file: NetworkFile, built: Built, tmp_path: Path
) -> None:
    engines, key = Engines(library, tmp_path / "b"), key_of(library, file)
    (tmp_path / "b.engines" / f".{key.name}.lock").mkdir(parents=True)  # no file that could be locked
    assert engines.ready(key, Counted(built), lambda library, plan: plan).engine == built.plan
    assert (tmp_path / "b.engines" / key.name).is_file()


@pytest.mark.parametrize(
    ("change", "line"), [({"input_size": 64}, "its input_size is"), ({"dimension": 99}, "its dimension is")]
)
def test_a_network_that_is_not_what_the_manifest_says(
    library: Library, file: NetworkFile, change: dict[str, int], line: str
) -> None:
    with pytest.raises(BundleError, match=f"{line} .*, the manifest says {next(iter(change.values()))}"):
        build_engine(
            library, replace(file, entry=file.entry.model_copy(update=change)), PROFILE, compute_capability=ADA
        )


def test_networks_that_it_cannot_read(library: Library, file: NetworkFile, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    (tmp_path / "cut.onnx").write_bytes(file.path.read_bytes()[:200])
    floats = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    onnx.save(
        helper.make_model(floats, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "f.onnx"
    )
    with pytest.raises(DeviceError, match=r"cannot compute cut\.onnx"):
        build_engine(library, replace(file, path=tmp_path / "cut.onnx"), PROFILE, compute_capability=ADA)
    with pytest.raises(BundleError, match=r"takes float \['N', 8, 8, 3\], not uint8 pixels"):
        build_engine(library, replace(file, path=tmp_path / "f.onnx"), PROFILE, compute_capability=ADA)
    int8 = Bundle().networks("int8")[0]  # its first node is one that TensorRT does not do on uint8
    with pytest.raises(DeviceError, match=r"cannot compute .*int8\.onnx: its node Reshape: .*UInt8") as caught:
        build_engine(library, int8, PROFILE, compute_capability=ADA)
    assert "\n" not in str(caught.value)


def test_the_default_bundle(library: Library) -> None:
    for file in Bundle().networks("float32"):
        assert len(build_engine(library, file, Profile(1, 128, 128), compute_capability=ADA).plan) > 1 << 20


def write_typed(path: Path, kind: str) -> Path:
    """A convolution in half floats, or in eight bits by symmetric QDQ, between pixels and a float32 embedding; opset 18."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    half = kind == "fp16"
    inner, values = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    weights = np.random.default_rng(0).normal(size=(8, 3, 3, 3))
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["real"], to=inner),
        node("Mul", ["real", "scale"], ["scaled"]),
        node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        *([] if half else [node("QuantizeLinear", ["planes", "step", "zero"], ["quantised"])]),
        *([] if half else [node("DequantizeLinear", ["quantised", "step", "zero"], ["in"])]),
        *([] if half else [node("DequantizeLinear", ["weights", "steps", "zeros"], ["kernel"], axis=0)]),
        node("Conv", ["planes", "weights"] if half else ["in", "kernel"], ["maps"], strides=[2, 2]),
        node("Relu", ["maps"], ["positive"]),
        node("Cast", ["positive"], ["float"], to=TensorProto.FLOAT),
        node("GlobalAveragePool", ["float"], ["means"]),
        node("Flatten", ["means"], ["embedding"]),
    ]
    constants = {"scale": np.array(1 / 255, values), "weights": weights.astype(values)}
    if not half:
        constants |= {"step": np.array(1 / 127, np.float32), "zero": np.array(0, np.int8)}
        constants |= {"steps": np.full(8, 0.03, np.float32), "zeros": np.zeros(8, np.int8)}
        constants["weights"] = np.clip(np.round(weights / 0.03), -127, 127).astype(np.int8)
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_types_are_those_that_the_network_is_written_in(
    library: Library, file: NetworkFile, tmp_path: Path, kind: str
) -> None:
    path = write_typed(tmp_path / f"{kind}.onnx", kind)
    entry = file.entry.model_copy(update={"input_size": 32, "dimension": 8})
    OrtNetwork(path, batch=1)  # a sound network
    assert build_engine(library, replace(file, path=path, entry=entry), PROFILE, compute_capability=ADA).plan


def key_of(library: Library, file: NetworkFile, profile: Profile = PROFILE, capability: str = ADA) -> EngineKey:
    return EngineKey.of(file, profile, library, capability)


def test_names_tell_engines_apart(library: Library, file: NetworkFile) -> None:
    key = key_of(library, file)
    sha256 = file.entry.precisions["float32"].sha256
    assert key.name == f"{sha256[:16]}-float32-1.4.4-tensorrt_rtx-{library.version}-sm89.engine"
    others = [replace(key, network="0" * 64), replace(key, precision="int8"), replace(key, profile=Profile(1, 1, 1))]
    others += [replace(key, tensorrt="tensorrt-11.4"), replace(key, compute_capability="9.0")]
    assert len({key.name, *(other.name for other in others)}) == 6


def test_a_file_that_is_not_the_engine_says_why(library: Library, file: NetworkFile, tmp_path: Path) -> None:
    key, path = key_of(library, file), tmp_path / "e.engine"
    plan = bytes(range(256)) * 20
    write_engine(path, key, plan)
    assert read_engine(path, key) == plan and [entry.name for entry in tmp_path.iterdir()] == [path.name]
    for other, why in (
        (replace(key, network="0" * 64), "is for network"),
        (replace(key, profile=Profile(1, 1, 1)), r"is for profile 1\.4\.4, not 1\.1\.1"),
        (replace(key, tensorrt="tensorrt-11.4"), r"is for tensorrt tensorrt_rtx-.*, not tensorrt-11\.4"),
        (replace(key, compute_capability="9.0"), r"is for compute_capability 8\.9, not 9\.0"),
    ):
        with pytest.raises(StaleEngineError, match=why):
            read_engine(path, other)
    whole = path.read_bytes()
    head = len(whole) - len(plan)
    damaged = [
        whole[:-1],
        whole[: head + 5],
        whole[:head],
        whole[: head - 9],
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b"\xff" * 9000,
    ]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 37)]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(StaleEngineError):
            read_engine(path, key)


class Counted:
    """A build that is counted."""

    def __init__(self, built: Built) -> None:
        self.built, self.times, self.timings = built, 0, [b""]

    def __call__(self, timing: bytes) -> Built:
        self.times += 1
        self.timings.append(timing)
        return self.built


def bytes_of(library: Library, plan: bytes) -> Any:
    """In place of deserialising, which needs a card; refuses what TensorRT would, as it does, before it looks for one."""
    with library.listening() as lines:
        library.module.Runtime(library.log).deserialize_cuda_engine(plan)
        if not any("Cuda Runtime (In ScopedCudaStream" in line for line in lines[:1]):
            raise library.error("refuses the engine", lines)
    return plan


@without_card
def test_engines_are_built_once_and_found_again(
    library: Library, file: NetworkFile, bundle: Path, built: Built, caplog: pytest.LogCaptureFixture
) -> None:
    engines, key, build = Engines(library, bundle), key_of(library, file), Counted(built)
    folder = bundle.with_name("small.engines")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / f".{key.name}.999.tmp").write_bytes(b"of a process that was killed")
    assert not (first := engines.ready(key, build, bytes_of)).found and first.engine == built.plan
    assert (again := engines.ready(key, build, bytes_of)).found and again.engine == built.plan and build.times == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted([f".{key.name}.lock", key.name, key.timing_name])
    assert not engines.ready(replace(key, compute_capability="9.0"), build, bytes_of).found
    engines.ready(replace(key, profile=Profile(1, 1, 1)), build, bytes_of)
    assert build.timings[-1] == built.timing  # measured before
    assert not caplog.records
    assert Bundle(bundle).networks("float32")  # the bundle is as it was


@without_card
@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "text", "empty", "other version", "refused by TensorRT", "folder"]
)
def test_what_cannot_be_used_is_built_again(
    library: Library, file: NetworkFile, bundle: Path, built: Built, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    engines, key, build = Engines(library, bundle), key_of(library, file, Profile(2, 2, 2)), Counted(built)
    path = bundle.with_name("small.engines") / key.name
    engines.ready(key, build, bytes_of)
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "refused by TensorRT":  # sound as a file: another serialisation in it
        write_engine(path, key, b"ftrt" + built.plan[4:])
    elif damage == "other version":
        write_engine(path, replace(key, tensorrt="tensorrt_rtx-1.0"), built.plan)
    else:
        cut, flipped = whole[: len(whole) // 2], whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:]
        path.write_bytes({"cut": cut, "flipped": flipped, "text": b"hello\n", "empty": b""}[damage])
    before = build.times
    ready = engines.ready(key, build, bytes_of)
    assert not ready.found and ready.engine == built.plan and build.times == before + 1
    assert re.search(rf"{re.escape(key.name)} cannot be used and is built again: ", caplog.text)
    assert all("\n" not in record.getMessage() for record in caplog.records)
    if damage == "folder":
        assert "cannot be written" in caplog.text
        path.rmdir()
    else:
        assert path.read_bytes() == whole and engines.ready(key, build, bytes_of).found


@without_card
def test_a_bundle_that_cannot_be_written_beside(
    library: Library, file: NetworkFile, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so that a file stands where the folder would."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "b.engines").write_text("a file")
    engines, key, build = Engines(library, tmp_path / "b"), key_of(library, file), Counted(built)
    engines.ready(key, build, bytes_of)
    assert (tmp_path / "cache" / "copytrace" / "engines" / key.name).is_file()
    assert engines.ready(key, build, bytes_of).found and build.times == 1


def test_no_place_at_all_is_said(
    library: Library,
    file: NetworkFile,
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("b.engines", "cache"):
        (tmp_path / name).write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engines, build = Engines(library, tmp_path / "b"), Counted(built)
    assert engines.ready(key_of(library, file), build, lambda library, plan: plan).engine == built.plan
    assert "no folder for TensorRT's engines can be written" in caplog.text


def _ready_in_a_process(bundle: Path, at: Any, results: Any) -> None:
    import tensorrt_rtx_bindings

    library, file, times = opened(tensorrt_rtx_bindings), Bundle(bundle).networks("float32")[0], []

    def build(timing: bytes) -> Built:
        times.append(1)
        return build_engine(library, file, Profile(3, 3, 3), compute_capability=ADA, timing=timing)

    at.wait()
    ready = Engines(library, bundle).ready(key_of(library, file, Profile(3, 3, 3)), build, lambda library, plan: plan)
    results.put((len(times), ready.found, len(ready.engine)))


def test_processes_that_want_the_same_engine_build_it_once(bundle: Path) -> None:
    context = multiprocessing.get_context("spawn")
    at, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_ready_in_a_process, args=(bundle, at, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=100) for _ in processes)
    for process in processes:
        process.join(10)
    assert [times for times, *_ in found] == [0, 1] and len({length for *_, length in found}) == 1


@without_card
def test_without_a_card_an_engine_is_refused_in_one_line(library: Library, built: Built) -> None:
    with pytest.raises(DeviceError, match=r"TensorRT for RTX .* refuses the engine: .*driver") as caught:
        deserialised(library, built.plan)
    assert "\n" not in str(caught.value)
    with pytest.raises(DeviceError, match=r"refuses the engine: .*magicTag"):
        deserialised(library, b"ftrt" + built.plan[4:])


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    find_library.cache_clear()
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    try:
        with pytest.raises(MissingExtraError, match=r"tensorrt is not installed; pip install \"copytrace\[gpu\]\""):
            find_library()
    finally:
        find_library.cache_clear()
