"""The first convolution put back as it was before :mod:`copytrace.export.stem` rearranged it for ONNX Runtime."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .wiring import check


@dataclass(frozen=True)
class Stem:
    """weights: int8 [O, 3, 3, 3]; bias: int32 [O]; scales: float32 [O], of the weights."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    scales: NDArray[np.float32]


def narrowed(weights: NDArray[np.int8], bias: NDArray[np.int32], scales: NDArray[np.float32]) -> Stem:
    """From [2 O, 12, 3, 2] over blocks of four pixels: input channel 3 p + c is channel c of the block's pixel p, output
    O j + o is output o of the block's j-th place. Raises: NotUnderstoodError where both places do not have the same kernel."""
    check(weights.shape[1:] == (12, 3, 2) and len(weights) % 2 == 0, "another beginning")
    size = len(weights) // 2
    pixels = weights.reshape(2, size, 4, 3, 3, 2)  # place, output, pixel, channel, row, block
    along = np.concatenate([pixels[..., 0], pixels[..., 1]], axis=2)  # eight pixels of a row
    kernels = [along[place, :, 2 * place : 2 * place + 3] for place in range(2)]
    check(sum(np.count_nonzero(kernel) for kernel in kernels) == np.count_nonzero(weights), "another beginning")
    for array in (np.stack(kernels), bias.reshape(2, size), scales.reshape(2, size)):
        check(bool((array[0] == array[1]).all()), "another beginning")
    return Stem(
        np.ascontiguousarray(kernels[0].transpose(0, 2, 3, 1)),
        np.ascontiguousarray(bias[:size]),
        np.ascontiguousarray(scales[:size]),
    )
