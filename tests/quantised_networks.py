"""Random small networks of the family that the native runtime computes, as ONNX files: any widths, sizes, kernels, paddings,
taps and scales."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.export.stem import widen

PIXELS, ROWS = "pixels", "embedding"
WIDTHS = [1, 2, 3, 5, 8, 15, 16, 17, 24, 31, 32, 33, 40, 48, 63, 64, 65, 72, 80, 96, 112, 130, 192]
Weights = tuple[NDArray[np.int8], NDArray[np.float32]]
"""int8 [O, I, height, width], and their scales [O] or one for all."""


@dataclass(frozen=True)
class Map:
    """name: of its numbers, a byte q standing for ``scale * (q - zero)``. mean, spread: about those of its bytes."""

    name: str
    height: int
    width: int
    channels: int
    scale: np.float32
    zero: int
    mean: float
    spread: float

    @property
    def size(self) -> float:
        """The root of the mean square of its numbers."""
        return float(self.scale * np.hypot(self.spread, self.mean - self.zero))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


class RandomNetwork:
    """The same for the same seed. What is in ``nodes`` and ``constants`` may be changed before it is saved."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        blocked = self.chance(0.5)
        self.side = self.choice([8, 12, 16, 20, 28, 32, 44] if blocked else [5, 7, 9, 13, 17, 23, 33, 41])
        self.dimension = self.choice([1, 3, 8, 16, 17, 31, 64, 100, 100])
        self.taps: list[Map] = []
        current = self._blocked_stem() if blocked else self._plain_stem()
        for _ in range(self.choice([0, 1, 2, 3, 4])):
            current = self._block(current)
            if self.chance(0.2):
                self.taps.append(current)
        self.taps.append(current)
        self._head()

    def chance(self, of: float) -> bool:
        return bool(self.rng.random() < of)

    def choice(self, among: list[int]) -> int:
        return int(self.rng.choice(among))

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Appended; the name of what it gives."""
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.array(value, dtype)
        return name

    def steps(self, scale: np.float32, zero: int) -> list[str]:
        return [self.constant(scale, np.float32), self.constant(zero, np.uint8)]

    def weights(self, values: NDArray[Any], scales: Any) -> str:
        zeros = self.constant(np.zeros(np.shape(scales)), values.dtype)
        inputs = [self.constant(values, values.dtype), self.constant(scales, np.float32), zeros]
        return self.node("DequantizeLinear", inputs, **({"axis": 0} if np.ndim(scales) or self.chance(0.5) else {}))

    def numbers(self, made: str, shape: tuple[int, int, int], scale: np.float32, zero: int) -> Map:
        """Of a node's numbers about 0, quantised and read again."""
        bytes_made = self.node("QuantizeLinear", [made, *self.steps(scale, zero)])
        return self.read(bytes_made, shape, scale, zero)

    def read(self, bytes_made: str, shape: tuple[int, int, int], scale: np.float32, zero: int) -> Map:
        name = self.node("DequantizeLinear", [bytes_made, *self.steps(scale, zero)])
        clipped = zero in (0, 255)
        return Map(name, *shape, scale, zero, {0: 16.0, 255: 239.0}.get(zero, float(zero)), 23.0 if clipped else 40.0)

    def zero(self) -> int:
        return self.choice([0, 0, 0, 255, 128, int(self.rng.integers(0, 256))])

    def kernel(self, outputs: int, inputs: int, size: tuple[int, int]) -> Weights:
        draw = self.rng
        values = draw.integers(-128, 128, (outputs, inputs, *size)).astype(np.int8)
        if self.chance(0.2):
            values[draw.random(values.shape) < 0.5] = 0
        if self.chance(0.05):
            values[:] = self.choice([-128, 127])
        scales = np.exp(draw.uniform(-6, 0) + draw.uniform(-1, 1, outputs))
        if self.chance(0.1):
            scales *= np.exp(draw.uniform(-12, 3, outputs))
        return values, scales.astype(np.float32) if self.chance(0.8) else np.float32(scales[0])  # type: ignore[return-value]

    def fitting(self, taken: Map, taps: int, scales: NDArray[np.float32]) -> np.float32:
        """A scale at which a layer's bytes are spread by about 40."""
        unit = taken.scale * np.exp(np.log(scales).mean()) * 73 * np.sqrt(taps)
        return np.float32(unit * taken.spread / self.rng.uniform(20, 80))

    def bias(self, taken: Map, values: NDArray[np.int8]) -> NDArray[np.int32]:
        """Outputs lie about 0; sometimes one is never positive, or always."""
        outputs, taps = len(values), values[0].size
        middle = -(taken.mean - taken.zero) * values.reshape(outputs, -1).astype(np.int64).sum(axis=1)
        bias = middle + self.rng.normal(0, 30 * taken.spread * np.sqrt(taps), outputs)
        if self.chance(0.1):
            bias[self.rng.random(outputs) < 0.3] = self.choice([-(2**31), 2**31 - 1])
        return np.clip(bias, -(2**31), 2**31 - 1).astype(np.int64).astype(np.int32)

    def pads(self, taken: Map, size: tuple[int, int]) -> list[int]:
        pads = [int(self.rng.integers(0, size[i % 2])) for i in range(4)]
        if self.chance(0.5) or any(taken.shape[i] + pads[i] + pads[i + 2] < size[i] for i in (0, 1)):
            pads = [size[0] // 2, size[1] // 2, size[0] - 1, size[1] - 1]
        return pads

    def convolution(
        self, taken: Map, outputs: int, size: tuple[int, int], step: int, *, depthwise: bool = False
    ) -> Map:
        pads = self.pads(taken, size)
        values, scales = self.kernel(outputs, 1 if depthwise else taken.channels, size)
        taps = values[0].size
        bias = self.bias(taken, values)
        inputs = [taken.name, self.weights(values, scales), self.weights(bias, taken.scale * scales)]
        form: dict[str, Any] = {"strides": [step] * 2, "pads": pads, "group": taken.channels if depthwise else 1}
        if self.chance(0.5):
            form |= {"dilations": [1, 1], "auto_pad": "NOTSET", "kernel_shape": list(size)}
        made = self.node("Conv", inputs, **form)
        height, width = ((taken.shape[i] + pads[i] + pads[i + 2] - size[i]) // step + 1 for i in (0, 1))
        return self.numbers(made, (height, width, outputs), self.fitting(taken, taps, scales), self.zero())

    def sum(self, a: Map, b: Map) -> Map:
        scale = np.float32((a.scale * a.spread + b.scale * b.spread) / self.rng.uniform(20, 80))
        mean = sum(float(one.scale / scale) * (one.mean - one.zero) for one in (a, b))
        zero = int(np.clip(128 - mean, 0, 255)) if self.chance(0.7) else self.zero()
        made = self.numbers(self.node("Add", [a.name, b.name]), a.shape, scale, zero)
        return replace(made, mean=float(np.clip(zero + mean, 20, 235)), spread=30.0)

    def _plain_stem(self) -> Map:
        scale, zero = np.float32(1 / 128), int(self.rng.integers(0, 256))
        planes = self.node("Transpose", [PIXELS], perm=[0, 3, 1, 2])
        taken = replace(self.read(planes, (self.side, self.side, 3), scale, zero), mean=128, spread=60)
        size = self.choice([1, 2, 3, 5]), self.choice([1, 2, 3, 5])
        return self.convolution(taken, self.choice(WIDTHS), size, self.choice([1, 2, 3]))

    def _blocked_stem(self) -> Map:
        """As the exporter rearranges it."""
        side, outputs, scale, zero = self.side, self.choice(WIDTHS), np.float32(1 / 128), int(self.rng.integers(0, 256))
        pixels = self.node("Reshape", [PIXELS, self.constant([-1, side, side // 4, 12], np.int64)])
        planes = self.node("Transpose", [pixels], perm=[0, 3, 1, 2])
        taken = replace(self.read(planes, (side, side // 4, 12), scale, zero), mean=128, spread=60)
        values, scales = self.kernel(outputs, 3, (3, 3))
        scales = np.broadcast_to(scales, outputs)
        bias = self.weights(np.tile(self.bias(taken, values), 2), np.tile(scale * scales, 2))
        form = {"strides": [2, 1], "pads": [0, 0, 1, 1], "kernel_shape": [3, 2], "group": 1}
        made = self.node("Conv", [taken.name, self.weights(widen(values), np.tile(scales, 2)), bias], **form)
        steps = self.fitting(taken, 27, scales), self.zero()
        wide = self.node("QuantizeLinear", [made, *self.steps(*steps)])
        rows = self.node("Transpose", [wide], perm=[0, 2, 3, 1])
        narrow = self.node("Reshape", [rows, self.constant([-1, side // 2, side // 2, outputs], np.int64)])
        return self.read(self.node("Transpose", [narrow], perm=[0, 3, 1, 2]), (side // 2, side // 2, outputs), *steps)

    def _block(self, taken: Map) -> Map:
        """Widened, each channel by itself, narrowed, added: each of it or not."""
        current = taken
        if self.chance(0.7):
            current = self.convolution(current, self.choice(WIDTHS), (self.choice([1, 1, 1, 2, 3]),) * 2, 1)
        if self.chance(0.8) and current.channels > 1:
            size, step = (self.choice([3, 5]),) * 2, self.choice([1, 1, 2])
            current = self.convolution(current, current.channels, size, step, depthwise=True)
            self.taps += [current] * self.choice([0, 1, 1, 2])
        outputs = taken.channels if self.chance(0.6) else self.choice(WIDTHS)
        current = self.convolution(current, outputs, (self.choice([1, 1, 1, 3]),) * 2, self.choice([1, 1, 1, 1, 2]))
        if current.shape == taken.shape and taken.shape != (1, 1, 1):
            current = self.sum(*((current, taken) if self.chance(0.5) else (taken, current)))
            if self.chance(0.1):
                current = self.sum(current, current)
        return current

    def _head(self) -> None:
        pooled = [self._pooled(tap) for tap in self.taps]
        unit = np.concatenate([np.full(tap.channels, tap.size) for tap in self.taps])
        features = len(unit)
        row = (features,) if self.chance(0.5) else (1, features)
        mean = self.constant((unit * self.rng.uniform(0.6, 1.2, features)).reshape(row), np.float32)
        deviation = self.constant((unit * self.rng.uniform(0.05, 0.4, features)).reshape(row), np.float32)
        joined = self.node("Concat", pooled, axis=self.choice([1, -1]))
        standard = self.node("Div", [self.node("Sub", [joined, mean]), deviation])
        taken = self.numbers(
            standard, (1, 1, features), np.float32(self.rng.uniform(0.01, 0.03)), 128 + self.choice([0, 20])
        )
        values, scales = self.kernel(self.dimension, features, (1, 1))
        form = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1} if self.chance(0.5) else {"transB": 1}
        linear = self.node("Gemm", [taken.name, self.weights(values[:, :, 0, 0], scales)], **form)
        middle = int(self.rng.integers(100, 156))
        rows = self.numbers(linear, (1, 1, self.dimension), self.fitting(taken, features, scales), middle).name
        length = self.node("ReduceL2", [rows, self.constant([1], np.int64)], keepdims=1)
        least = self.node("Clip", [length, self.constant(1e-12, np.float32)])
        many = self.node("Shape", [PIXELS], start=0, end=1)
        shape = self.node("Concat", [many, self.constant([self.dimension], np.int64)], axis=0)
        self.node("Div", [rows, self.node("Expand", [least, shape])])
        self.nodes[-1].output[0] = ROWS

    def _pooled(self, tap: Map) -> str:
        cell = int(self.rng.integers(1, min(tap.height, tap.width, 5) + 1))
        name = tap.name
        if cell > 1 or self.chance(0.3):
            form = {"kernel_shape": [cell] * 2, "strides": [cell] * 2, "pads": [0] * 4, "ceil_mode": 0}
            name = self.node("MaxPool", [name], **form)
        length = self.node("ReduceL2", [name, self.constant([2, 3], np.int64)], keepdims=0)
        cells = (tap.height // cell) * (tap.width // cell)
        return self.node("Div", [length, self.constant(np.sqrt(cells), np.float32)])

    def model(self, opset: int = 18) -> Any:
        from onnx import TensorProto, helper, numpy_helper

        taken = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", self.side, self.side, 3])
        given = helper.make_tensor_value_info(ROWS, TensorProto.FLOAT, ["batch", self.dimension])
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "random", [taken], [given], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    def save(self, path: Path) -> Path:
        path.write_bytes(self.model().SerializeToString())
        return path

    def pictures(self, count: int) -> NDArray[np.uint8]:
        """Noise, noise about a colour, and pictures of one colour."""
        shape = (self.side, self.side, 3)
        made = [self.rng.integers(0, 256, shape) for _ in range(count)]
        for i in range(1, count, 3):
            made[i] = np.clip(self.rng.normal(self.rng.integers(0, 256), 20, shape), 0, 255)
        for i in range(5, count, 6):
            made[i] = np.full(shape, self.rng.integers(0, 256))
        return np.stack(made).astype(np.uint8)
