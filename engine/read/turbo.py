"""JPEGs of one or three channels through libjpeg-turbo, with its warnings.

simplejpeg brings libjpeg-turbo's TurboJPEG interface, which hands warnings over with each picture, whatever the thread;
OpenCV and Pillow, on the same library, print them or drop them. The pixels are those of OpenCV to the last bit, and come a
tenth sooner, because they need not be turned from BGR.
"""

import cv2
import numpy as np
import simplejpeg

from .jpeg import JpegHeader, missing_scans, read_jpeg_header
from .picture import Picture, Pixels, UndecodableError, turned_upright, upright_size
from .zero_runs import zero_run

# Measured on 23 photographs of 0.4 to 1.6 megapixels, against decoding in full: at least 1 x the square, descriptors at a
# cosine of 0.983 (median) and 1.9 times as fast; 2 x, 0.9986 and 1.4 times.
_REDUCED_MARGIN = 2
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_BLOCK_ROWS = 16
_UNREAD = 128  # what libjpeg leaves where no data came
_ONLY_HERE = "Could not determine subsampling"  # said by TurboJPEG of rare but valid JPEGs that libjpeg reads


class JpegFile:
    """An encoded JPEG of one or three channels with an end marker."""

    def __init__(self, data: bytes, header: JpegHeader) -> None:
        self._data = data
        self._header = header

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return upright_size((self._header.width, self._header.height), self._header.orientation)

    def pixels_in_flight(self, least: int) -> int:
        """Pixels held while it is decoded for a side of ``least``; the coefficients of a progressive one are held in full."""
        width, height = self._reduced_size(self._factor(least))
        whole = self._header.width * self._header.height if self._header.progressive else 0
        return max(width * height, whole)

    def decode(self, least: int) -> Picture:
        """Pixels, reduced to no less than twice ``least`` on the shorter side. Raises: UndecodableError."""
        factor, header = self._factor(least), self._header
        if header.precision != 8:
            raise UndecodableError(f"a JPEG of {header.precision} bits per sample, which cannot be read")
        try:
            picture = Picture(self._strictly(factor), _unnoticed(self._data, self._header))
        except ValueError as error:
            picture = self._salvage(factor, str(error))
        return Picture(turned_upright(picture.pixels, header.orientation), picture.damage)

    def _factor(self, least: int) -> int:
        shortest = min(self._header.width, self._header.height)
        return next(factor for factor in (8, 4, 2, 1) if shortest >= _REDUCED_MARGIN * factor * least or factor == 1)

    def _reduced_size(self, factor: int) -> tuple[int, int]:
        return -(-self._header.width // factor), -(-self._header.height // factor)

    def _strictly(self, factor: int, buffer: Pixels | None = None) -> Pixels:
        """Decode at 1 / ``factor`` of the size. Raises: ValueError with libjpeg's first warning, or its error."""
        width, height = self._reduced_size(factor)
        pixels = simplejpeg.decode_jpeg(
            self._data,
            "GRAY" if self._header.channels == 1 else "RGB",
            min_width=width,
            min_height=height,
            min_factor=factor if factor > 1 else 16,  # 16: never; the smallest pictures would be reduced otherwise
            buffer=buffer,
        )
        return np.asarray(pixels[:, :, 0] if self._header.channels == 1 else pixels, np.uint8)

    def _salvage(self, factor: int, complaint: str) -> Picture:
        """What there is of a JPEG of which libjpeg complains."""
        width, height = self._reduced_size(factor)
        channels = self._header.channels
        # Rows that the decoder never reaches keep this noise, which no picture has.
        noise = np.random.default_rng(0).integers(0, 256, (1, width, channels), np.uint8)
        buffer = np.repeat(noise, height, axis=0)
        try:
            self._strictly(factor, buffer)
        except ValueError as error:
            complaint = str(error)
        written = _rows_before_tail(buffer, noise[0])
        if written == 0:
            return self._by_opencv(factor, complaint)
        buffer[written:] = _UNREAD
        real = _rows_before_tail(buffer, np.full_like(noise[0], _UNREAD))
        if (
            real < height and real <= -(-_BLOCK_ROWS // factor) + 1
        ):  # libjpeg fills up a block, and smooths one row further
            raise UndecodableError(f"corrupt JPEG: {_one_line(complaint)}; none of its rows of blocks are whole")
        damage = _one_line(complaint)
        if real < height:
            damage += f"; no more than {min(real * factor, self._header.height)} of {self._header.height} rows are real"
        return Picture(buffer[:, :, 0] if channels == 1 else buffer, damage)

    def _by_opencv(self, factor: int, complaint: str) -> Picture:
        """TurboJPEG gives up at a warning in the header and at rare ratios of chroma subsampling; OpenCV goes on."""
        try:
            pixels = cv2.imdecode(np.frombuffer(self._data, np.uint8), _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            raise UndecodableError(f"corrupt JPEG: {error.err}") from None
        if pixels is None:
            kind = f"{self._header.unusual} JPEG" if self._header.unusual else "JPEG"
            raise UndecodableError(f"corrupt {kind}: {_one_line(complaint)}")
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        return Picture(rgb, _unnoticed(self._data, self._header) if _ONLY_HERE in complaint else _one_line(complaint))


def jpeg_damage(data: bytes) -> str | None:
    """What is wrong with a JPEG that something else decodes, in one line, or None."""
    header = read_jpeg_header(data)
    if header is None:
        return None
    try:
        simplejpeg.decode_jpeg(data, "CMYK" if header.channels == 4 else "RGB", min_width=1, min_height=1)
    except ValueError as error:
        if _ONLY_HERE not in str(error):
            return _one_line(str(error))
    return _unnoticed(data, header)


def _unnoticed(data: bytes, header: JpegHeader) -> str | None:
    """Damage of which libjpeg says nothing."""
    if missing_scans(data, header):
        return "scans are missing before the end marker: less detail or colour than the picture had"
    return zero_run(data, header)


def _rows_before_tail(pixels: Pixels, tail: Pixels) -> int:
    """The number of rows before those at the end that equal ``tail``."""
    height = len(pixels)
    while height and np.array_equal(pixels[height - 1], tail):
        height -= 1
    return height


def _one_line(complaint: str) -> str:
    text = " ".join(complaint.split())
    return text[:1].lower() + text[1:] if text.startswith(("Corrupt", "Premature")) else text
