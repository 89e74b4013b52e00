"""The native core's quantised layers against their plain definition, on every instruction set, over sizes that do not divide
evenly and with numbers at the ends of their ranges."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from copytrace.engine._network import Network, Steps, instruction_sets

ISAS = instruction_sets()
Bytes = NDArray[np.uint8]
Float32 = NDArray[np.float32]


def requantised(sums: NDArray[np.int64], scales: Float32, zero: int) -> Bytes:
    """Sums [..., O], modulo 2^32, to bytes: scaled in float32, clamped, rounded half to even."""
    with np.errstate(over="ignore"):  # infinite is clamped as well
        values = sums.astype(np.int32).astype(np.float32) * scales
    return np.asarray(np.rint(np.clip(values, np.float32(-zero), np.float32(255 - zero))) + zero, np.uint8)


def windows(map: Bytes, kernel: tuple[int, int], step: int, pads: list[int], zero: int) -> NDArray[np.int64]:
    """[H, W, C] -> differences to the zero point, [rows, columns, C, height, width]; padding holds the zero point."""
    padded = np.pad(map.astype(np.int64) - zero, ((pads[0], pads[2]), (pads[1], pads[3]), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, (0, 1))[::step, ::step]


@dataclass
class Constants:
    """Of a layer with ``outputs`` channels. hard: at the ends of their ranges, sums that go round included."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    scales: Float32
    zero_in: int
    zero_out: int


def constants(rng: np.random.Generator, shape: tuple[int, ...], outputs: int, *, hard: bool) -> Constants:
    if hard:
        weights = rng.choice(np.array([-128, 127], np.int8), shape)
        bias = rng.choice(np.array([-(2**31), 2**31 - 1, 0, 1], np.int32), outputs)
        scales = rng.choice(np.array([0, 2**-24, 0.5, 1, 3e38], np.float32), outputs)
        return Constants(weights, bias, scales, int(rng.choice([0, 255])), int(rng.choice([0, 255])))
    weights = rng.integers(-128, 128, shape).astype(np.int8)
    bias = rng.integers(-(2**12), 2**12, outputs).astype(np.int32)
    scales = rng.choice(np.array([2**-7, 2**-10, 0.01, 0.003], np.float32), outputs)  # the first two make ties
    return Constants(weights, bias, scales, int(rng.integers(0, 256)), int(rng.integers(0, 256)))


def picture(rng: np.random.Generator, shape: tuple[int, ...], *, hard: bool) -> Bytes:
    return rng.choice(np.array([0, 255], np.uint8), shape) if hard else rng.integers(0, 256, shape).astype(np.uint8)


def with_channels(network: Network, channels: int) -> int:
    """The input as it is, as a map that all layers take."""
    same = np.eye(channels, dtype=np.int8).reshape(channels, 1, 1, channels)
    return network.convolution(0, same, np.zeros(channels, np.int32), np.ones(channels, np.float32), 0, 0, 1, [0] * 4)


pads_below = st.tuples(*[st.integers(0, 2)] * 4)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 11), st.integers(1, 19)),
    channels=st.sampled_from([1, 3, 4, 7, 15, 16, 17, 33, 48]),
    outputs=st.sampled_from([1, 5, 15, 16, 17, 31, 48, 49, 80, 112]),
    kernel=st.sampled_from([(1, 1), (1, 1), (3, 3), (3, 2)]),
    step=st.integers(1, 2),
    pads=pads_below,
    seed=st.integers(0, 999),
    hard=st.booleans(),
)
def test_convolution(
    isa: str,
    size: tuple[int, int],
    channels: int,
    outputs: int,
    kernel: tuple[int, int],
    step: int,
    pads: tuple[int, ...],
    seed: int,
    hard: bool,
) -> None:
    rng = np.random.default_rng(seed)
    pad = [min(one, kernel[i % 2] - 1) for i, one in enumerate(pads)]
    height, width = max(size[0], kernel[0]), max(size[1], kernel[1])
    c = constants(rng, (outputs, *kernel, channels), outputs, hard=hard)
    pixels = picture(rng, (height, width, channels), hard=hard)
    seen = windows(pixels, kernel, step, pad, c.zero_in)
    sums = np.einsum("yxchw,ohwc->yxo", seen, c.weights.astype(np.int64)) + c.bias
    expected = requantised(sums, c.scales, c.zero_out)
    network = Network(height, width, channels, isa)
    for source in (0, with_channels(network, channels)):  # pixels that touch, and those in whole blocks
        made = network.convolution(source, c.weights, c.bias, c.scales, c.zero_in, c.zero_out, step, pad)
        assert network.shape(made) == expected.shape
        np.testing.assert_array_equal(network.values(pixels, made), expected)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 23)),
    channels=st.sampled_from([1, 7, 16, 17, 40, 96]),
    kernel=st.sampled_from([3, 5]),
    step=st.integers(1, 2),
    pads=pads_below,
    seed=st.integers(0, 999),
    hard=st.booleans(),
)
def test_depthwise_convolution(
    isa: str,
    size: tuple[int, int],
    channels: int,
    kernel: int,
    step: int,
    pads: tuple[int, ...],
    seed: int,
    hard: bool,
) -> None:
    rng = np.random.default_rng(seed)
    pad = list(pads)
    height, width = max(size[0], kernel - pad[0] - pad[2]), max(size[1], kernel - pad[1] - pad[3])
    c = constants(rng, (kernel, kernel, channels), channels, hard=hard)
    pixels = picture(rng, (height, width, channels), hard=hard)
    seen = windows(pixels, (kernel, kernel), step, pad, c.zero_in)
    sums = np.einsum("yxchw,hwc->yxc", seen, c.weights.astype(np.int64)) + c.bias
    network = Network(height, width, channels, isa)
    source = with_channels(network, channels)
    made = network.depthwise(source, c.weights, c.bias, c.scales, c.zero_in, c.zero_out, step, pad)
    np.testing.assert_array_equal(network.values(pixels, made), requantised(sums, c.scales, c.zero_out))


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=40, deadline=None)
@given(channels=st.sampled_from([1, 16, 17, 40]), seed=st.integers(0, 999), hard=st.booleans())
def test_sum_of_two_maps(isa: str, channels: int, seed: int, hard: bool) -> None:
    """Products fused with their sums, in ONNX Runtime's order; in float64 both are exact enough to be told apart."""
    rng = np.random.default_rng(seed)
    pixels = picture(rng, (5, 7, channels), hard=hard)
    scales = rng.uniform(0.01, 0.9, 3).astype(np.float32) if not hard else np.array([1, 1, 1], np.float32)
    zeros = rng.integers(0, 256, 3).tolist()
    network = Network(5, 7, channels, isa)
    a = with_channels(network, channels)
    turned = np.roll(np.eye(channels, dtype=np.int8), 1, axis=0).reshape(channels, 1, 1, channels)
    b = network.convolution(0, turned, np.zeros(channels, np.int32), np.ones(channels, np.float32), 0, 0, 1, [0] * 4)
    of_a, of_b, given_steps = (Steps(float(s), z) for s, z in zip(scales, zeros, strict=True))
    made = network.sum(a, of_a, b, of_b, given_steps)
    ratio_a, ratio_b = scales[0] / scales[2], scales[1] / scales[2]
    offset = np.float32(zeros[2]) - (ratio_a * np.float32(zeros[0]) + ratio_b * np.float32(zeros[1]))
    right = network.values(pixels, b).astype(np.float64)
    inner = (right * np.float64(ratio_b) + np.float64(offset)).astype(np.float32)
    outer = (pixels.astype(np.float64) * np.float64(ratio_a) + inner.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(network.values(pixels, made), np.rint(np.clip(outer, 0, 255)).astype(np.uint8))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("channels", "cell", "count"), [(1, 1, 1), (17, 2, 3), (40, 3, 5), (16, 2, 17)])
def test_pooling_and_head(isa: str, channels: int, cell: int, count: int) -> None:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (count, 7, 9, channels)).astype(np.uint8)
    network = Network(7, 9, channels, isa)
    map, scale, zero, divisor = with_channels(network, channels), np.float32(0.037), 3, np.float32(5.0)
    network.pool(map, cell, Steps(float(scale), zero), float(divisor))
    network.pool(map, 1, Steps(float(scale), 0), 1.0)
    features = np.concatenate([pooled(pixels, cell, scale, zero) / divisor, pooled(pixels, 1, scale, 0)], axis=1)
    mean, deviation = features.mean(0), features.std(0) + np.float32(0.1)
    weights = rng.integers(-128, 128, (21, 2 * channels)).astype(np.int8)
    bias, by = np.zeros(21, np.int32), np.full(21, 0.01, np.float32)
    network.head(mean, deviation, Steps(0.02, 128), weights, bias, by, Steps(0.5, 120), 1e-12)
    taken = np.rint(np.clip((features - mean) / deviation / np.float32(0.02), -128, 127)).astype(np.int64)
    rows = (requantised(taken @ weights.T.astype(np.int64), by, 120).astype(np.float32) - 120) * np.float32(0.5)
    squares = np.zeros(count, np.float32)
    for column in rows.T:
        squares += column * column
    expected = rows / np.maximum(np.sqrt(squares), np.float32(1e-12))[:, None]
    np.testing.assert_array_equal(network(pixels), expected)
    assert network(pixels[:0]).shape == (0, 21)


def pooled(pixels: Bytes, cell: int, scale: np.float32, zero: int) -> Float32:
    """[N, H, W, C] -> [N, C]: the root of the sum of squares over whole cells, added row by row in float32."""
    height, width = (size // cell * cell for size in pixels.shape[1:3])
    cells = pixels[:, :height, :width].reshape(len(pixels), height // cell, cell, width // cell, cell, -1).max((2, 4))
    values = (cells.astype(np.float32) - np.float32(zero)) * scale
    squares = np.zeros((len(pixels), pixels.shape[3]), np.float32)
    for place in values.reshape(len(pixels), -1, pixels.shape[3]).transpose(1, 0, 2):
        squares += place * place
    return np.sqrt(squares)


def small() -> Network:
    network = Network(6, 6, 16)
    with_channels(network, 16)
    return network


def unaligned(array: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.frombuffer(b"?" + array.tobytes(), np.int32, offset=1)


ONES = np.ones((16, 3, 3, 16), np.int8)
BIAS, SCALES = np.zeros(16, np.int32), np.ones(16, np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Network(0, 1, 1), "sides must be from 1"),
        (lambda: Network(16384, 16384, 3), "256 MiB"),
        (lambda: Network(1, 1, 1, "mmx"), "not available"),
        (lambda: small().convolution(9, ONES, BIAS, SCALES, 0, 0, 1, [0] * 4), "no map of this number"),
        (lambda: small().convolution(1, ONES[..., :3].copy(), BIAS, SCALES, 0, 0, 1, [0] * 4), "number of channels"),
        (lambda: small().convolution(1, ONES[..., :3], BIAS, SCALES, 0, 0, 1, [0] * 4), "C-contiguous"),
        (lambda: small().convolution(1, ONES.astype(np.uint8), BIAS, SCALES, 0, 0, 1, [0] * 4), "of type int8"),  # type: ignore[arg-type]
        (lambda: small().convolution(1, ONES, unaligned(BIAS), SCALES, 0, 0, 1, [0] * 4), "aligned"),
        (lambda: small().convolution(1, ONES, BIAS[:3], SCALES, 0, 0, 1, [0] * 4), "bias must have 16"),
        (lambda: small().convolution(1, ONES, BIAS, -SCALES, 0, 0, 1, [0] * 4), "scales must be finite"),
        (lambda: small().convolution(1, ONES, BIAS, SCALES * np.nan, 0, 0, 1, [0] * 4), "scales must be finite"),
        (lambda: small().convolution(1, ONES, BIAS, SCALES, 0, 0, 0, [0] * 4), "step must be at least 1"),
        (lambda: small().convolution(1, ONES, BIAS, SCALES, 0, 0, 1, [3, 0, 0, 0]), "padding must be smaller"),
        (lambda: small().convolution(1, np.ones((16, 9, 9, 16), np.int8), BIAS, SCALES, 0, 0, 1, [0] * 4), "larger than"),
        (lambda: small().depthwise(1, np.ones((4, 4, 16), np.int8), BIAS, SCALES, 0, 0, 1, [0] * 4), "3 x 3 and 5 x 5"),
        (lambda: small().depthwise(1, np.ones((3, 3, 16), np.int8), BIAS, SCALES, 0, 0, 3, [0] * 4), "steps of 1 and 2"),
        (lambda: small().depthwise(1, np.ones((3, 3, 8), np.int8), BIAS[:8], SCALES[:8], 0, 0, 1, [0] * 4), "channels"),
        (lambda: small().sum(0, Steps(1, 0), 1, Steps(1, 0), Steps(1, 0)), "not the input"),
        (lambda: small().sum(1, Steps(1, 0), 1, Steps(0, 0), Steps(1, 0)), "finite and positive"),
        (lambda: small().sum(1, Steps(1e30, 0), 1, Steps(1, 0), Steps(1e-30, 0)), "too far apart"),
        (lambda: small().pool(1, 7, Steps(1, 0), 1), "cells must fit"),
        (lambda: small().pool(1, 2, Steps(1, 0), 0), "divisor"),
        (lambda: small().head(SCALES, SCALES, Steps(1, 0), ONES[:, 0, 0].copy(), BIAS, SCALES, Steps(1, 0), 1), "features"),
        (lambda: small()(np.zeros((1, 6, 6, 16), np.uint8)), "no head yet"),
        (lambda: small().values(np.zeros((6, 6, 3), np.uint8), 1), "must have the shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        build()
