"""Arrays on a card: what can be seen of them without one, and, where there is one, that bytes come back as they went."""

import ctypes
import weakref
from collections import defaultdict, deque
from typing import Any

import numpy as np
import pytest

from copytrace.engine import CopytraceError
from copytrace.engine.device import DeviceArray, Event, Stream, card, memory, pinned, problem
from copytrace.engine.device.cuda import runtime
from copytrace.engine.errors import DeviceError

NO_CARD = problem() is not None
without_card = pytest.mark.skipif(not NO_CARD, reason="says what happens without a card")


class Foreign:
    """What another library would hand over."""

    def __init__(self, **changes: Any) -> None:
        interface = {"shape": (2, 3), "typestr": "<f4", "data": (4096, False), "version": 3, **changes}
        self.__cuda_array_interface__ = interface


@without_card
@pytest.mark.parametrize(
    "use",
    [
        card,
        Stream,
        Event,
        lambda: pinned((2,), np.uint8),
        lambda: DeviceArray.empty((2, 3), np.float32),
        lambda: DeviceArray.from_host(np.zeros(3, np.uint8)),
        lambda: DeviceArray.of(Foreign(), device=0).to_host(),
    ],
)
def test_a_machine_without_a_card_is_one_line(use: Any) -> None:
    with pytest.raises(DeviceError) as caught:
        use()
    assert isinstance(caught.value, CopytraceError)
    assert str(caught.value) in ("no NVIDIA driver is installed", problem()) and "\n" not in str(caught.value)


def test_the_interface_is_read_and_given() -> None:
    array = DeviceArray.of(Foreign(stream=77), device=1)
    assert (array.address, array.shape, array.dtype, array.device, array.stream) == (4096, (2, 3), np.float32, 1, 77)
    assert isinstance(array.owner, Foreign) and (array.nbytes, len(array)) == (24, 2)
    again = DeviceArray.of(array)
    assert again is array
    given = array.__cuda_array_interface__
    assert given["data"] == (4096, False) and given["stream"] == 77 and given["typestr"] == "<f4"
    for nothing in (None, 1):  # ready, or on the default stream
        default = DeviceArray.of(Foreign(stream=nothing), device=0)
        assert default.stream == 0 and default.__cuda_array_interface__["stream"] == 1


def test_rows_lie_in_the_same_memory() -> None:
    array = DeviceArray.of(Foreign(shape=(5, 4, 3), typestr="|u1"), device=0)
    part = array.rows(2, 5)
    assert (part.address, part.shape, part.owner) == (4096 + 24, (3, 4, 3), array.owner)
    assert array.rows(5, 5).nbytes == 0
    assert (array[2:].address, array[2:].shape) == (part.address, part.shape)
    assert array[-1:9].address == 4096 + 48 and len(array[4:2]) == 0
    with pytest.raises(IndexError, match="step of 2"):
        array[::2]
    for start, stop in ((-1, 2), (3, 2), (0, 6)):
        with pytest.raises(IndexError, match="of 5"):
            array.rows(start, stop)


@pytest.mark.parametrize(
    ("shape", "strides"), [((2, 3), (12, 4)), ((1, 3), (999, 4)), ((2, 1), (4, 999)), ((0, 3), (1, 1))]
)
def test_strides_without_gaps_are_taken(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    assert DeviceArray.of(Foreign(shape=shape, strides=strides), device=0).shape == shape


@pytest.mark.parametrize("strides", [(16, 4), (4, 8), (-12, 4)])
def test_strides_with_gaps_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="C-contiguous"):
        DeviceArray.of(Foreign(strides=strides), device=0)


def test_what_is_no_array_of_a_card_is_refused() -> None:
    with pytest.raises(TypeError, match="ndarray is no array on a graphics card"):
        DeviceArray.of(np.zeros(3))


@pytest.mark.parametrize("array", [np.zeros((2, 4), np.float32), np.zeros((2, 3)), np.zeros((3, 2), np.float32).T])
def test_what_does_not_fit_is_not_copied(array: np.ndarray) -> None:
    target = DeviceArray.of(Foreign(), device=0)
    for copy in (target.fill_from, target.copy_to):
        with pytest.raises(ValueError, match=r"float32 \[2, 3\] cannot be copied"):
            copy(array)


def test_memory_that_was_given_back_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_kept", defaultdict(deque, {(5, 1 << 20): deque([4096, 8192])}))
    first, second = memory.Memory(1_000_000, 5), memory.Memory((1 << 20) - 7, 5)
    assert (first.address, second.address, second.size) == (8192, 4096, 1 << 20)
    del first
    assert memory._kept[5, 1 << 20] == deque([8192])
    first = memory.Memory(1 << 20, 5)
    assert first.address == 8192 and not memory._kept[5, 1 << 20]
    del first, second  # while the addresses, which are no real ones, go where the patch leads
    sizes = {0: 256, 1: 256, 256: 256, 257: 512, (2 << 20) - 1: 2 << 20, 2 << 20: 2 << 20, (2 << 20) + 1: 4 << 20}
    assert {size: memory._rounded(size) for size in sizes} == sizes


@pytest.mark.gpu
def test_bytes_come_back_as_they_went() -> None:
    there = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    stream = Stream()
    array = DeviceArray.from_host(there, stream=stream.handle)
    assert array.to_host().tobytes() == there.tobytes()
    assert DeviceArray.of(array.rows(2, 4)).to_host().tobytes() == there[2:4].tobytes()
    copy = DeviceArray.empty(there.shape, there.dtype, stream=stream.handle)
    copy.fill_from(array)
    back = pinned(there.shape, there.dtype)
    copy.copy_to(back)
    stream.synchronise()
    assert back.tobytes() == there.tobytes()


@pytest.mark.gpu
def test_streams_wait_for_each_other_and_graphs_repeat() -> None:
    first, second = Stream(), Stream()
    values = np.arange(1 << 20, dtype=np.float32)
    source, target = (DeviceArray.empty(values.shape, values.dtype, stream=first.handle) for _ in range(2))
    graph = first.capture(lambda: target.fill_from(source))
    for factor in (1, 2):
        source.fill_from(values * np.float32(factor))
        start = first.record()
        graph.launch()
        end = first.record()
        second.wait_for(end)
        result = np.empty_like(values)
        target.copy_to(result, second.handle)
        second.synchronise()
        assert end.milliseconds_since(start) >= 0
        assert (result == values * factor).all()


@pytest.mark.gpu
def test_too_much_memory_is_one_line() -> None:
    with pytest.raises(DeviceError, match="out of memory"):
        DeviceArray.empty((1 << 50,), np.uint8)
    assert DeviceArray.from_host(np.ones(3)).to_host().tolist() == [1, 1, 1]  # and does not linger


@without_card
def test_the_binding_takes_what_it_is_given() -> None:
    """Every function with the arguments that it gets here: another version of the binding fails now, not on a machine with a
    card. Without one they end with a status, and touch no address."""
    cuda, address, size, stream, event = runtime(), 4096, 16, 0, runtime().cudaEvent_t()
    captured = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    given: dict[str, tuple[Any, ...]] = {
        "cudaSetDevice": (0,),
        "cudaGetDeviceCount": (),
        "cudaGetDeviceProperties": (0,),
        "cudaMalloc": (size,),
        "cudaFree": (address,),
        "cudaHostAlloc": (size, 0),
        "cudaFreeHost": (address,),
        "cudaMemcpyAsync": (address, address, size, cuda.cudaMemcpyKind.cudaMemcpyDefault, stream),
        "cudaPointerGetAttributes": (address,),
        "cudaStreamCreateWithFlags": (cuda.cudaStreamNonBlocking,),
        "cudaStreamSynchronize": (stream,),
        "cudaStreamWaitEvent": (cuda.cudaStream_t(), event, 0),
        "cudaStreamBeginCapture": (cuda.cudaStream_t(), captured),
        "cudaStreamEndCapture": (cuda.cudaStream_t(),),
        "cudaStreamDestroy": (cuda.cudaStream_t(),),
        "cudaGraphInstantiate": (cuda.cudaGraph_t(), 0),
        "cudaGraphLaunch": (cuda.cudaGraphExec_t(), stream),
        "cudaEventCreate": (),
        "cudaEventRecord": (event, stream),
        "cudaEventSynchronize": (event,),
        "cudaEventElapsedTime": (event, event),
        "cudaEventDestroy": (event,),
    }
    for name, arguments in given.items():
        status, *_ = getattr(cuda, name)(*arguments)
        assert status in (cuda.cudaError_t.cudaErrorInsufficientDriver, cuda.cudaError_t.cudaErrorNoDevice), name


def test_pinned_pages_live_as_long_as_the_array() -> None:
    """What ``pinned`` builds on: the finalizer of a ctypes array waits for the numpy array over it."""
    freed: list[int] = []
    pages = (ctypes.c_char * 6).from_buffer(bytearray(6))
    weakref.finalize(pages, freed.append, 1)
    array = np.frombuffer(memoryview(pages), np.uint8, 6).reshape(2, 3)[1:]
    del pages
    assert array.flags.writeable and not freed
    del array
    assert freed == [1]
