"""Bytes to pixels: every format and every oddity has one answer."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from copytrace.engine.read import UndecodableError, decode, stretch, thumbnail
from copytrace.engine.read.jpeg import read_jpeg_header

from odd_images import bad_images, encoded, good_images, picture

SIZE = 32


@pytest.mark.parametrize("name", good_images())
def test_good_images_decode(name: str) -> None:
    pixels = decode(good_images()[name], SIZE)
    assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous


@pytest.mark.parametrize("name", bad_images())
def test_bad_images_give_a_reason_in_one_line(name: str) -> None:
    data, word = bad_images()[name]
    with pytest.raises(UndecodableError) as error:
        decode(data, SIZE)
    assert word in str(error.value) and "\n" not in str(error.value) and str(error.value)


@pytest.mark.parametrize(
    "name", ["plain.bmp", "plain.tiff", "animated.webp", "plain.jpg", "plain.webp", "wrong-name.png"]
)
def test_colours_and_places_are_right(name: str) -> None:
    expected = stretch(np.asarray(picture()), SIZE).astype(int)
    assert np.abs(decode(good_images()[name], SIZE).astype(int) - expected).mean() < 6


def test_exif_orientation_turns_the_picture() -> None:
    expected = stretch(np.asarray(picture().rotate(-90, expand=True)), SIZE).astype(int)
    assert np.abs(decode(good_images()["turned.jpg"], SIZE).astype(int) - expected).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_the_same_in_all_formats(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encoded(picture(), kind, exif=exif), SIZE).astype(int)
    upright = Image.open(io.BytesIO(encoded(picture(), "PNG", exif=exif)))
    from PIL import ImageOps

    expected = stretch(np.asarray(ImageOps.exif_transpose(upright)), SIZE).astype(int)
    assert np.abs(turned - expected).mean() < 8


def test_alpha_lies_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert (decode(encoded(clear, "PNG"), 8) == 255).all()
    assert (decode(encoded(clear.convert("LA"), "PNG"), 8) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    assert (decode(encoded(palette, "PNG", transparency=0), 8) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_the_upper_eight(kind: str) -> None:
    grey = Image.fromarray(np.full((8, 8), 0xABCD, np.uint16))
    assert (decode(encoded(grey, kind), 8) == 0xAB).all()


def test_sixteen_bit_colour() -> None:
    colour = cv2.imencode(".png", np.full((8, 8, 3), (0x1234, 0x5678, 0x9ABC), np.uint16))[1].tobytes()
    assert (decode(colour, 8) == (0x9A, 0x56, 0x12)).all()


def test_animations_give_their_first_frame() -> None:
    assert decode(good_images()["animated.gif"], 8)[4, 7, 0] > 200
    assert decode(good_images()["animated.webp"], 8)[:, :, 2].mean() > 60


def test_pixel_limit_comes_from_the_header() -> None:
    jpeg = encoded(picture(size=(200, 100)), "JPEG")
    assert decode(jpeg, SIZE, pixel_limit=20_000).shape == (SIZE, SIZE, 3)
    with pytest.raises(UndecodableError, match="200 x 100 pixels exceed the limit of 19999"):
        decode(jpeg, SIZE, pixel_limit=19_999)


def test_reduced_decoding_is_close_to_full_decoding() -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (1600, 1200), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    full = stretch(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), 128).astype(int)
    assert np.abs(decode(data, 128).astype(int) - full).mean() < 1.5


def test_stretching_shrinks_one_side_and_grows_the_other() -> None:
    stripes = np.zeros((4, 4000, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(stretch(stripes, 100).astype(int) - 127.5).max() < 2  # averaged, not sampled


def test_a_jpeg_without_its_last_marker_still_counts_when_all_pixels_are_there() -> None:
    data = encoded(picture(), "JPEG")
    assert read_jpeg_header(data).complete
    assert not read_jpeg_header(data[:-2]).complete
    try:
        assert decode(data[:-2], SIZE).shape == (SIZE, SIZE, 3)
    except UndecodableError as error:
        assert "truncated" in str(error)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\xff\xd8\xff\xc0\x00\x11\x08", b"\xff\xd8\x00\x00\x00\x00"]
)
def test_jpeg_headers_that_make_no_sense(data: bytes) -> None:
    assert read_jpeg_header(data) is None


def test_thumbnail_keeps_the_shape() -> None:
    small = Image.open(io.BytesIO(thumbnail(encoded(picture(size=(900, 300)), "JPEG"))))
    assert small.size == (220, 73)
    assert thumbnail(b"nothing") is None
