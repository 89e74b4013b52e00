"""JPEGs decoded many at a time: the same pixels, reasons and damage as one by one. The graphs of a card, on the CPU."""

import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from copytrace.engine.device import on_host
from copytrace.engine.errors import MissingExtraError
from copytrace.engine.read import UndecodableError, decode_sizes
from copytrace.engine.read.batches import BatchDecoder, BatchDecoderName, Outcome, open_batch_decoder
from copytrace.engine.read.batches import decoder as decoder_module
from copytrace.engine.read.batches.checked import CheckedJpeg, checked_jpeg
from copytrace.engine.read.batches.dali import DaliDecoder
from copytrace.engine.read.batches.graph import SquaresGraph
from copytrace.engine.read.batches.nvimgcodec import NvImageDecoder
from copytrace.engine.read.jpeg import read_jpeg_header

from conftest import PHOTOS
from odd_images import bad_images, encoded, good_images, picture

pytest.importorskip("nvidia.dali", reason="needs DALI, which there is for Linux on x86-64")

LIMIT = 1 << 27
NAMES: tuple[BatchDecoderName, ...] = ("dali", "nvimgcodec")
SIZES = (64, 96)


@cache
def opened(
    name: BatchDecoderName, sizes: tuple[int, ...] = SIZES, batch: int = 16, device: int | None = None
) -> BatchDecoder:
    return open_batch_decoder(name, sizes, batch=batch, device=device, threads=1, in_flight=2, pixel_limit=LIMIT)


def photographs(count: int) -> list[bytes]:
    return [path.read_bytes() for path in sorted((PHOTOS / "references").glob("*.jpg"))[:count]]


def outcomes(decoder: BatchDecoder, files: Sequence[bytes]) -> list[Outcome]:
    def reading(data: bytes) -> Callable[[], bytes]:
        return lambda: data

    return decoder.decode([reading(data) for data in files])


def alone(data: bytes, sizes: Sequence[int] = SIZES) -> Outcome:
    try:
        return decode_sizes(data, sizes)
    except UndecodableError as error:
        return error


def squares(outcome: Outcome) -> list[NDArray[np.uint8]]:
    assert isinstance(outcome, tuple), outcome
    return [one if isinstance(one, np.ndarray) else one.to_host() for one in outcome[0]]


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape and one.dtype == other.dtype == np.uint8
    return float(np.abs(one.astype(int) - other).mean())


def check_same(found: Outcome, wanted: Outcome, bound: float) -> None:
    if isinstance(wanted, Exception):
        assert isinstance(found, UndecodableError) and str(found) == str(wanted)
        return
    assert isinstance(found, tuple) and found[1] == wanted[1]
    for one, other in zip(squares(found), squares(wanted), strict=True):
        assert difference(one, other) <= bound


def damaged_files() -> list[bytes]:
    """A JPEG of which the end, a sector or a byte is wrong, with and without an end marker."""
    whole = photographs(1)[0]
    middle = len(whole) // 2
    return [
        whole[:middle],
        whole[:middle] + b"\xff\xd9",
        whole[:middle] + bytes(1024) + whole[middle + 1024 :],
        whole[:middle] + b"\xff\xd3\x55" + whole[middle + 3 :],
        whole[:-2] + b"\x12\x34\x56" + whole[-2:],
        whole[:2] + whole[20:],
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("size", "mean", "most"),
    # Photographs of 112 pixels on the shorter side: enlarged, nearly as they are, shrunk to less than half, than a third. From
    # four times on libjpeg reduces them by the cosine transform for the CPU's decoder, which is no averaging.
    [(150, 0.15, 0.2), (100, 0.2, 0.6), (66, 0.5, 1.2), (40, 0.25, 0.4), (24, 1.8, 4.5)],
)
def test_pixels_are_near_those_of_the_decoder_for_one(
    name: BatchDecoderName, size: int, mean: float, most: float
) -> None:
    files = photographs(24)
    found = [squares(outcome)[0] for outcome in outcomes(opened(name, (size,)), files)]
    apart = [difference(one, squares(alone(data, [size]))[0]) for one, data in zip(found, files, strict=True)]
    assert np.mean(apart) <= mean and max(apart) <= most, (np.mean(apart), max(apart))


@pytest.mark.parametrize("name", NAMES)
def test_orientations(name: BatchDecoderName) -> None:
    """The square has no centre of symmetry, so that each orientation gives another picture."""
    files = []
    for orientation in range(10):  # 0 and 9 are none
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(encoded(picture(size=(300, 200)), "JPEG", exif=exif))
    for found, data in zip(outcomes(opened(name), files), files, strict=True):
        check_same(found, alone(data), 0.3)
    first = squares(outcomes(opened(name), files[:1])[0])[0]
    assert all(difference(squares(one)[0], first) > 10 for one in outcomes(opened(name), files[2:9]))


@pytest.mark.parametrize("name", NAMES)
def test_odd_bad_and_damaged_files_are_what_they_are_one_by_one(name: BatchDecoderName) -> None:
    """In batches with good ones, in their order; the broken cost their own place only."""
    odd = [*good_images().values(), *(data for data, _ in bad_images().values()), *damaged_files()]
    files = [data for pair in zip(odd, photographs(len(odd)), strict=True) for data in pair]
    found, wanted = outcomes(opened(name), files), [alone(data) for data in files]
    assert sum(isinstance(one, Exception) for one in wanted) > 10
    assert sum(isinstance(one, tuple) and one[1] is not None for one in wanted) > 2
    for one, other in zip(found, wanted, strict=True):
        check_same(one, other, 1.2)


def test_only_plain_whole_jpegs_are_decoded_in_batches() -> None:
    whole = photographs(1)[0]
    assert checked_jpeg(whole, LIMIT) is not None
    assert checked_jpeg(encoded(picture("L"), "JPEG"), LIMIT) is not None
    others = [
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture("CMYK"), "JPEG"),
        encoded(picture(), "JPEG", keep_rgb=True),
        encoded(picture(), "PNG"),
        b"",
        *damaged_files()[:4],
    ]
    assert [checked_jpeg(data, LIMIT) for data in others] == [None] * len(others)
    assert checked_jpeg(whole, 1000) is None
    rgb = others[2]
    no_marker = rgb.replace(b"Adobe", b"Other")  # then the names of the components say it
    assert b"Adobe" in rgb and read_jpeg_header(no_marker) is not None and checked_jpeg(no_marker, LIMIT) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_fails_in_a_batch_is_decoded_alone(name: BatchDecoderName, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a check had been passed by a file that the library then cannot decode, as may be on a card."""

    def unchecked(data: bytes, limit: int) -> CheckedJpeg | None:
        header = read_jpeg_header(data)
        return None if header is None else CheckedJpeg(data, header)

    monkeypatch.setattr(decoder_module, "checked_jpeg", unchecked)
    good = photographs(3)
    broken = good[0][: len(good[0]) // 2]
    files = [good[1], broken, good[2]]
    for found, data in zip(outcomes(opened(name), files), files, strict=True):
        check_same(found, alone(data), 0.8)
    check_same(outcomes(opened(name), good)[0], alone(good[0]), 0.8)  # the next batch is not affected


@pytest.mark.parametrize("name", NAMES)
def test_where_memory_is_lacking_the_cpu_decodes(
    name: BatchDecoderName, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning of one line, and no trace in the next batch."""

    def lacking(*_: object) -> None:
        raise MemoryError(
            "Error in mixed operator\nCUDA allocation failed: error\nCurrent pipeline object is no longer valid."
        )

    files = photographs(3)
    with monkeypatch.context() as patch:
        patch.setattr(SquaresGraph, "__call__", lacking)
        found = outcomes(opened(name), files)
    for one, data in zip(found, files, strict=True):
        check_same(one, alone(data), 0.0)
    assert [record.getMessage().endswith(": CUDA allocation failed: error") for record in caplog.records] == [True]
    assert difference(squares(outcomes(opened(name), files)[0])[0], squares(found[0])[0]) > 0


def test_what_the_libraries_say_of_a_broken_file() -> None:
    """DALI fails for the whole batch, and another graph does its halves; nvImageCodec says so in its place. To both it is the
    broken one alone that the CPU gets: its neighbours are what they are without it, to the last bit."""
    whole, other = (jpeg for jpeg in (checked_jpeg(data, LIMIT) for data in photographs(2)) if jpeg is not None)
    broken = CheckedJpeg(whole.data[: len(whole.data) // 2], whole.header)
    options = {"batch": 4, "device": None, "threads": 1, "in_flight": 1}
    dali, codec = DaliDecoder([32], **options), NvImageDecoder([32], **options)  # type: ignore[arg-type]
    for decoder in (dali, codec):
        (before, after) = decoder([whole, other])
        for files in ([whole, broken, other], [broken, whole, other, broken], [broken]):
            found = decoder(files)
            for file, one in zip(files, found, strict=True):
                expected = {id(whole): before, id(other): after}.get(id(file))
                assert (one is None) == (expected is None)
                if one is not None and expected is not None:
                    assert all(np.array_equal(on_host(a), on_host(b)) for a, b in zip(one, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_does_not_depend_on_its_neighbours(name: BatchDecoderName, monkeypatch: pytest.MonkeyPatch) -> None:
    files = photographs(20)
    together = [squares(one) for one in outcomes(opened(name), files)]
    monkeypatch.setattr(decoder_module, "_PIXELS_TOGETHER", 60_000)  # two or three of them
    few = [squares(one) for one in outcomes(opened(name), files[::-1])][::-1]
    for one, other in zip(together, few, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("bound", ["_PIXELS_TOGETHER", "_BYTES_TOGETHER"])
def test_large_pictures_come_in_smaller_batches(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = photographs(10)
    monkeypatch.setattr(decoder_module, bound, 1)
    batches: list[int] = []
    decoder = opened("dali")
    jpegs = decoder._jpegs
    monkeypatch.setattr(decoder, "_jpegs", lambda files: (batches.append(len(files)), jpegs(files))[1])
    assert all(isinstance(one, tuple) for one in outcomes(decoder, files))
    assert batches == [1] * 10


@pytest.mark.parametrize("name", NAMES)
def test_memory_does_not_grow(name: BatchDecoderName) -> None:
    """Over 2,000 pictures, from four threads."""
    decoder, files = opened(name, (96,), 25), photographs(50)

    def run(rounds: int) -> int:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: len(outcomes(decoder, files)), range(rounds)))
        return _resident()

    before = run(8)
    assert run(40) - before < 40 << 20  # the squares alone would be 55 MB
    assert len(decoder._jpegs._graphs._idle if name == "dali" else decoder._jpegs._pairs._idle) <= 2  # type: ignore[attr-defined]


def _resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize(("name", "module"), [("dali", "nvidia.dali"), ("nvimgcodec", "nvidia.nvimgcodec")])
def test_a_missing_library_is_one_line(name: BatchDecoderName, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "copytrace\[dali\]"') as caught:
        open_batch_decoder(name, [32], batch=4, device=None, threads=1, in_flight=1, pixel_limit=LIMIT)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_card(name: BatchDecoderName) -> None:
    """nvJPEG's transform rounds in other places than libjpeg-turbo's; the bounds have never been tried on a card."""
    files = [*photographs(40), *damaged_files(), *(data for data, _ in bad_images().values())]
    for found, data in zip(outcomes(opened(name, (100,), 16, 0), files), files, strict=True):
        if isinstance(found, tuple) and found[1] is None:
            assert not isinstance(found[0][0], np.ndarray) or checked_jpeg(data, LIMIT) is None
        check_same(found, alone(data, [100]), 2.0)
