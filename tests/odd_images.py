"""One file of every odd or broken kind, and what the engine has to say to it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A colour gradient, so that turning, inverting or swapping it shows."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _grey16() -> Image.Image:
    return Image.fromarray(np.asarray(picture("L")).astype(np.uint16) * 257)


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be huge and is all zeros: a decompression bomb."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def good_images() -> dict[str, bytes]:
    """File name -> bytes of images that must be embedded."""
    rgba = picture("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    palette = picture("P")
    frames = [picture(size=(60, 40)), Image.new("RGB", (60, 40), "red")]
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = encoded(picture(), "JPEG")
    return {
        "plain.jpg": jpeg,
        "upper.JPG": jpeg,
        "progressive.jpeg": encoded(picture(), "JPEG", progressive=True),
        "grey.jpg": encoded(picture("L"), "JPEG"),
        "cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
        "turned.jpg": encoded(picture(), "JPEG", exif=exif),
        "no-extension": jpeg,
        "wrong-name.png": jpeg,
        "trailing-bytes.jpg": jpeg + b"\x00" * 100,
        "plain.webp": encoded(picture(), "WEBP"),
        "plain.bmp": encoded(picture(), "BMP"),
        "plain.tiff": encoded(picture(), "TIFF"),
        "cmyk.tif": encoded(picture("CMYK"), "TIFF"),
        "alpha.png": encoded(rgba, "PNG"),
        "alpha.webp": encoded(rgba, "WEBP", lossless=True),
        "grey-alpha.png": encoded(rgba.convert("LA"), "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "palette-transparent.png": encoded(palette, "PNG", transparency=0),
        "grey16.png": encoded(_grey16(), "PNG"),
        "grey16.tif": encoded(_grey16(), "TIFF"),
        "bilevel.png": encoded(picture("1"), "PNG"),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "tiny.png": encoded(picture(size=(1, 1)), "PNG"),
        "thin.png": encoded(picture(size=(3000, 1)), "PNG"),
        "with space.jpg": jpeg,
        "ünïcödé-图.jpg": jpeg,
        'comma,quote".jpg': jpeg,
    }


def bad_images() -> dict[str, tuple[bytes, str]]:
    """File name -> bytes that must be listed as failed, and a word of the reason."""
    jpeg, png = encoded(picture(size=(400, 300)), "JPEG"), encoded(picture(size=(400, 300)), "PNG")
    return {
        "empty.jpg": (b"", "empty"),
        "empty.png": (b"", "empty"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated.png": (png[: len(png) // 2], "truncated"),
        "header-only.jpg": (jpeg[:20], "not an image"),
        "text.jpg": (b"this is not an image", "not an image"),
        "html.png": (b"<html>404</html>", "not an image"),
        "bomb.png": (_png_header(50_000, 50_000), "limit"),
        "float.tif": (encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "floating-point"),
        "noise.gif": (b"GIF89a" + bytes(range(256)), ""),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "not an image"),
        "photo.heic": (b"\x00\x00\x00\x18ftypheic" + bytes(64), "not an image"),
    }


def write_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in good_images().items():
        (folder / name).write_bytes(data)
    for name, (data, _) in bad_images().items():
        (folder / name).write_bytes(data)
