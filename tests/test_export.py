"""The verb ``export`` as a user meets it, and its precisions on real networks and photographs."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from copytrace.engine import DEFAULT_BUNDLE, Bundle, CopytraceError, Engine
from copytrace.engine.device import problem
from copytrace.engine.read import decode
from copytrace.export.fold import fold_constants
from copytrace.export.fp16 import convert_fp16
from copytrace.export.int8 import pixel_scale, quantize_int8
from copytrace.export.onnx import run_onnx
from copytrace.export.parity import Parity, cosines
from copytrace.export.sensitive import MOST_KEPT, RUNS, keep_sensitive
from copytrace.export.verify import Limits, TrainedNetwork, runtimes_on, verify

from bundle_files import small_bundle, write_network
from conftest import PHOTOS
from in_process import run

FLOAT32 = DEFAULT_BUNDLE / "whole.float32.onnx"
REFERENCES = PHOTOS / "references"


def some_pixels(size: int, count: int = 24) -> np.ndarray:
    return np.stack([decode(path.read_bytes(), size) for path in sorted(REFERENCES.glob("*.jpg"))[:count]])


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return some_pixels(128)


@pytest.fixture(scope="module")
def half(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle's second network in half precision."""
    path = tmp_path_factory.mktemp("half") / "fp16.onnx"
    assert convert_fp16(FLOAT32, path, pixels).cosine >= 0.9999
    return path


def types_of(path: Path) -> dict[str, set[int]]:
    """Of each kind of operation the types of its outputs."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    types = {info.name: info.type.tensor_type.elem_type for info in (*model.graph.value_info, *model.graph.output)}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).update(types[name] for name in node.output)
    return found


def test_half_precision_stands_in_the_graph(half: Path, pixels: np.ndarray) -> None:
    """Convolutions have float16 weights; pooling, head and unit length stay float32."""
    types = types_of(half)
    assert types["Conv"] == types["MaxPool"] == {TensorProto.FLOAT16}
    assert types["ReduceL2"] == types["Gemm"] == types["Div"] == types["Sub"] == {TensorProto.FLOAT}
    graph = onnx.load(half).graph
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert all(weights[node.input[1]] == TensorProto.FLOAT16 for node in graph.node if node.op_type == "Conv")
    assert weights["head.linear.weight"] == TensorProto.FLOAT
    assert half.stat().st_size < 0.85 * FLOAT32.stat().st_size
    rows = run_onnx(half, pixels)
    assert rows.dtype == np.float32 and cosines(run_onnx(FLOAT32, pixels), rows).min() >= 0.9999
    assert not np.array_equal(rows, run_onnx(FLOAT32, pixels))


def test_half_precision_is_the_same_file_every_time(half: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    convert_fp16(FLOAT32, tmp_path / "again.onnx", pixels)
    assert (tmp_path / "again.onnx").read_bytes() == half.read_bytes()


def scaled_network(path: Path, factor: float) -> Path:
    """Two convolutions, the map between them ``factor`` times as large as the pixels; then the mean."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 3, 3, 3)), rng.normal(size=(16, 8, 3, 3))
    constants = {
        "first": (first * 0.01 * factor).astype(np.float32),
        "second": (second * 0.1 / factor).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["large"], name="a"),
        helper.make_node("Relu", ["large"], ["relu"], name="b"),
        helper.make_node("Conv", ["relu", "second"], ["maps"], name="c"),
        helper.make_node("ReduceMean", ["maps", "axes"], ["embedding"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize("factor", [1.0, 1e4, 1e-6])
def test_what_leaves_the_range_of_float16_is_found_and_stays_float32(tmp_path: Path, factor: float) -> None:
    photos = some_pixels(32, 8)
    made = convert_fp16(scaled_network(tmp_path / "a.onnx", factor), tmp_path / "half.onnx", photos)
    assert made.cosine >= 0.9999 and (made.kept > 0) == (factor != 1.0)
    assert (TensorProto.FLOAT in types_of(tmp_path / "half.onnx")["Conv"]) == (factor != 1.0)


def test_constants_are_computed_once() -> None:
    nodes = [
        helper.make_node("Mul", ["two", "three"], ["six"]),
        helper.make_node("Add", ["six", "two"], ["eight"]),
        helper.make_node("Mul", ["x", "eight"], ["y"]),
    ]
    values = {"two": np.full((2,), 2.0, np.float32), "three": np.full((1,), 3.0, np.float32)}
    graph = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    fold_constants(model)
    assert [node.output[0] for node in model.graph.node] == ["y"]
    folded = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert folded["eight"].tolist() == [8.0, 8.0] and "six" not in folded


def test_sensitive_layers_are_found_within_a_bound_on_trials() -> None:
    nodes = [f"n{i}" for i in range(64)]
    trials = []

    def quality(bad: set[str]):
        def measured(kept: frozenset[str]) -> float:
            trials.append(kept)
            return 1.0 - 0.1 * len(bad - kept)

        return measured

    assert keep_sensitive(nodes, quality(set()), 0.99) == (frozenset(), 1.0) and len(trials) == 1
    kept, found = keep_sensitive(nodes, quality({"n5", "n40"}), 0.99)
    assert {"n5", "n40"} <= kept and found == 1.0 and len(kept) == 2 * 64 // RUNS
    trials.clear()
    kept, found = keep_sensitive(nodes, quality(set(nodes)), 0.99)
    assert len(kept) == MOST_KEPT * 64 // RUNS and found < 0.99 and len(trials) <= RUNS + MOST_KEPT
    kept, _ = keep_sensitive(["a", "b"], quality({"b"}), 0.99)
    assert kept == {"b"}


def test_layers_that_int8_would_spoil_stay_float(tmp_path: Path) -> None:
    """One channel a thousand times as large as the others takes all 256 steps of a tensor."""
    rng = np.random.default_rng(0)
    path = scaled_network(tmp_path / "a.onnx", 1.0)
    model = onnx.load(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    first = rng.normal(size=(8, 3, 3, 3)).astype(np.float32)
    second = rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
    first[0], second[:, 0] = np.abs(first[0]) * 1000, second[:, 0] / 100_000
    weights["first"].CopyFrom(numpy_helper.from_array(first, "first"))
    weights["second"].CopyFrom(numpy_helper.from_array(second, "second"))
    onnx.save(model, path)
    photos = some_pixels(32)
    spoilt = quantize_int8(path, tmp_path / "all.onnx", photos, wanted=-1.0)
    mended = quantize_int8(path, tmp_path / "some.onnx", photos, wanted=0.99)
    assert spoilt.kept == 0 and spoilt.cosine < 0.98 < 0.99 <= mended.cosine and mended.kept > 0
    found = cosines(run_onnx(path, photos), run_onnx(tmp_path / "some.onnx", photos)).mean()
    assert found == pytest.approx(mended.cosine)
    quantize_int8(path, tmp_path / "again.onnx", photos, wanted=0.99)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "some.onnx").read_bytes()


def test_the_scale_of_pixels_is_read_off_the_graph(tmp_path: Path) -> None:
    assert pixel_scale(onnx.load(FLOAT32).graph) == (127.0, 128.0)
    assert pixel_scale(onnx.load(write_network(tmp_path / "a.onnx", 32, 4)).graph) is None


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle with fp16, by the command."""
    folder = tmp_path_factory.mktemp("bundles") / "halved"
    words = ("export", DEFAULT_BUNDLE, "-o", folder, "--precision", "int8", "--precision", "fp16", "--json")
    result = json.loads(run(*words).stdout)
    assert result["bundle"] == str(folder) and result["quality"]["fp16_min_cosine_to_float32"] >= 0.9999
    return folder


def test_a_bundle_gets_other_precisions_and_stays_what_it_is(halved: Path) -> None:
    before, after = Bundle(), Bundle(halved)
    assert after.precisions == ["int8", "float32", "fp16"] and after.space == before.space
    assert after.manifest.normalisation == before.manifest.normalisation and after.matching == before.matching
    assert [file.sha256 for file in before.manifest.files if file not in after.manifest.files] == []
    assert after.manifest.detector == before.manifest.detector
    images = sorted((PHOTOS / "queries").glob("*.jpg"))[:6]
    rows = [Engine(halved, precision=p).embed(images, role="query") for p in ("float32", "fp16")]
    assert cosines(*rows).min() >= 0.9999 and (rows[0] != rows[1]).any()
    assert "int8, float32, fp16" in run("bundle", "info", halved).stdout


def test_every_verb_takes_the_precision(halved: Path, tmp_path: Path) -> None:
    words = ("--bundle", halved, "--precision", "fp16")
    run("embed", PHOTOS / "queries", "-o", tmp_path / "q.h5", *words)
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(REFERENCES / "R0000.jpg", few)
    run("collection", "add", tmp_path / "refs.ct", few, *words)
    shutil.move(few / "R0000.jpg", few / "other.jpg")
    run("collection", "add", tmp_path / "refs.ct", few, "--bundle", halved)  # in the collection's precision
    assert "no fp16 network" in run("embed", few, "-o", tmp_path / "r.h5", "--precision", "fp16", code=1).stderr


def test_the_default_bundle_stays_small() -> None:
    assert sum(path.stat().st_size for path in DEFAULT_BUNDLE.iterdir()) <= 25_000_000


def labelled_set(folder: Path, count: int) -> Path:
    """Some of the demo's references, each a query for itself."""
    paths = sorted(REFERENCES.glob("*.jpg"))[:count]
    for name in ("references", "queries"):
        (folder / name).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, folder / name)
    (folder / "truth.csv").write_text("".join(f"{path.stem},{path.stem}\n" for path in paths))
    return folder


def test_verify_passes_the_default_bundle_with_fp16(halved: Path) -> None:
    """Real weights, real photographs, and the metric of every precision."""
    result = json.loads(run("export", "verify", halved, "--count", 40, "--json").stdout)
    assert result["passed"] and result["wrong"] == []
    rows = {(row["network"], row["precision"]): row["parity"] for row in result["compared"]}
    assert set(rows) == {(network, precision) for network in ("frozen", "whole") for precision in ("int8", "fp16")}
    for (_, precision), row in rows.items():
        assert (0.9999 if precision == "fp16" else 0.9) <= row["minimum"] <= row["first_percentile"] <= row["mean"] < 1
    scores = result["micro_ap"]
    assert scores["float32"] > 0.9 and abs(scores["fp16"] - scores["float32"]) < 0.001
    assert scores["int8"] > scores["float32"] - 0.01


def test_verify_fails_where_a_limit_is_broken(halved: Path, tmp_path: Path) -> None:
    few = labelled_set(tmp_path / "few", 6)
    done = run("export", "verify", halved, "--count", 8, "--int8-cosine", "0.9999", "--truth", few, code=1)
    assert "frozen, onnxruntime int8: the mean cosine to onnx float32 is 0.9" in done.stdout
    bundle, images = Bundle(halved), [REFERENCES]
    broken = verify(bundle, images, 8, limits=Limits(cosine=1.0, int8_cosine=0.0))
    assert [line.split(":")[0] for line in broken.wrong] == ["frozen, onnxruntime fp16", "whole, onnxruntime fp16"]
    assert verify(bundle, images, 8, limits=Limits(cosine=0.99, int8_cosine=0.0)).wrong == []


@pytest.mark.skipif(problem() is None, reason="needs a machine without a graphics card")
def test_a_card_that_is_asked_for_has_to_be_there(halved: Path) -> None:
    assert list(runtimes_on("auto")) == list(runtimes_on("cpu")) == ["onnxruntime"]
    done = run("export", "verify", halved, "--count", 2, "--device", "cuda", "--json", code=1)
    assert json.loads(done.stdout)["error"] and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.gpu
def test_what_a_card_computes_is_the_same(halved: Path) -> None:
    result = verify(Bundle(halved), [REFERENCES], 40, runtimes=runtimes_on("cuda"))
    assert result.wrong == []
    assert {"onnxruntime on the card", "tensorrt"} < {row.runtime for row in result.compared}


def test_not_a_number_is_no_parity() -> None:
    rows = np.ones((2, 3), np.float32)
    assert np.isnan(Parity.of(rows, rows * np.nan).minimum) and np.isnan(Parity.of(rows, 0 * rows).mean)
    assert Parity.of(rows, 2 * rows).minimum == pytest.approx(1.0)


def test_verify_compares_with_the_networks_that_were_trained(tmp_path: Path) -> None:
    bundle = Bundle(small_bundle(tmp_path / "bundle", {"a": (64, 10), "b": (32, 6)}))
    files = [file.path for file in bundle.networks("float32")]
    right = [
        TrainedNetwork(name, size, length, lambda pixels, file=file: run_onnx(file, pixels))
        for name, size, length, file in (("a", 64, 10, files[0]), ("b", 32, 6, files[1]))
    ]
    limits = Limits(int8_cosine=-1.0)
    result = verify(bundle, [REFERENCES], 5, trained=right, limits=limits)
    assert result.wrong == [] and {row.to for row in result.compared} == {"torch float32"}
    assert len(result.compared) == 4
    wrong = [right[0], TrainedNetwork("c", 32, 6, lambda pixels: -run_onnx(files[1], pixels))]
    assert len(verify(bundle, [REFERENCES], 5, trained=wrong, limits=limits).wrong) == 1
    with pytest.raises(CopytraceError, match="2 descriptor networks; 1 checkpoints"):
        verify(bundle, [REFERENCES], 5, trained=right[:1])
    with pytest.raises(CopytraceError, match="32 pixels to 6 values is not the network a"):
        verify(bundle, [REFERENCES], 5, trained=right[::-1])


def test_wrong_input_ends_in_one_line(halved: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(REFERENCES.glob("*.jpg"))[:15]:
        shutil.copy(path, few)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.jpg").write_bytes(b"none")
    only_float32 = tmp_path / "float32"
    run("export", small_bundle(tmp_path / "small"), "-o", only_float32, "--precision", "float32")
    changed = Path(shutil.copytree(halved, tmp_path / "changed"))
    (changed / "whole.fp16.onnx").write_bytes(b"other")
    cases = (
        (["export", tmp_path / "none", "-o", tmp_path / "o", "--photos", REFERENCES], "neither a run of train"),
        (["export", halved, "-o", halved], "give another folder"),
        (["export", few, "-o", tmp_path / "o"], "neither a run of train"),
        (["export", tmp_path / "none", "-o", few], "is no bundle"),  # before anything is read or made
        (["export", only_float32, "-o", tmp_path / "o"], "--photos"),
        (["export", only_float32, "-o", tmp_path / "o", "--photos", few], "16 photographs or more; 15 are there"),
        (["export", only_float32, "-o", tmp_path / "o", "--photos", broken], "no photographs that can be read"),
        (["export", only_float32, "-o", tmp_path / "o", "--photos", tmp_path / "nowhere"], "no such file"),
        (["export", "verify", tmp_path / "empty"], "not a bundle"),
        (["export", "verify", changed], "whole.fp16.onnx: changed"),
        (["export", "verify", halved, "--images", broken], "no photographs that can be read"),
        (["export", "verify", halved, "--checkpoint", tmp_path / "none"], "neither a run of train"),
    )
    for words, expected in cases:
        done = run(*words, "--json", code=1)
        assert expected in json.loads(done.stdout)["error"], done
        assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()
    run("export", DEFAULT_BUNDLE, "-o", tmp_path / "o", "--precision", "int4", code=2)
    run("export", DEFAULT_BUNDLE, "-o", tmp_path / "o", "--validation", PHOTOS, code=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    run("export", tmp_path / "run", "-o", tmp_path / "o", code=2)


def test_networks_that_are_converted_already_are_refused(half: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    with pytest.raises(CopytraceError, match="quantised already"):
        convert_fp16(DEFAULT_BUNDLE / "whole.int8.onnx", target, pixels)
    with pytest.raises(CopytraceError, match="float16 in it already"):
        quantize_int8(half, target, pixels)
    (tmp_path / "none.onnx").write_bytes(b"none")
    with pytest.raises(CopytraceError, match="not a network"):
        convert_fp16(tmp_path / "none.onnx", target, pixels)
