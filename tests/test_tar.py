"""Tars: every damage is reported beside what could be read; links, sparse members and odd names have a defined answer."""

import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copytrace.engine.errors import CopytraceError, DuplicateIdError, SourceError
from copytrace.engine.read import Source, open_source

from tars import JPEG, MEMBER, NAMES, member, signed, six, tar_of, with_size, write


def contents(source: Source) -> tuple[dict[str, bytes], dict[str, str]]:
    """What can be read, and why the rest cannot."""
    read, failed = {}, {}
    for image in source:
        try:
            read[image.id] = image.read()
        except OSError as error:
            failed[image.id] = str(error)
    return read, failed


def damaged(tmp_path: Path, data: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """The same as ``contents``, once it is sure that a strict opening refuses the tar."""
    path = write(tmp_path / "x.tar", data)
    with pytest.raises(SourceError, match=r"x\.tar"):
        open_source(path)
    return contents(open_source(path, on_damage="skip"))


@pytest.mark.parametrize("place", [0, 1, 2, 5])
@pytest.mark.parametrize("byte", [0, 99, 124, 130, 148, 156, 257, 345, 511])
def test_one_changed_byte_in_a_header_is_reported_and_the_others_are_read(
    tmp_path: Path, place: int, byte: int
) -> None:
    data = bytearray(six())
    data[place * MEMBER + byte] ^= 0x40
    read, failed = damaged(tmp_path, bytes(data))
    assert sorted(read) == [name[0] for name in NAMES if name != NAMES[place]] and set(read.values()) == {JPEG}
    assert list(failed) == [f"x.tar@{place * MEMBER}"] and "checksum" in failed[f"x.tar@{place * MEMBER}"]


@pytest.mark.parametrize("length", [1, 100, 511])
def test_cut_inside_a_header(tmp_path: Path, length: int) -> None:
    read, failed = damaged(tmp_path, six()[: 3 * MEMBER + length])
    assert sorted(read) == ["a", "b", "c"] and "cut off inside a header" in failed[f"x.tar@{3 * MEMBER}"]


def test_cut_before_a_header_or_without_the_end(tmp_path: Path) -> None:
    for count in (3, 6):
        read, failed = damaged(tmp_path, six()[: count * MEMBER])
        assert len(read) == count and "without the two empty blocks" in failed[f"x.tar@{count * MEMBER}"]
    read, failed = damaged(tmp_path, six()[: 6 * MEMBER + 512])
    assert len(read) == 6 and "one of the two empty blocks" in failed[f"x.tar@{6 * MEMBER}"]
    assert len(open_source(write(tmp_path / "x.tar", six()[: 6 * MEMBER + 1024]))) == 6


def test_cut_inside_a_member(tmp_path: Path) -> None:
    read, failed = damaged(tmp_path, six()[: 4 * MEMBER + 512 + 10])
    assert sorted(read) == ["a", "b", "c", "d"]
    assert list(failed) == ["e"] and f"10 of {len(JPEG)} bytes" in failed["e"]
    other = tar_of(member("a.jpg"), member("notes.txt", b"x" * len(JPEG)))
    read, failed = damaged(tmp_path, other[: MEMBER + 512 + 10])
    assert list(read) == ["a"] and "cut off inside the member notes.txt" in next(iter(failed.values()))


def test_headers_overwritten_with_zeros(tmp_path: Path) -> None:
    for length in (512, MEMBER):  # a lone zero block, and two that look like the end
        data = bytearray(six())
        data[2 * MEMBER : 2 * MEMBER + length] = bytes(length)
        read, failed = damaged(tmp_path, bytes(data))
        assert sorted(read) == ["a", "b", "d", "e", "f"] and list(failed) == [f"x.tar@{2 * MEMBER}"]


def test_archives_joined_together(tmp_path: Path) -> None:
    read, failed = damaged(tmp_path, tar_of(member("a.jpg")) + tar_of(member("b.jpg")))
    assert sorted(read) == ["a", "b"] and "more members follow its end" in next(iter(failed.values()))


def test_what_follows_the_end_is_undefined_and_no_damage(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.tar", six()[: 6 * MEMBER + 1024] + b"left over" * 100))
    assert len(contents(source)[0]) == 6


@pytest.mark.parametrize(
    "field",
    [
        b"\xff" * 12,
        b"\xff" + bytes(10) + b"\x01",
        b"-0000001000",
        b"\x80" + b"\xff" * 11,
        b"77777777777",
        b"0000009999",
    ],
    ids=["-1", "very negative", "minus sign", "base-256 huge", "8 GiB", "no octal number"],
)
def test_absurd_sizes(tmp_path: Path, field: bytes) -> None:
    read, failed = damaged(tmp_path, with_size(six(), 2 * MEMBER, field))
    assert {"a", "b"} <= set(read) and set(read.values()) == {JPEG} and len(failed) == 1
    if "c" not in failed:  # no size at all: the members after it can be found
        assert sorted(read) == ["a", "b", "d", "e", "f"]


def test_base_256_sizes_are_sizes(tmp_path: Path) -> None:
    field = b"\x80" + len(JPEG).to_bytes(11, "big")
    assert len(contents(open_source(write(tmp_path / "x.tar", with_size(six(), MEMBER, field))))[0]) == 6


def test_the_first_header_is_damaged_and_nothing_else_tells_it_is_a_tar(tmp_path: Path) -> None:
    data = bytearray(six())
    data[:512] = b"\x01" * 512
    assert len(contents(open_source(write(tmp_path / "x.tar", bytes(data)), on_damage="skip"))[0]) == 5
    data = bytearray(six())
    data[3] ^= 1
    assert len(contents(open_source(write(tmp_path / "no-suffix", bytes(data)), on_damage="skip"))[0]) == 5


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["plain", "ünïcödé-图", "long" * 60, "d/" * 60 + "deep"])
def test_names_in_every_format(tmp_path: Path, format: int, name: str) -> None:
    if format == tarfile.USTAR_FORMAT and len(name) > 200:
        pytest.skip("ustar has no room for it")
    data = tar_of(member(f"./{name}.jpg"), format=format)
    assert contents(open_source(write(tmp_path / "x.tar", data), ids="path"))[0] == {f"{name}.jpg": JPEG}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("byte", [0, 140, 156, 512])
def test_no_image_under_half_its_name(tmp_path: Path, format: int, byte: int) -> None:
    """The header with the long name is lost, the one after it has the name's first hundred bytes."""
    data = bytearray(tar_of(member("a.jpg"), member("long" * 30 + ".jpg"), member("z.jpg"), format=format))
    data[MEMBER + byte] ^= 0x01
    path = write(tmp_path / "x.tar", bytes(data))
    read, failed = contents(open_source(path, on_damage="skip"))
    if byte == 512 and format == tarfile.GNU_FORMAT:
        assert len(read) == 3  # a changed letter of the name itself: no format has a checksum for that
    else:
        assert sorted(read) == ["a", "z"] and f"x.tar@{MEMBER}" in failed and len(failed) == 2


def test_links_lead_to_the_members_they_name(tmp_path: Path) -> None:
    links = [
        member("d/hard.jpg", kind=tarfile.LNKTYPE, target="d/a.jpg"),
        member("d/soft.jpg", kind=tarfile.SYMTYPE, target="../e/b.jpg"),
        member("twice.jpg", kind=tarfile.SYMTYPE, target="d/hard.jpg"),
        member("unnamed", kind=tarfile.SYMTYPE, target="./d/a.jpg"),
        member("early.jpg", kind=tarfile.SYMTYPE, target="z.jpg"),
        member("text.lnk", kind=tarfile.SYMTYPE, target="notes.txt"),
        member("gone.jpg", kind=tarfile.SYMTYPE, target="../../etc/passwd"),
        member("circle.jpg", kind=tarfile.SYMTYPE, target="circle.jpg"),
        member("nowhere", kind=tarfile.SYMTYPE, target="d"),
    ]
    notes = member("notes.txt", b"\0" * 100)
    data = tar_of(member("d/a.jpg"), member("e/b.jpg"), *links, notes, member("z.jpg"))
    source = open_source(write(tmp_path / "x.tar", data))
    read, failed = contents(source)
    assert set(read) == {"a", "b", "hard", "soft", "twice", "unnamed", "early", "z"} and set(read.values()) == {JPEG}
    assert set(failed) == {"gone", "circle"} and "no file of the tar" in failed["gone"]
    assert source.ignored == {"not an image": 2, "link to no file of the tar": 1}


def test_members_that_are_no_files_are_counted(tmp_path: Path) -> None:
    special = [member("pipe.jpg", kind=tarfile.FIFOTYPE), member("disk", kind=tarfile.BLKTYPE)]
    hidden = [member("._a.jpg"), member(".cache/b.jpg")]
    data = tar_of(member("d", kind=tarfile.DIRTYPE), member("a.jpg"), *special, *hidden, member("notes.txt", b"x"))
    source = open_source(write(tmp_path / "x.tar", data))
    assert source.ids() == ["a"] and source.ignored == {"special file": 2, "hidden file": 2, "not an image": 1}


def test_zero_bytes_and_empty_archives(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "x.tar", tar_of(member("a.jpg", b""), member("b.jpg"))))
    assert contents(source)[0] == {"a": b"", "b": JPEG}
    for data in (tar_of(), b""):
        with pytest.raises(SourceError, match=r"x\.tar: "):
            open_source(write(tmp_path / "x.tar", data))


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=posix"], ["--format=posix", "--sparse-version=0.1"]])
def test_sparse_members_are_not_taken_for_their_maps(tmp_path: Path, options: list[str]) -> None:
    with (tmp_path / "hole.jpg").open("wb") as file:
        file.write(JPEG)
        for hole in range(1, 9):  # more than fit the first header of the old format
            file.seek(hole << 20)
            file.write(b"x")
    (tmp_path / "z.jpg").write_bytes(JPEG)
    command = ["tar", "-S", *options, "-cf", "x.tar", "hole.jpg", "z.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "x.tar").stat().st_size < 1 << 20
    read, failed = contents(open_source(tmp_path / "x.tar"))
    assert read == {"z": JPEG} and "sparse" in failed["hole"]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DuplicateIdError, match=f"a.jpg is there twice, at bytes 512 and {MEMBER + 512}"):
        open_source(write(tmp_path / "x.tar", tar_of(member("a.jpg"), member("a.jpg"))))


def test_tars_of_before_1988(tmp_path: Path) -> None:
    data = bytearray(six())
    for place in range(6):
        header = data[place * MEMBER : place * MEMBER + 512]
        data[place * MEMBER : place * MEMBER + 512] = signed(bytes(header[:257]) + bytes(255))
    assert len(contents(open_source(write(tmp_path / "old", bytes(data))))[0]) == 6


def pieces() -> st.SearchStrategy[bytes]:
    """Tars of odd members, in odd formats."""
    names = st.text(max_size=120).filter(lambda text: "\0" not in text) | st.sampled_from(
        ["a.jpg", "b.png", "c", "./d/e.gif"]
    )
    kinds = st.sampled_from(
        [b"0", b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"V", b"M", b"?"]
    )
    one = st.builds(
        lambda name, data, kind, target: (name, data, kind, target), names, st.binary(max_size=700), kinds, names
    )

    def build(members: list[tuple[str, bytes, bytes, str]], format: int) -> bytes:
        infos = []
        for name, data, kind, target in members:
            info, _ = member(name, data)
            info.type, info.linkname = kind, target
            infos.append(info.tobuf(format, errors="surrogatepass") + data + bytes(-len(data) % 512))
        return b"".join(infos) + bytes(1024)

    return st.builds(build, st.lists(one, max_size=6), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=pieces() | st.just(six()),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0),
)
def test_any_tar_is_read_or_refused(
    tmp_path: Path, data: bytes, changes: list[tuple[int, int]], cut: int | None
) -> None:
    """Nothing but a CopytraceError, and of six images none is lost without a word."""
    whole = data == six()
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(data)] = value
    if cut is not None:
        changed = changed[: cut % len(data)]
    path = write(tmp_path / "x.tar", bytes(changed))
    try:
        source = open_source(path, ids="path", on_damage="skip")
    except CopytraceError:
        return
    read, failed = contents(source)
    if whole and len(read) < 6:
        assert failed or sum(source.ignored.values()) or bytes(changed) == data
    assert len(read) + len(failed) == len(source)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 6 * MEMBER - 1), value=st.integers(0, 255))
def test_one_changed_byte_anywhere_loses_no_image_in_silence(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(six())
    if data[place] == value:
        return
    data[place] = value
    read, failed = contents(open_source(write(tmp_path / "x.tar", bytes(data)), on_damage="skip"))
    assert len(read) + len(failed) == 6
    if not failed:  # the data of an image, or a byte of a header that says nothing
        assert sorted(read) == list("abcdef") and sum(read[name] != JPEG for name in read) <= 1


def test_names_in_reasons_are_text_on_one_line(tmp_path: Path) -> None:
    """Reasons end in an HDF5 file and on the screen."""
    link = member("a.jpg", kind=tarfile.SYMTYPE, target="b\n\udcff.jpg")
    path = write(tmp_path / "x.tar", tar_of(link, member("n\n\udcff.txt", b"x" * 600))[: 1024 + 100])
    source = open_source(path, on_damage="skip")
    reasons = list(contents(source)[1].values())
    assert len(reasons) == 2 and not any("\n" in text for text in reasons)
    "".join(reasons).encode()
    with pytest.raises(DuplicateIdError) as error:
        open_source(write(tmp_path / "x.tar", tar_of(member("d\n/\udcff.jpg"), member("\udcff.jpg"))))
    assert "\n" not in str(error.value)
    str(error.value).encode()


@pytest.mark.parametrize("kind", [b"g", b"V", b"x", b"L", b"K", b"5", b"S", b"M", b"?"])
@pytest.mark.parametrize("size", [7 << 30, 1 << 70])
def test_headers_of_every_type_with_absurd_sizes_cost_nothing(tmp_path: Path, kind: bytes, size: int) -> None:
    header = member("odd.jpg", b"")[0]
    header.type, header.size = kind, size
    tracemalloc.start()
    try:
        source = open_source(write(tmp_path / "x.tar", header.tobuf(tarfile.GNU_FORMAT) + six()), on_damage="skip")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert kind == b"5" or contents(source)[1]


def test_what_began_in_another_volume(tmp_path: Path) -> None:
    info, data = member("a.jpg")
    info.type = b"M"
    block = info.tobuf(tarfile.GNU_FORMAT) + data.ljust(MEMBER - 512, b"\0")
    read, failed = contents(open_source(write(tmp_path / "x.tar", block + tar_of(member("b.jpg")))))
    assert list(read) == ["b"] and "another volume" in failed["a"]
