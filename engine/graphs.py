"""Small ONNX graphs that the engine writes itself, and who computes them: ONNX Runtime, on a graphics card or the processor."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .device import DeviceArray
from .device.cuda import call, runtime
from .errors import optional_module
from .ort_on_card import PROVIDER, card_error, check_on_card, ort_for_cards

Where = Literal["cpu", "cuda"]
_OPSET, _IR_VERSION = 17, 8  # any ONNX Runtime since 1.13 knows them


class Graph:
    """A graph while it is written; calling it adds a node and gives the names of what it makes. Raises: MissingExtraError."""

    def __init__(self) -> None:
        self._onnx = optional_module("onnx", "gpu")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []

    def input(self, name: str, dtype: DTypeLike, shape: Sequence[int | str]) -> str:
        """A value that is given with each call; a dimension that is a text is free."""
        self._inputs.append(self._value(name, dtype, shape))
        return name

    def constant(self, value: Any, dtype: DTypeLike) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with ``count`` outputs."""
        names = [f"{operator}_{len(self._nodes)}_{i}" for i in range(count)]
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def model(self, outputs: Mapping[str, tuple[str, DTypeLike, Sequence[int | str]]]) -> bytes:
        """The whole as an ONNX file; outputs: name -> the value's name in the graph, its type and its shape."""
        helper = self._onnx.helper
        nodes = [*self._nodes, *(helper.make_node("Identity", [of], [name]) for name, (of, _, _) in outputs.items())]
        given = [self._value(name, dtype, shape) for name, (_, dtype, shape) in outputs.items()]
        graph = helper.make_graph(nodes, "copytrace", self._inputs, given, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="copytrace")
        return bytes(model.SerializeToString())

    def _value(self, name: str, dtype: DTypeLike, shape: Sequence[int | str]) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, list(shape))


class Computed:
    """A graph made ready to be computed. Any number of threads may call it.

    where: "cuda" is the first graphics card. tf32: whether float32 products may be of 11 bits there, on tensor cores.
    threads: of one call on the processor.
    Raises: DeviceError where the card, its driver or ONNX Runtime's CUDA part is missing; MissingExtraError.
    """

    def __init__(self, model: bytes, where: Where, *, tf32: bool = False, threads: int = 1) -> None:
        self._ort = ort_for_cards() if where == "cuda" else optional_module("onnxruntime", "cpu", "gpu")
        self.where: Where = where
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what it says of a missing driver is told below
        settings = {"device_id": 0, "use_tf32": int(tf32), "arena_extend_strategy": "kSameAsRequested"}
        providers = [(PROVIDER, settings)] if where == "cuda" else []
        self._session = self._ort.InferenceSession(model, options, providers=[*providers, "CPUExecutionProvider"])
        if where == "cuda":
            check_on_card(self._session)
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def put(self, array: NDArray[Any]) -> Any:
        """An array where the graph is computed, to be given to any number of calls. Raises: DeviceMemoryError, DeviceError."""
        try:
            return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.where, 0)
        except Exception as error:  # onnxruntime's errors share no public base class
            raise card_error(error) from error

    def __call__(self, **inputs: Any) -> list[Any]:
        """Arrays, what ``put`` gave, or arrays on the card, by the inputs' names -> the outputs, which stay where they are
        computed; ``.numpy()`` fetches one, ``.shape()`` tells its shape.

        Raises: DeviceMemoryError, DeviceError.
        """
        binding = self._session.io_binding()
        try:
            for name, value in inputs.items():
                self._bind(binding, name, value)
            for name in self._outputs:
                binding.bind_output(name, self.where, 0)
            self._session.run_with_iobinding(binding)
            return list(binding.get_outputs())
        except Exception as error:
            raise card_error(error) from error

    def _bind(self, binding: Any, name: str, value: Any) -> None:
        if isinstance(value, DeviceArray):
            call(runtime().cudaStreamSynchronize, value.stream)
            binding.bind_input(name, "cuda", 0, value.dtype.type, list(value.shape), value.address)
        elif isinstance(value, np.ndarray):
            binding.bind_cpu_input(name, np.ascontiguousarray(value))
        else:
            binding.bind_ortvalue_input(name, value)
