"""Sources: folders, tars, lists, single images; ids sorted and unique."""

import os
import tarfile
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
    assert source.ignored == 2 and len(source) == 4
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
    assert source.ids() == ["a", "b", "c"] and source.ignored == 1
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
    with pytest.raises(OSError, match="ends inside"):
        source[0].read()


def test_compressed_tar_says_what_to_do(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.jpg", "a.jpg")
    with pytest.raises(SourceError, match="decompress"):
        open_source(tmp_path / "x.tar.gz")


def test_list_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "photos", "b.jpg", "a b.jpg")
    listing = tmp_path / "photos" / "list.txt"
    listing.write_text(f"{tmp_path}/photos/b.jpg\r\n\na b.jpg\nmissing.jpg\n")
    monkeypatch.chdir("/")
    images = list(open_source(listing))
    assert [image.id for image in images] == ["a b", "b", "missing"]
    assert images[0].read() == images[1].read() == JPEG
    with pytest.raises(FileNotFoundError):
        images[2].read()


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


def test_fingerprint_follows_names(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    first = open_source(tmp_path).fingerprint()
    assert open_source(tmp_path).fingerprint() == first
    make(tmp_path, "b.jpg")
    assert open_source(tmp_path).fingerprint() != first
