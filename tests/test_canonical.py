"""Equal weights give equal ONNX files, whatever the process, its folder and what it exported before."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from copytrace.export.canonical import make_canonical
from copytrace.export.onnx import export_onnx
from copytrace.train.models.network import PixelScale, Trunk

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from test_canonical import network
from copytrace.export.int8 import quantize_int8
from copytrace.export.onnx import export_onnx
folder, exported_before = Path(sys.argv[1]), int(sys.argv[2])
for i in range(exported_before):
    export_onnx(network(seed=i + 1), 48, folder / "before.onnx")
export_onnx(network(seed=0), 32, folder / "float32.onnx")
photos = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
quantize_int8(folder / "float32.onnx", folder / "int8.onnx", photos)
"""


class Small(torch.nn.Module):
    """A backbone that is quick to export, with a beginning that can be rearranged for int8."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, 2), torch.nn.Conv2d(8, 16, 3, 2, 1)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu6(self.first(torch.nn.functional.pad(x, (0, 1, 0, 1))))
        return torch.nn.functional.relu6(self.second(x))


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return Trunk(Small(), PixelScale(127.0, 128.0), ("first", "second")).eval()


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two processes that differ in all that should not matter."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "another one")]
    for number, folder in enumerate(folders):
        (folder / "scratch").mkdir()
        varied = {"PYTHONHASHSEED": str(number), "TMPDIR": str(folder / "scratch")}
        environment = os.environ | varied | {"PYTHONPATH": str(Path(__file__).parent)}
        command = [sys.executable, "-c", PROGRAM, str(folder), str(number)]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    return folders


@pytest.mark.parametrize("name", ["float32.onnx", "int8.onnx"])
def test_two_processes_write_the_same_bytes(exports: list[Path], name: str) -> None:
    first, second = ((folder / name).read_bytes() for folder in exports)
    assert first == second
    for trace in (b"site-packages", b"/tmp", str(Path(__file__).parent).encode(), b"eval_with_key", b"stack_trace"):
        assert trace not in first
    assert onnx.load(str(exports[0] / name)).ir_version > 0


def test_other_weights_give_other_bytes(exports: list[Path], tmp_path: Path) -> None:
    export_onnx(network(seed=1), 32, tmp_path / "other.onnx")
    assert (tmp_path / "other.onnx").read_bytes() != (exports[0] / "float32.onnx").read_bytes()


def test_the_layout_of_the_weights_in_memory_does_not_matter(exports: list[Path], tmp_path: Path) -> None:
    export_onnx(network(seed=0).to(memory_format=torch.channels_last), 32, tmp_path / "other.onnx")
    assert (tmp_path / "other.onnx").read_bytes() == (exports[0] / "float32.onnx").read_bytes()


def test_subgraphs_and_functions_are_cleaned_too() -> None:
    def noted(item):
        item.doc_string = "from /home/someone"
        item.metadata_props.add(key="stack_trace", value="line 7")
        return item

    def graph(name: str, inner: list) -> onnx.GraphProto:
        weights = [noted(numpy_helper.from_array(np.ones(1, np.float32), n)) for n in (f"{name}2", f"{name}1")]
        add = noted(helper.make_node("Add", [f"{name}1", f"{name}2"], [f"{name}_sum"]))
        outputs = [noted(helper.make_tensor_value_info(f"{name}_sum", onnx.TensorProto.FLOAT, [1]))]
        return noted(helper.make_graph([add, *inner], name, [], outputs, weights))

    branches = {"then_branch": graph("then", []), "else_branch": graph("else", [])}
    choice = noted(helper.make_node("If", ["condition"], ["chosen"], **branches))
    call = noted(helper.make_node("Relu", ["x"], ["y"]))
    function = noted(helper.make_function("own", "Half", ["x"], ["y"], [call], [helper.make_opsetid("", 18)]))
    model = noted(helper.make_model(graph("main", [choice]), functions=[function], producer_name="pytorch"))
    make_canonical(model)
    assert b"someone" not in model.SerializeToString() and b"stack_trace" not in model.SerializeToString()
    assert b"pytorch" not in model.SerializeToString()
    for part in (model.graph, *(attribute.g for attribute in model.graph.node[1].attribute)):
        assert [tensor.name[-1] for tensor in part.initializer] == ["1", "2"]
