"""Batches by TensorRT: a context for every size of batch, captured as one graph."""

from collections.abc import Mapping
from typing import Any

from ...errors import DeviceError, DeviceMemoryError
from ...manifest import NetworkFile
from ..buffers import CardBuffers
from ..signature import Signature, checked
from .library import Library


class TrtLane:
    """Contexts of engines bound to the addresses of their buffers; see :class:`~copytrace.engine.infer.batched.Lane`.

    engines: by size of batch, each one that takes it. What a batch gives the card is captured when the lane is made, and
    repeated as one launch with each call; a network that cannot be captured is given layer by layer.
    Raises: DeviceError, DeviceMemoryError.
    """

    def __init__(self, library: Library, file: NetworkFile, engines: Mapping[int, Any], buffers: CardBuffers) -> None:
        self.buffers = buffers
        self._library = library
        self._contexts = {bucket: self._context(engine, bucket, file) for bucket, engine in engines.items()}
        self._graphs = {}
        for bucket in engines:
            self._enqueue(bucket)  # what is done once only is not to be captured
            buffers.wait()
            self._graphs[bucket] = self._captured(bucket)

    def run(self, bucket: int) -> None:
        """See :class:`~copytrace.engine.infer.batched.Lane`. Raises: DeviceError."""
        graph = self._graphs[bucket]
        if graph is None:
            self._enqueue(bucket)
        else:
            graph.launch()

    def _context(self, engine: Any, bucket: int, file: NetworkFile) -> Any:
        signature = engine_signature(self._library, engine, file)
        with self._library.listening() as lines:
            context = engine.create_execution_context()
            if context is None:
                text = f"has no context for batches of {bucket}"
                raise self._library.error(text, lines) if lines else DeviceMemoryError(f"{self._library} {text}")
            bound = (
                context.set_optimization_profile_async(0, self.buffers.stream)
                and context.set_input_shape(signature.input, signature.pixels_shape(bucket))
                and context.set_tensor_address(signature.input, self.buffers.pixels_address)
                and context.set_tensor_address(signature.output, self.buffers.rows_address)
            )
            if not bound:
                raise self._library.error(f"refuses batches of {bucket}", lines)
            return context

    def _captured(self, bucket: int) -> Any:
        try:
            return self.buffers.on.capture(lambda: self._enqueue(bucket))
        except DeviceMemoryError:
            raise
        except DeviceError:
            return None

    def _enqueue(self, bucket: int) -> None:
        with self._library.listening() as lines:
            if not self._contexts[bucket].execute_async_v3(self.buffers.stream):
                raise self._library.error(f"cannot compute {bucket} images", lines)


def engine_signature(library: Library, engine: Any, file: NetworkFile) -> Signature:
    """What an engine takes and gives. Raises: BundleError unless it is what the manifest says."""
    taken: list[tuple[str, str, list[int]]] = []
    given: list[tuple[str, str, list[int]]] = []
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        goes_in = engine.get_tensor_mode(name) == library.module.TensorIOMode.INPUT
        facts = (name, engine.get_tensor_dtype(name).name.lower(), [-1, *list(engine.get_tensor_shape(name))[1:]])
        (taken if goes_in else given).append(facts)  # an engine for one size of batch has that in the place of N
    return checked(file.path, taken, given, "uint8", "float").agreeing(file)
