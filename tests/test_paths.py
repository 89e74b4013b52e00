"""Paths as a source: text files by many hands, standard input, pipes, and iterables."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from copytrace.engine.errors import CopytraceError, DuplicateIdError, SourceError
from copytrace.engine.read import open_source

from odd_images import encoded, picture

JPEG = encoded(picture(), "JPEG")


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG)
    return folder


def listing(folder: Path, text: str | bytes, name: str = "list.txt") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def test_list_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "photos", "b.jpg", "a b.jpg")
    path = listing(tmp_path / "photos", f"{tmp_path}/photos/b.jpg\r\n\na b.jpg\nmissing.jpg\n")
    monkeypatch.chdir("/")
    images = list(open_source(path))
    assert [image.id for image in images] == ["a b", "b", "missing"]
    assert images[0].read() == images[1].read() == JPEG
    with pytest.raises(FileNotFoundError, match=r"No such file or directory \(line 4 of .*list\.txt\)"):
        images[2].read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_of_many_hands(tmp_path: Path, encoding: str, end: str) -> None:
    make(tmp_path, "a.jpg", "b b.jpg", "ü.jpg", "d.jpg", 'e"e.jpg', "f\u2028f.jpg")
    lines = [
        "# photographs",
        "a.jpg  ",
        '"b b.jpg"',
        "\tü.jpg",
        "   ",
        "'d.jpg' ",
        '"e""e.jpg"',
        " # end",
        "f\u2028f.jpg",
    ]
    path = listing(tmp_path, end.join(lines).encode(encoding))
    source = open_source(path)
    assert source.ids() == ["a", "b b", "d", 'e"e', "f\u2028f", "ü"]
    assert [image.read() for image in source] == [JPEG] * 6


def test_a_file_with_exactly_that_name_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["#1.jpg", '"quoted.jpg"', " led.jpg", "trailed "]
    make(tmp_path, *names)
    monkeypatch.chdir(tmp_path)
    assert open_source(listing(tmp_path, "\n".join(names)), ids="path").ids() == sorted(names)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(JPEG)
    (image,) = open_source(listing(tmp_path, b"\xff.jpg\n"))
    assert image.id == "\\xff" and image.read() == JPEG


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("query_id,reference_id,score\nQ1,R1,-0.5\nQ2,R2,-0.7\n", "not a list of image paths: line 1 is 'query_id"),
        ("# copytrace\n\ncopytrace tells whether an image\nis an edited copy\n", "not a list of image paths: line 3"),
        ('["a.jpg", "b.jpg"]\n', "not a list of image paths"),
        ("gone/1.jpg\ngone/2.jpg\n", "none of the 2 files it lists is there; line 1 is 'gone/1.jpg'"),
        ("\n\n# nothing\n", "no paths in it"),
        ("", "empty"),
        ("a.jpg\0b.jpg\0", "line 1 holds NUL"),
        (b"\xff\xfea", "not a folder, a tar"),
        ("x" * 40000, "longer than any path"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file; not a source of images"),
    ],
)
def test_other_texts_are_called_that(tmp_path: Path, text: str | bytes, reason: str) -> None:
    make(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=reason) as error:
        open_source(listing(tmp_path, text))
    assert "list.txt" in str(error.value) and "\n" not in str(error.value)


def test_one_file_in_two_lines(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "d/a.jpg")
    with pytest.raises(DuplicateIdError, match=r"a\.jpg is there twice, in lines 1 and 3"):
        open_source(listing(tmp_path, f"{tmp_path}/a.jpg\n# x\n{tmp_path}/a.jpg\n"))
    with pytest.raises(
        DuplicateIdError, match=r"a.jpg \(line 1\) and .*d/a.jpg \(line 2\); rename one, or use --id path"
    ):
        open_source(listing(tmp_path, f"{tmp_path}/a.jpg\n{tmp_path}/d/a.jpg\n"))


def test_folders_in_a_list_are_reasons(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "d/b.jpg")
    images = {image.id: image for image in open_source(listing(tmp_path, "a.jpg\nd\n"))}
    with pytest.raises(OSError, match=r"a folder, not an image \(line 2 of"):
        images["d"].read()


@pytest.fixture
def standard_input(tmp_path: Path) -> Iterator[Path]:
    """A file whose contents the process has on standard input."""
    path = tmp_path / "input"
    path.write_bytes(b"")
    kept = os.dup(0)
    descriptor = os.open(path, os.O_RDONLY)
    os.dup2(descriptor, 0)
    yield path
    os.dup2(kept, 0)
    os.close(kept)
    os.close(descriptor)


def test_paths_on_standard_input(tmp_path: Path, standard_input: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    standard_input.write_text(f"{tmp_path}/b.jpg\n{tmp_path}/a.jpg\n")
    source = open_source("-")
    assert source.ids() == ["a", "b"] and source[0].read() == JPEG and source.name == "standard input"


def test_no_paths_on_standard_input(standard_input: Path) -> None:
    for data, reason in ((JPEG, "an image"), (b"", "no paths"), (b"a,b\n1,2\n", "not a list")):
        standard_input.write_bytes(data)
        os.lseek(0, 0, os.SEEK_SET)
        with pytest.raises(SourceError, match=f"standard input: {reason}|standard input: .*{reason}"):
            open_source("-")


def test_paths_through_a_named_pipe(tmp_path: Path) -> None:
    make(tmp_path, *(f"{i:04d}.jpg" for i in range(500)))
    os.mkfifo(tmp_path / "pipe")
    text = "\n".join(f"{tmp_path}/{i:04d}.jpg" for i in range(500))
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(text,))
    writer.start()
    source = open_source(tmp_path / "pipe")
    writer.join()
    assert len(source) == 500


class Series:
    """What a pandas Series is to a caller: an iterable of its values, and no path."""

    def __init__(self, values: list[object]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[object]:
        return iter(self._values)


@pytest.mark.parametrize("kind", [list, tuple, set, iter, Series])
def test_paths_in_memory(tmp_path: Path, kind: type) -> None:
    make(tmp_path, "a.jpg", "# b.jpg", "c")
    source = open_source(kind([tmp_path / "a.jpg", str(tmp_path / "# b.jpg"), str(tmp_path / "c")]))
    assert source.ids() == ["# b", "a", "c"] and [image.read() for image in source] == [JPEG] * 3


def test_a_pandas_series_of_paths(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    make(tmp_path, "a.jpg", "b.jpg")
    assert open_source(pandas.Series([str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")], [7, 9])).ids() == ["a", "b"]


def test_what_is_no_path_in_memory(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    for value in (float("nan"), None, 3, b"a.jpg", JPEG):
        with pytest.raises(TypeError, match="item 1 of the given list must be a path"):
            open_source([tmp_path / "a.jpg", value])
    for value in ("", "a\0b"):
        with pytest.raises(SourceError, match="item 1 of the given list"):
            open_source([tmp_path / "a.jpg", value])
    with pytest.raises(SourceError, match="no images found"):
        open_source([])
    with pytest.raises(SourceError, match=r"none of the 2 files is there; the first is x\.jpg"):
        open_source(["x.jpg", "y.jpg"])
    images = {image.id: image for image in open_source([tmp_path / "a.jpg", tmp_path / "gone.jpg"])}
    with pytest.raises(FileNotFoundError, match="item 1 of the given list"):
        images["gone"].read()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: ("a.jpg\n" + text).encode(errors="surrogatepass"))
)
@example(data=b"a.jpg\n\xed\xa0\x80.jpg\n")
@example(data="a.jpg\nüü".encode("utf-16"))
def test_any_file_is_a_source_or_refused(tmp_path: Path, data: bytes) -> None:
    make(tmp_path, "a.jpg")
    try:
        source = open_source(listing(tmp_path, data, "any"))
    except CopytraceError as error:
        assert "\n" not in str(error)
        return
    for image in source:
        image.id.encode()
        try:
            image.read()
        except OSError as error:
            assert str(error)
