"""What a card does in turn (streams), marks in it (events), and what it repeats as a whole (graphs)."""

import weakref
from collections.abc import Callable

from .cuda import call, runtime, select


class Stream:
    """Work of a card that is done in the order in which it was given; beside it other streams go on. device: the card's index.

    Raises: DeviceError.
    """

    def __init__(self, device: int = 0) -> None:
        select(device)
        self.device = device
        self._stream = call(runtime().cudaStreamCreateWithFlags, runtime().cudaStreamNonBlocking)
        self.handle = int(self._stream)
        weakref.finalize(self, runtime().cudaStreamDestroy, self._stream).atexit = False

    def synchronise(self) -> None:
        """Wait until all that was given is done. Raises: DeviceError for what failed of it."""
        call(runtime().cudaStreamSynchronize, self._stream)

    def record(self) -> "Event":
        """A mark behind what was given so far."""
        event = Event()
        call(runtime().cudaEventRecord, event.event, self._stream)
        return event

    def wait_for(self, event: "Event") -> None:
        """Begin what is given from now on after another stream has come to a mark."""
        call(runtime().cudaStreamWaitEvent, self._stream, event.event, 0)

    def wait_for_stream(self, handle: int) -> None:
        """Begin what is given from now on after all that another stream was given.

        handle: its address, 0 for the default one.
        """
        if handle != self.handle:
            event = Event()
            call(runtime().cudaEventRecord, event.event, handle)
            self.wait_for(event)

    def capture(self, work: Callable[[], None]) -> "Graph":
        """The work that a function gives this stream, not done, to be repeated. Raises: what it raises; DeviceError."""
        cuda = runtime()
        call(cuda.cudaStreamBeginCapture, self._stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BaseException:
            cuda.cudaStreamEndCapture(self._stream)
            cuda.cudaGetLastError()
            raise
        return Graph(self, call(cuda.cudaStreamEndCapture, self._stream))


class Event:
    """A mark in a stream."""

    def __init__(self) -> None:
        self.event = call(runtime().cudaEventCreate)
        weakref.finalize(self, runtime().cudaEventDestroy, self.event).atexit = False

    def synchronise(self) -> None:
        """Wait until the stream has come here."""
        call(runtime().cudaEventSynchronize, self.event)

    def milliseconds_since(self, earlier: "Event") -> float:
        """Time on the card between two marks that it has come to."""
        return float(call(runtime().cudaEventElapsedTime, earlier.event, self.event))


class Graph:
    """Work of a stream that is launched as a whole, with the same addresses every time."""

    def __init__(self, stream: Stream, captured: object) -> None:
        cuda = runtime()
        self._stream = stream
        try:
            self._ready = call(cuda.cudaGraphInstantiate, captured, 0)
        finally:
            cuda.cudaGraphDestroy(captured)
        weakref.finalize(self, cuda.cudaGraphExecDestroy, self._ready).atexit = False

    def launch(self) -> None:
        """Give the stream this work."""
        call(runtime().cudaGraphLaunch, self._ready, self._stream.handle)
