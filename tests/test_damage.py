"""Damaged images: what decodes although it is not what it was, seen, listed, and left out where that is wished."""

import json
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from test_cli import run

from copytrace.engine import BadImageError, DamagedImageWarning, Engine, open_descriptors
from copytrace.engine.read import UndecodableError, decode_picture
from copytrace.engine.store import Journal, Slice

from conftest import PHOTOS
from odd_images import encoded, picture

END = b"\xff\xd9"
SIZE = 64


def photograph(size: tuple[int, int] = (600, 400)) -> Image.Image:
    """A real photograph: gradients have too few bytes to be damaged in the middle."""
    return Image.open(sorted((PHOTOS / "references").glob("*.jpg"))[0]).convert("RGB").resize(size)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 10] + END


def zeros_in_the_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(4096) + data[middle + 4096 :]


def noise_in_the_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + np.random.default_rng(0).bytes(4096) + data[middle + 4096 :]


def bytes_missing(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 1000 :]


def padded_before_the_end(data: bytes) -> bytes:
    return data[:-2] + bytes(100) + END


BREAK = [cut, zeros_in_the_middle, noise_in_the_middle, bytes_missing, padded_before_the_end]


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 2}, {"subsampling": 0, "quality": 95}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("break_it", BREAK)
def test_broken_jpegs_with_an_end_are_damaged(
    break_it: Callable[[bytes], bytes], mode: str, options: dict[str, int]
) -> None:
    whole = encoded(photograph().convert(mode), "JPEG", **options)
    assert decode_picture(whole, SIZE).damage is None
    damage = decode_picture(break_it(whole), SIZE).damage
    assert damage and "\n" not in damage


@pytest.mark.parametrize("break_it", [cut, zeros_in_the_middle, bytes_missing])
@pytest.mark.parametrize("kind", ["progressive", "cmyk"])
def test_other_jpegs_are_damaged_or_refused(break_it: Callable[[bytes], bytes], kind: str) -> None:
    image = photograph().convert("CMYK" if kind == "cmyk" else "RGB")
    whole = encoded(image, "JPEG", progressive=kind == "progressive")
    assert decode_picture(whole, SIZE).damage is None
    assert decode_picture(break_it(whole), SIZE).damage


def test_all_zeroed_sectors_of_all_photographs_are_seen() -> None:
    """libjpeg notices nothing where the data after the hole happen to fit again, as in one small JPEG of twenty."""
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:60]:
        data = encoded(Image.open(path), "JPEG", quality=90)
        middle = len(data) // 2
        hole = min(4096, len(data) - middle - 100)
        assert decode_picture(data[:middle] + bytes(hole) + data[middle + hole :], SIZE).damage, path.name


def test_flat_areas_are_not_taken_for_zeroed_sectors() -> None:
    flat = encoded(Image.new("L", (4000, 3000), 90), "JPEG", optimize=True)
    assert b"\0" * 512 in flat and decode_picture(flat, SIZE).damage is None


@pytest.mark.parametrize("size", [(600, 400), (2400, 1600)])
def test_how_many_rows_are_real(size: tuple[int, int]) -> None:
    whole = encoded(photograph(size), "JPEG", quality=90)
    found = decode_picture(cut(whole), SIZE)
    match = re.search(r"no more than (\d+) of (\d+) rows are real", found.damage or "")
    assert match and int(match[2]) == size[1] and 0.15 * size[1] < int(match[1]) < 0.5 * size[1]
    grey = np.asarray(found.pixels[int(SIZE * int(match[1]) / size[1]) + 2 :])
    assert grey.size and (grey == 128).all()


def test_without_a_single_real_row_there_is_no_picture() -> None:
    whole = encoded(photograph(), "JPEG")
    start = whole.index(b"\xff\xda")
    with pytest.raises(UndecodableError, match="none of its rows of blocks"):
        decode_picture(whole[: start + 14] + END, SIZE)


def test_missing_restart_markers_and_scans() -> None:
    restarts = encoded(photograph(), "JPEG", restart_marker_rows=1)
    assert decode_picture(re.sub(rb"\xff[\xd0-\xd7]", b"", restarts), SIZE).damage
    progressive = encoded(photograph(), "JPEG", progressive=True)
    scans = [match.start() for match in re.finditer(rb"\xff\xda", progressive)]
    for scan in scans[1:]:
        before = progressive.rfind(b"\xff\xc4", scans[0], scan)
        damage = decode_picture(progressive[: before if before > 0 else scan] + END, SIZE).damage
        assert damage and "scans are missing" in damage


def test_what_is_no_damage() -> None:
    whole = encoded(photograph(), "JPEG")
    for data in (
        whole + bytes(5000),
        whole + np.random.default_rng(0).bytes(5000),
        whole + whole,
        encoded(photograph((1, 1)), "JPEG"),
        encoded(photograph((3, 500)), "JPEG", progressive=True),
    ):
        assert decode_picture(data, SIZE).damage is None


def test_a_jpeg_without_an_end_is_truncated() -> None:
    with pytest.raises(UndecodableError, match="truncated"):
        decode_picture(cut(encoded(photograph(), "JPEG"))[:-2], SIZE)


def test_kinds_of_jpeg_that_cannot_be_read_are_named() -> None:
    whole = encoded(photograph(), "JPEG")
    frame = whole.index(b"\xff\xc0")
    with pytest.raises(UndecodableError, match="12 bits per sample"):
        decode_picture(whole[: frame + 4] + b"\x0c" + whole[frame + 5 :], SIZE)
    for marker, name in ((b"\xc3", "lossless"), (b"\xc5", "hierarchical")):
        with pytest.raises(UndecodableError, match=name):
            decode_picture(whole[: frame + 1] + marker + whole[frame + 2 :], SIZE)


def test_a_picture_is_independent_of_what_other_threads_decode() -> None:
    whole, broken = (encoded(photograph(), "JPEG"), cut(encoded(photograph(), "JPEG")))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: decode_picture(data, SIZE).damage, [whole, broken] * 40))
    assert all(damage is None for damage in found[::2]) and len(set(found[1::2])) == 1 and found[1]


def test_checksums_of_png() -> None:
    png = bytearray(encoded(photograph(), "PNG"))
    chunk = png.index(b"IDAT")
    end = chunk + 4 + int.from_bytes(png[chunk - 4 : chunk], "big")
    png[end] ^= 1
    assert "IDAT" in (decode_picture(bytes(png), SIZE).damage or "")
    png[end] ^= 1
    assert decode_picture(bytes(png), SIZE).damage is None
    assert "end" in (decode_picture(bytes(png[:-12]), SIZE).damage or "")
    text = b"tEXta\0b"  # no pixels in it, so that its checksum is none of ours
    wrong = len(text[4:]).to_bytes(4, "big") + text + (zlib.crc32(text)).to_bytes(4, "big")
    assert decode_picture(bytes(png[:-12]) + wrong + bytes(png[-12:]), SIZE).damage is None


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "jpeg"])
def test_damaged_parts_of_tiff(compression: str) -> None:
    whole = encoded(photograph(), "TIFF", compression=compression)
    assert decode_picture(whole, SIZE).damage is None
    seen = 0
    for start in range(len(whole) // 4, len(whole) * 3 // 4, len(whole) // 40):
        try:
            seen += decode_picture(whole[:start] + bytes(300) + whole[start + 300 :], SIZE).damage is not None
        except UndecodableError:
            seen += 1
    assert seen >= 18


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Six good photographs, one damaged, one truncated."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for path in sorted((PHOTOS / "references").glob("*.jpg"))[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    whole = encoded(photograph(), "JPEG")
    (folder / "damaged.jpg").write_bytes(cut(whole))
    (folder / "truncated.jpg").write_bytes(cut(whole)[:-2])
    return folder


def test_damaged_images_are_embedded_and_listed(mixed: Path, tmp_path: Path) -> None:
    summary = json.loads(run("embed", mixed, "-o", tmp_path / "a.h5", "--json").stdout)
    assert (summary["images"], summary["embedded"]) == (8, 7)
    assert [bad["id"] for bad in summary["failed"]] == ["truncated"]
    assert [bad["id"] for bad in summary["damaged"]] == ["damaged"] and "rows" in summary["damaged"][0]["reason"]
    with open_descriptors(tmp_path / "a.h5") as file:
        assert "damaged" in file.ids and file.damaged() == [("damaged", summary["damaged"][0]["reason"])]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["damaged"].dtype == file["failed"].dtype
    text = run("embed", mixed, "-o", tmp_path / "a.h5", "--resume").stdout
    assert "damaged: damaged: corrupt JPEG" in text and "7 of 8 images embedded, 1 failed, 1 damaged" in text


def test_damaged_images_can_be_left_out(mixed: Path, tmp_path: Path) -> None:
    summary = json.loads(run("embed", mixed, "-o", tmp_path / "a.h5", "--damaged", "skip", "--json").stdout)
    assert summary["embedded"] == 6 and [bad["id"] for bad in summary["damaged"]] == ["damaged"]
    assert {bad["id"] for bad in summary["failed"]} == {"damaged", "truncated"}
    with open_descriptors(tmp_path / "a.h5") as file:
        assert "damaged" not in file.ids and len(file.damaged()) == 1 and len(file.failed()) == 2
    (mixed / "truncated.jpg").unlink()
    run("embed", mixed, "-o", tmp_path / "a.h5", "--damaged", "skip", "--on-error", "fail")
    run("embed", mixed, "-o", tmp_path / "b.h5", "--damaged", "no", code=2)


def test_damage_survives_an_interruption(mixed: Path, tmp_path: Path) -> None:
    engine = Engine(threads=1, batch=1)

    def stop(done: int, total: int, failed: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.embed_source(mixed, tmp_path / "a.h5", progress=stop)
    resumed = engine.embed_source(mixed, tmp_path / "a.h5", resume=True)
    straight = engine.embed_source(mixed, tmp_path / "b.h5")
    assert resumed.resumed_at > 0 and resumed.damaged == straight.damaged and len(straight.damaged) == 1
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_journals_hold_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.h5", {"run": "x"}, 2, resume=False)
    journal.append(Slice([("a", None), ("b", "bad")], np.ones((1, 2), np.float32), [("a", "why")]))
    assert [part.damaged for part in journal.slices()] == [[("a", "why")]]
    journal.close()


def test_in_memory_damage_warns_or_is_refused(mixed: Path) -> None:
    engine = Engine(threads=1)
    with pytest.warns(DamagedImageWarning, match=r"damaged\.jpg"):
        assert engine.embed([mixed / "damaged.jpg", mixed / "damaged.jpg"]).shape == (2, 256)
    with pytest.raises(BadImageError, match="damaged, left out"):
        engine.embed([mixed / "damaged.jpg"], damaged="skip")
    for wrong in ("no", None, True):
        with pytest.raises((ValueError, TypeError), match="keep"):
            engine.embed([mixed / "damaged.jpg"], damaged=wrong)
        with pytest.raises((ValueError, TypeError), match="keep"):
            engine.embed_source(mixed, mixed / "a.h5", damaged=wrong)


def test_a_grey_picture_stays_what_it_was() -> None:
    """Grey pictures are stretched before they get their three channels."""
    grey = encoded(picture("L", (300, 200)), "PNG")
    rgb = encoded(picture("L", (300, 200)).convert("RGB"), "PNG")
    assert (decode_picture(grey, SIZE).pixels == decode_picture(rgb, SIZE).pixels).all()
