"""Formats beyond the common ones are read, or named; and what decoding may take in memory is bounded."""

import importlib.util
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copytrace.engine.read import UndecodableError, decode, decode_picture, open_source, stretch
from copytrace.engine.read.formats import SNIFF_BYTES, format_name, has_image_bytes, has_image_name
from copytrace.engine.read.in_flight import in_flight

from odd_images import encoded, picture

SIZE = 32
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None


def bmp(masks: tuple[int, ...], bits: int = 32, header: int = 40, top_down: bool = False) -> bytes:
    """``picture()`` as a BMP with bit masks (red, green, blue[, alpha])."""
    rgb = np.asarray(picture()).astype(np.uint64)
    pixels = np.zeros(rgb.shape[:2], np.uint64)
    for channel, mask in zip((rgb[..., 0], rgb[..., 1], rgb[..., 2]), masks[:3], strict=True):
        shift = (mask & -mask).bit_length() - 1
        pixels |= (channel * np.uint64(mask >> shift) // np.uint64(255)) << np.uint64(shift)
    if len(masks) == 4:
        pixels |= np.uint64(masks[3])
    body = (pixels if top_down else pixels[::-1]).astype("<u4" if bits == 32 else "<u2").tobytes()
    height, width = rgb.shape[:2]
    info = struct.pack(
        "<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, 3, len(body), 0, 0, 0, 0
    )
    info += struct.pack(f"<{len(masks)}I", *masks)
    info += bytes(max(0, header - len(info)))
    start = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + body


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize(
    ("masks", "bits", "header"),
    [
        ((0xFF0000, 0xFF00, 0xFF), 32, 40),
        ((0xFF, 0xFF00, 0xFF0000), 32, 40),
        ((0xFF000000, 0xFF0000, 0xFF00), 32, 40),
        ((0xFF00, 0xFF0000, 0xFF000000, 0xFF), 32, 108),
        ((0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, 124),
        ((0x3FF00000, 0xFFC00, 0x3FF), 32, 40),
        ((0xF800, 0x7E0, 0x1F), 32, 40),
        ((0xF00, 0xF0, 0xF), 16, 40),
        ((0x1F, 0x7E0, 0xF800), 16, 40),
    ],
)
def test_bmp_with_bit_masks(masks: tuple[int, ...], bits: int, header: int, top_down: bool) -> None:
    data = bmp(masks, bits, header, top_down)
    assert has_image_bytes(data[:SNIFF_BYTES])
    expected = stretch(np.asarray(picture()), SIZE).astype(int)
    fewest = min(bin(mask).count("1") for mask in masks[:3])
    assert np.abs(decode(data, SIZE).astype(int) - expected).max() <= max(1, 256 >> fewest)
    with pytest.raises(UndecodableError):
        decode(data[:-400], SIZE)


def test_alpha_of_a_bmp_with_bit_masks_lies_over_white() -> None:
    data = bytearray(bmp((0xFF00, 0xFF0000, 0xFF000000, 0xFF), 32, 108))
    data[-60 * 40 * 4 :: 4] = bytes(60 * 40)  # all of it transparent
    assert (decode(bytes(data), SIZE) == 255).all()


def test_bmp_masks_that_make_no_sense() -> None:
    data = bytearray(bmp((0xFF, 0xFF00, 0xFF0000)))
    data[54:58] = struct.pack("<I", 0x505)
    with pytest.raises(UndecodableError, match="mask"):
        decode(bytes(data), SIZE)


@pytest.mark.parametrize("kind", ["big.tif", "a.jp2", "a.j2k", "a.ppm", "a.pgm", "a.pbm", "a.avif"])
def test_single_files_of_rarer_formats_are_sources(kind: str, tmp_path: Path) -> None:
    image = picture({"a.pgm": "L", "a.pbm": "1"}.get(kind, "RGB"), (200, 120))
    options = {"big.tif": {"big_tiff": True}, "a.j2k": {"no_jp2": True}}.get(kind, {})
    name = {"big.tif": "TIFF", "a.jp2": "JPEG2000", "a.j2k": "JPEG2000", "a.avif": "AVIF"}.get(kind, "PPM")
    data = encoded(image, name, **options)
    for path in (tmp_path / kind, tmp_path / "without-an-extension"):
        path.write_bytes(data)
        source = open_source(path)
        assert len(source) == 1
        expected = stretch(np.asarray(image.convert("RGB")), SIZE).astype(int)
        assert np.abs(decode(source[0].read(), SIZE).astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xff", "JPEG XL"),
        (b"P7\nWIDTH 1", "PAM"),
        (b"<svg xmlns", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\1\0\1\0\x10\x10", "ICO"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF89a", "GIF"),
        (b"any text", "unknown format"),
    ],
)
def test_what_is_not_read_is_named(head: bytes, word: str) -> None:
    with pytest.raises(UndecodableError, match="not an image") as error:
        decode(head + bytes(100), SIZE)
    assert word in str(error.value)


def test_lists_and_tars_are_not_taken_for_images() -> None:
    for text in (
        b"P1.jpg\nP2.jpg\n",
        b"P5 holiday/a.jpg\n",
        b"BMW.jpg\n",
        b"II.jpg\n",
        b"photos/a.jpg\n",
        b"GIF8.gif\n",
    ):
        assert format_name(text[:SNIFF_BYTES]) is None, text
    assert has_image_name("A.HEIC") and has_image_name("a.j2c") and not has_image_name("a.txt")


@pytest.mark.skipif(not HAS_HEIF, reason="needs the extra heif")
def test_heic_is_read() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = picture(size=(200, 120))
    data = encoded(image, "HEIF", quality=90)
    expected = stretch(np.asarray(image), SIZE).astype(int)
    assert has_image_bytes(data[:SNIFF_BYTES]) and np.abs(decode(data, SIZE).astype(int) - expected).mean() < 6
    with pytest.raises(UndecodableError, match="exceed the limit"):
        decode(data, SIZE, pixel_limit=100)
    with pytest.raises(UndecodableError):
        decode(data[: len(data) // 2], SIZE)


def test_heic_without_its_library_names_the_extra() -> None:
    code = """
import sys
sys.modules["pillow_heif"] = None
from copytrace.engine.read import UndecodableError, decode
try:
    decode(b"\\0\\0\\0\\x18ftypheic" + bytes(64), 32)
except UndecodableError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEIC" in result.stdout and "copytrace[heif]" in result.stdout


def test_pixels_in_flight_are_bounded_and_no_thread_starves() -> None:
    held, most, lock, done = 0, 0, threading.Lock(), []

    def work(pixels: int) -> None:
        nonlocal held, most
        with in_flight(pixels, 100):
            with lock:
                held += pixels
                most = max(most, held)
            time.sleep(0.002)
            with lock:
                held -= pixels
        done.append(pixels)

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in [30, 70, 100, 1, 99, 60, 10, 10] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 40 and 70 < most <= 100
    with pytest.raises(ValueError), in_flight(100, 100):
        raise ValueError
    with in_flight(100, 100):
        pass  # the one before has given back what it held


_FORK = """
import os, signal, threading, time
from copytrace.engine.read.in_flight import in_flight
def hold(seconds):
    with in_flight(100, 100):
        time.sleep(seconds)
threads = [threading.Thread(target=hold, args=(seconds,)) for seconds in (0.5, 0)]  # the second waits for its turn
for thread in threads:
    thread.start()
    time.sleep(0.1)
child = os.fork()
if child == 0:
    signal.alarm(20)
    hold(0)
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1])
"""


def test_a_forked_process_waits_for_no_pixels_of_the_threads_that_stayed_behind() -> None:
    assert subprocess.run([sys.executable, "-c", _FORK]).returncode == 0


_PEAK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from copytrace.engine.read import decode
data = Path(sys.argv[1]).read_bytes()
decode(Path(sys.argv[2]).read_bytes(), 64)
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
before = peak()
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda _: decode(data, 64, pixel_limit=int(sys.argv[3])), range(6)))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize(("mode", "bytes_per_pixel"), [("L", 4), ("RGB", 12)])
def test_memory_of_huge_pictures_is_bounded_over_all_threads(tmp_path: Path, mode: str, bytes_per_pixel: float) -> None:
    """Six threads would hold 12 and 42 bytes per pixel; one picture takes 2 and 7, and malloc keeps a little."""
    width, height = 6000, 5000
    (tmp_path / "huge.png").write_bytes(encoded(Image.new(mode, (width, height), 90), "PNG", compress_level=1))
    (tmp_path / "small.png").write_bytes(encoded(picture(mode), "PNG"))
    command = [sys.executable, "-c", _PEAK, tmp_path / "huge.png", tmp_path / "small.png", str(width * height)]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 0 < peak < bytes_per_pixel * width * height


def test_a_limit_above_that_of_pillow_counts() -> None:
    bilevel = encoded(Image.new("1", (20_000, 10_000), 1), "PNG")
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with pytest.raises(UndecodableError, match="limit"):
            decode(bilevel, SIZE)
        assert (decode(bilevel, SIZE, pixel_limit=10**9) == 255).all()
        with pytest.raises(UndecodableError, match="exceed the limit of 199999999"):
            decode(bilevel, SIZE, pixel_limit=199_999_999)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def test_strips_are_the_whole_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1501, 4), np.uint8)
    for mode in ("RGB", "L", "RGBA", "P", "LA", "1"):
        image = Image.fromarray(noise).convert(mode)
        white = Image.new("RGBA", image.size, "white")
        expected = Image.alpha_composite(white, image.convert("RGBA")) if image.has_transparency_data else image
        found = decode_picture(encoded(image, "PNG"), 200).pixels
        assert (found == stretch(np.asarray(expected.convert("RGB")), 200)).all(), mode
