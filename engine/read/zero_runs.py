"""Sectors of zeros inside a JPEG's scan: the commonest damage of disks and transfers, and one that libjpeg need not notice.

Zeros decode. A Huffman code of zeros only is the first of its table, so a run of zeros stands for the first symbol of each
table over and over. Where these are "as bright as before" and "no more coefficients", that is a flat area; otherwise no
picture is like that, and the run is damage even when the data after it happen to fit again.
"""

from .jpeg import JpegHeader

_RUN = 512
_STEP = 128  # every run of _RUN zeros has at least three of them at multiples of this
_HUFFMAN_TABLES = 0xC4
_CODES = 17  # class and number of a table, then how many codes there are of each length


def zero_run(data: bytes, header: JpegHeader) -> str | None:
    """What is wrong when zeros stand in the scan of a sequential JPEG and mean no flat area."""
    if header.progressive or b"\0\0\0" not in data[header.scan :: _STEP]:
        return None
    start = data.find(bytes(_RUN), header.scan, data.rfind(b"\xff\xd9"))
    if start < 0 or all(symbol == 0 for symbol in _first_symbols(data, header)):
        return None
    length = len(data) - start - len(data[start:].lstrip(b"\0"))
    return f"{length} zero bytes at byte {start}, inside its data"


def _first_symbols(data: bytes, header: JpegHeader) -> list[int]:
    """The first symbol of each Huffman table before the first scan."""
    symbols, position = [], 2
    while position < header.scan:
        marker = data[position + 1]
        if data[position] != 0xFF or marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        table = position + 4
        while marker == _HUFFMAN_TABLES and table + _CODES < end:
            symbols.append(data[table + _CODES])
            table += _CODES + sum(data[table + 1 : table + _CODES])
        position = end
    return symbols
