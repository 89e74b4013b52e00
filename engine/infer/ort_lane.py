"""Batches by ONNX Runtime: pixels and rows bound to fixed addresses, on a card one captured graph for every size of batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError, DeviceError, optional_module
from ..ort_on_card import PROVIDER, card_error, check_on_card, ort_for_cards
from .buffers import Buffers
from .one_line import one_line
from .signature import of_session

_UNTIL_CAPTURED = 3  # runs: one that allocates, one that captures, one that is the captured graph


class OrtLane:
    """A session bound to the addresses of its buffers.

    On a card it computes on the buffers' stream, in float32 without TF32's rounding. A session that copies between card and
    CPU, or leaves more to the CPU than lengths of arrays, cannot be captured: ONNX Runtime refuses it. What was captured is
    repeated with each call. With buffers of the host the same session runs on the CPU.
    Raises: BundleError for a file that is no such network; DeviceError where ONNX Runtime cannot compute it on the card,
    DeviceMemoryError for want of memory there; MissingExtraError.
    """

    def __init__(self, path: Path, buffers: Buffers, buckets: Sequence[int]) -> None:
        self.path = path
        self.buffers = buffers
        self._session = _session(path, buffers)
        self.signature = of_session(self._session, path)
        self._bound = {bucket: self._bind(bucket, number) for number, bucket in enumerate(buckets, 1)}
        if buffers.place == "cuda":
            for bucket in buckets:
                for _ in range(_UNTIL_CAPTURED):
                    self.run(bucket)

    def run(self, bucket: int) -> None:
        """See :class:`~copytrace.engine.infer.batched.Lane`. Raises: BundleError, on a card DeviceError."""
        binding, options = self._bound[bucket]
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as error:  # onnxruntime's errors share no public base class
            raise _problem(self.path, self.buffers, f"cannot compute {bucket} images", error) from error

    def _bind(self, bucket: int, number: int) -> tuple[Any, Any]:
        ort = optional_module("onnxruntime", "cpu", "gpu")
        binding, options = self._session.io_binding(), ort.RunOptions()
        place, device, facts = self.buffers.place, self.buffers.device, self.signature
        pixels, rows = facts.pixels_shape(bucket), (bucket, facts.dimension)
        binding.bind_input(facts.input, place, device, np.uint8, pixels, self.buffers.pixels_address)
        binding.bind_output(facts.output, place, device, np.float32, rows, self.buffers.rows_address)
        if place == "cuda":
            options.add_run_config_entry("gpu_graph_id", str(number))
        return binding, options


def ort_version() -> str:
    """Raises: MissingExtraError."""
    return str(optional_module("onnxruntime", "cpu", "gpu").__version__)


def _session(path: Path, buffers: Buffers) -> Any:
    on_card = buffers.place == "cuda"
    ort = ort_for_cards() if on_card else optional_module("onnxruntime", "cpu", "gpu")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if on_card:
        options.use_deterministic_compute = True
        chosen = {
            "device_id": str(buffers.device),
            "user_compute_stream": str(buffers.stream),
            "enable_cuda_graph": "1",
            "use_tf32": "0",
            "cudnn_conv_algo_search": "HEURISTIC",  # the other way measures, and need not choose the same every time
        }
        providers: list[Any] = [(PROVIDER, chosen)]
    else:
        providers = ["CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise _problem(path, buffers, "is not a network this ONNX Runtime can load", error) from error
    if on_card:
        check_on_card(session)
    return session


def _problem(path: Path, buffers: Buffers, what: str, error: Exception) -> BundleError | DeviceError:
    """On a card the network may be sound and the CPU still compute it, so that is no error of the bundle."""
    if buffers.place == "cpu":
        return BundleError(f"{path} {what}: {one_line(error)}")
    return card_error(error, f"{path.name} {what} on the graphics card")
