"""Sources: folders, tars, lists, single images; ids sorted and unique."""

import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from copytrace.engine.errors import DuplicateIdError, SourceError
from copytrace.engine.read import open_source

from odd_images import encoded, picture

JPEG = encoded(picture(), "JPEG")


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return folder


def test_folder_is_searched_recursively_and_sorted(tmp_path: Path) -> None:
    make(tmp_path, "z.jpg", "a/b.PNG", "a/c/d.webp", ".hidden.jpg", ".git/x.jpg", "image-without-extension")
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(tmp_path)
    assert source.ids() == ["b", "d", "image-without-extension", "z"]
    assert source.ignored == {"hidden file": 1, "hidden folder": 1, "not an image": 1} and len(source) == 4
    assert [image.read() for image in source] == [JPEG] * 4


def test_ids_by_path(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jpg", "b/x.jpg")
    assert open_source(tmp_path, ids="path").ids() == ["a/x.jpg", "b/x.jpg"]


def test_duplicate_ids_name_both_files(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jpg", "b/x.png")
    with pytest.raises(DuplicateIdError) as error:
        open_source(tmp_path)
    assert "a/x.jpg" in str(error.value) and "b/x.png" in str(error.value) and "--id path" in str(error.value)


def test_tar_members_come_sorted_and_whole(tmp_path: Path) -> None:
    make(tmp_path / "in", "b.jpg", "a.jpg", "sub/c", "readme.txt")
    (tmp_path / "in" / "a.jpg").write_bytes(JPEG + b"different")
    (tmp_path / "in" / "readme.txt").write_text("text")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("sub/c", "readme.txt", "b.jpg", "a.jpg"):
            archive.add(tmp_path / "in" / name, name)
    source = open_source(tmp_path / "x.tar")
    assert {image.id: image.read() for image in source} == {"a": JPEG + b"different", "b": JPEG, "c": JPEG}
    assert source.ids() == ["a", "b", "c"] and source.ignored == {"not an image": 1}
    assert open_source(tmp_path / "x.tar", ids="path").ids() == ["a.jpg", "b.jpg", "sub/c"]


def test_tar_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "in", "a.jpg", "b.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "in" / "a.jpg", "a.jpg")
        archive.add(tmp_path / "in" / "b.jpg", "b.jpg")
    data = (tmp_path / "x.tar").read_bytes()
    size = 512 + (len(JPEG) + 511) // 512 * 512
    (tmp_path / "x.tar").write_bytes(data[: size + 512 + 10])
    with pytest.raises(SourceError, match="cut off"):
        open_source(tmp_path / "x.tar")


def test_tar_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "a.jpg", "a.jpg")
    source = open_source(tmp_path / "x.tar")
    with (tmp_path / "x.tar").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(OSError, match="has changed since it was listed"):
        source[0].read()


def test_compressed_tar_says_what_to_do(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.jpg", "a.jpg")
    with pytest.raises(SourceError, match="decompress"):
        open_source(tmp_path / "x.tar.gz")


def test_one_image_is_a_source(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    assert open_source(tmp_path / "a.jpg").ids() == ["a"]


@pytest.mark.parametrize("kind", ["missing", "empty folder", "empty file", "binary", "no images"])
def test_sources_that_are_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "source"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "no images":
        path.mkdir()
        (path / "a.txt").write_text("text")
    elif kind == "empty file":
        path.write_bytes(b"")
    elif kind == "binary":
        path.write_bytes(bytes(range(256)))
    with pytest.raises(SourceError, match="source"):
        open_source(path)


def test_things_that_are_no_files_do_not_hang(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere")
    images = {image.id: image for image in open_source(tmp_path)}
    assert set(images) == {"a", "pipe", "broken"}
    for name in ("pipe", "broken"):
        with pytest.raises(OSError):
            images[name].read()


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(JPEG)
    source = open_source(tmp_path)
    assert source.ids() == ["\\xff"] and next(iter(source)).read() == JPEG


def test_folders_that_cannot_be_listed_are_reported(tmp_path: Path) -> None:
    """A path of more bytes than the system takes fails for every user, and is nested deeper than functions may be."""
    make(tmp_path / "in", "a.jpg")
    home = Path.cwd()
    try:
        os.chdir(tmp_path / "in")
        for _ in range(2100):
            Path("d").mkdir()
            os.chdir("d")
        Path("lost.jpg").write_bytes(JPEG)
    finally:
        os.chdir(home)
    try:
        with pytest.raises(SourceError, match="cannot be listed"):
            open_source(tmp_path / "in")
        source = open_source(tmp_path / "in", on_damage="skip")
        images = {image.id: image for image in source}
        assert len(source) == 2 and images["a"].read() == JPEG
        with pytest.raises(OSError, match="cannot be listed"):
            next(image for name, image in images.items() if name != "a").read()
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "in"], check=True)


def test_folders_without_permission_are_reported() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder), "a.jpg", "secret/b.jpg", "c.jpg")
        root.chmod(0o755)
        (root / "c.jpg").chmod(0)
        (root / "secret").chmod(0)
        command = [sys.executable, "-c", _AS_NOBODY, folder]
        result = subprocess.run(command, capture_output=True, text=True)
        (root / "secret").chmod(0o755)
    assert result.stdout.split() == ["a", "c", "secret/", "True"], result.stderr


_AS_NOBODY = """
import os, sys
from copytrace.engine.read import open_source
if os.getuid() == 0:
    os.setuid(65534)
source = open_source(sys.argv[1], on_damage="skip")
def reason(image):
    try:
        return image.read() and ""
    except OSError as error:
        return str(error)
print(*source.ids(), all("Permission denied" in reason(image) for image in source if image.id != "a"))
"""


def test_links_are_followed_to_files_and_counted_to_folders(tmp_path: Path) -> None:
    make(tmp_path / "in", "a.jpg")
    make(tmp_path, "elsewhere/b.jpg")
    (tmp_path / "in" / "b.jpg").symlink_to("../elsewhere/b.jpg")
    (tmp_path / "in" / "more").symlink_to("../elsewhere")
    (tmp_path / "in" / "round").symlink_to(".")
    (tmp_path / "in" / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "in" / "nothing").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in" / "pipe")
    source = open_source(tmp_path / "in")
    assert source.ids() == ["a", "b", "itself"]
    assert source.ignored == {"link to a folder": 2, "broken link": 1, "special file": 1}
    (tmp_path / "linked").symlink_to("in")
    assert open_source(tmp_path / "linked").ids() == ["a", "b", "itself"]


def test_files_that_vanish_or_become_something_else_are_reasons(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    source = open_source(tmp_path)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "b.jpg").mkdir()
    (tmp_path / "c.jpg").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "c.jpg"))
        for image, reason in zip(source, ("No such file", "a folder", "not a regular file"), strict=True):
            with pytest.raises(OSError, match=reason):
                image.read()


@pytest.mark.parametrize("in_tar", [False, True])
@pytest.mark.parametrize(("head", "reason"), [(b"", "not an image"), (b"%PDF-1.7", "PDF"), (b"\xff\xd8\xff", "exceed")])
def test_three_gigabytes_named_like_an_image_cost_no_memory(
    tmp_path: Path, in_tar: bool, head: bytes, reason: str
) -> None:
    size = 3 << 30
    path = tmp_path / ("x.tar" if in_tar else "x.jpg")
    with path.open("wb") as file:
        if in_tar:
            info = tarfile.TarInfo("x.jpg")
            info.size = size
            file.write(info.tobuf())
        file.write(head)
        file.truncate(size + 1536 * in_tar)
    tracemalloc.start()
    try:
        (image,) = open_source(path)
        with pytest.raises(OSError, match=reason):
            image.read()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_limit_of_bytes_is_the_callers(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with pytest.raises(OSError, match=f"{len(JPEG)} bytes exceed the limit of {len(JPEG) - 1}"):
        open_source(tmp_path, byte_limit=len(JPEG) - 1)[0].read()
    assert open_source(tmp_path, byte_limit=len(JPEG))[0].read() == JPEG


def bitfields() -> bytes:
    """A BMP of 32 bits per pixel with masks for its channels."""
    header = struct.pack("<IiiHHIIiiII", 56, 2, 2, 1, 32, 3, 16, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return b"BM" + struct.pack("<IHHI", 14 + 56 + 16, 7, 7, 14 + 56) + header + masks + bytes(range(16))


SINGLE = {
    "bigtiff": encoded(picture(), "TIFF", big_tiff=True),
    "jp2": encoded(picture(), "JPEG2000"),
    "j2c": encoded(picture(), "JPEG2000", no_jp2=True),
    "ppm": encoded(picture(), "PPM"),
    "pbm": encoded(picture("1"), "PPM"),
    "bmp": encoded(picture(), "BMP"),
    "bitfields": bitfields(),
    "webp": encoded(picture(), "WEBP"),
    "avif": encoded(picture(), "AVIF"),
}


@pytest.mark.parametrize("kind", SINGLE)
def test_single_images_are_known_by_their_bytes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "without-suffix"
    path.write_bytes(SINGLE[kind])
    (image,) = open_source(path)
    assert image.id == "without-suffix" and image.read() == SINGLE[kind]
    assert open_source(tmp_path).ids() == ["without-suffix"]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"8BPS\x00\x01", "Photoshop"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<!doctype html><html>", "HTML"),
        (b"\x00\x00\x00\x20ftypisom", "video"),
        (b"\xff\x0a", "JPEG XL"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, name: str) -> None:
    (tmp_path / "x").write_bytes(head + bytes(100))
    with pytest.raises(SourceError, match=name):
        open_source(tmp_path / "x")
    (tmp_path / "x.jpg").write_bytes(head + bytes(100))
    with pytest.raises(OSError, match=f"not an image.*{name}"):
        open_source(tmp_path / "x.jpg")[0].read()


def test_sources_and_images_pickle(tmp_path: Path) -> None:
    make(tmp_path / "in", "a.jpg", "b.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "in", "in")
    places = [tmp_path / "in", tmp_path / "x.tar", [tmp_path / "in" / "a.jpg", str(tmp_path / "in" / "b.jpg")]]
    for place in places:
        source = pickle.loads(pickle.dumps(open_source(place)))
        images = pickle.loads(pickle.dumps(list(source)))
        assert [image.id for image in images] == ["a", "b"] and [image.read() for image in images] == [JPEG] * 2
        assert source.fingerprint() == open_source(place).fingerprint()


def test_parts_are_the_whole(tmp_path: Path) -> None:
    make(tmp_path, *(f"{i}.jpg" for i in range(7)), "notes.txt.jpg", ".hidden")
    source = open_source(tmp_path)
    for n in (1, 2, 3, 8, 11):
        parts = [source.part(i, n) for i in range(n)]
        assert [name for part in parts for name in part.ids()] == source.ids()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert sum(sum(part.ignored.values()) for part in parts) == 1
    for i, n in ((-1, 2), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match="must be a whole number"):
            source.part(i, n)
    for i, n in ((True, 2), (0.0, 2), ("0", 2), (0, None)):
        with pytest.raises(TypeError, match="must be a whole number"):
            source.part(i, n)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    for arguments in ({"ids": "name"}, {"on_damage": "ignore"}):
        with pytest.raises(ValueError, match="must be"):
            open_source(tmp_path, **arguments)
    for place in (b"photos", 7, None):
        with pytest.raises(TypeError, match="a source must be a path"):
            open_source(place)
    for place in ("", "a\0b", [tmp_path / "a.jpg", "\ud800.jpg"]):
        with pytest.raises(SourceError):
            open_source(place)
    with pytest.raises(ValueError, match="'stat' or 'hash'"):
        open_source(tmp_path).fingerprint("names")
