"""References searched in parts are searched as a whole: the same pairs in the same order, ties included, for any parts."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_search import data

from copytrace.engine import ComparisonError, StoreError, merge_descriptors
from copytrace.engine.distributed.joined import JoinedFiles, parts_of
from copytrace.engine.search import Images, ImageSearch, Pairs, PartedSearch, RowSearch, Wanted, answer, id_ranks
from copytrace.engine.store import write_descriptors

KINDS = ["random", "integers", "duplicates"]
WANTED = [
    Wanted("top", 1), Wanted("top", 40), Wanted("top", 1000), Wanted("top", 10**6),
    Wanted("nearest", 1), Wanted("nearest", 6), Wanted("nearest", 500),
    Wanted("within", 0.0), Wanted("within", 1.5), Wanted("within", 1e6),
]  # fmt: skip

Rows = tuple[np.ndarray, np.ndarray]


def asking(
    q: np.ndarray, r: np.ndarray, ranks: Rows, offsets: np.ndarray | None, count: int
) -> Callable[[Wanted], Sequence[Pairs]]:
    """Searches of consecutive parts, each with the ranks of its own ids alone."""

    def ask(wanted: Wanted) -> list[Pairs]:
        answers = []
        for start, stop in pairwise(len(r) * i // count for i in range(count + 1)):
            own = np.unique(ranks[1][start:stop], return_inverse=True)[1]
            used = offsets if wanted.kind == "top" else None
            found = answer(RowSearch(q, r[start:stop], ranks[0], own, used), wanted)
            answers.append(Pairs(found.queries, found.references + start, found.distances))
        return answers

    return ask


def same(one: Pairs, other: Pairs) -> bool:
    columns = ("queries", "references", "distances")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in columns)


@pytest.mark.parametrize("offset", [None, "any", "equal distances"])
@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_find_what_the_whole_does(kind: str, parts: int, offset: str | None) -> None:
    q, r = data(kind, 40, 300, 6)
    rng = np.random.default_rng(parts)
    ranks = (rng.permutation(40), rng.permutation(300))
    offsets = None if offset is None else rng.standard_normal(40) if offset == "any" else np.full(40, 2.0**50)
    whole = RowSearch(q, r, *ranks, offsets)
    search = PartedSearch(asking(q, r, ranks, offsets, parts), *ranks, offsets)
    assert search.pairs_in_all == whole.pairs_in_all
    for wanted in WANTED:
        assert same(answer(search, wanted), answer(whole, wanted)), wanted


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_images_whose_rows_lie_in_several_parts(kind: str, parts: int) -> None:
    q, r = data(kind, 30, 200, 5)
    rng = np.random.default_rng(parts)
    images = []
    for count, sorts in ((30, 9), (200, 61)):
        names = [f"{number:02}" for number in rng.integers(0, sorts, count)]
        images.append(Images.of(names, [str(label) for label in range(count)]))
    ranks = (images[0].row_ranks, images[1].row_ranks)
    for offsets in (None, rng.standard_normal(30)):
        whole = ImageSearch.of(q, r, *images, offsets)
        search = ImageSearch(PartedSearch(asking(q, r, ranks, offsets, parts), *ranks, offsets), *images)
        for wanted in WANTED:
            one, other = answer(search, wanted), answer(whole, wanted)
            assert same(one.pairs, other.pairs), wanted
            assert (one.query_rows == other.query_rows).all() and (one.reference_rows == other.reference_rows).all()


def test_no_rows_at_all() -> None:
    q, r = np.ones((3, 4), np.float32), np.empty((0, 4), np.float32)
    ranks = (np.arange(3), np.arange(0))
    for wanted in WANTED:
        assert len(answer(PartedSearch(asking(q, r, ranks, None, 1), *ranks), wanted)) == 0


def write(path: Path, first: int, rows: np.ndarray, **attributes: str) -> Path:
    ids = [f"{number:04}" for number in range(first, first + len(rows))]
    write_descriptors(path, [(ids, rows)], rows.shape, [], {"role": "reference", **attributes})
    return path


@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_files_joined_are_cut_into_parts_that_open_alone(tmp_path: Path, count: int) -> None:
    rows = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    paths = [
        write(tmp_path / f"{i}.h5", start, rows[start:stop])
        for i, (start, stop) in enumerate([(0, 11), (11, 11), (11, 30)])
    ]
    with JoinedFiles(tmp_path, paths) as joined:
        assert joined.descriptors[:].tobytes() == rows.tobytes() and len(joined.ids) == 30 and joined.views is None
        assert joined.descriptors[9:13].tobytes() == rows[9:13].tobytes()
        parts = parts_of(joined, count)
    assert len(parts) == min(count, 30) and {part.rows for part in parts} <= {30 // len(parts), 30 // len(parts) + 1}
    for part in parts:
        with part.open() as files:
            assert (
                files.descriptors[part.start : part.stop].tobytes()
                == rows[part.first : part.first + part.rows].tobytes()
            )
            assert id_ranks(files.ids[part.start : part.stop]).tolist() == list(range(part.rows))


def test_a_part_is_refused_where_its_file_is_another_one(tmp_path: Path) -> None:
    rows = np.ones((9, 3), np.float32)
    path = write(tmp_path / "r.h5", 0, rows, space="one")
    with JoinedFiles.open(path) as joined:
        first, last = parts_of(joined, 2)
    for change in (
        lambda: write(path, 1, rows, space="one"),
        lambda: write(path, 0, rows, space="two"),
        lambda: write(path, 0, rows[:5], space="one"),
    ):
        change()
        with pytest.raises(StoreError, match="another file here than on the driver's machine"):
            last.open()
    write(path, 0, rows, space="one")
    first.open().__exit__()
    path.unlink()
    with pytest.raises(StoreError, match="no such file"):
        first.open()


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    rows = np.ones((4, 3), np.float32)
    one, other, twice = (
        write(tmp_path / "a.h5", 0, rows),
        write(tmp_path / "b.h5", 4, rows, space="x"),
        write(tmp_path / "c.h5", 3, rows),
    )
    with pytest.raises(ComparisonError, match="different space"):
        JoinedFiles(tmp_path, [one, other])
    with pytest.raises(StoreError, match="the id '0003' is in"):
        JoinedFiles(tmp_path, [one, twice])
    with pytest.raises(StoreError, match="no parts in it"):
        JoinedFiles.open(tmp_path)
    merge_descriptors([one, write(tmp_path / "d.h5", 9, rows)], tmp_path / "m.h5")
    with JoinedFiles.open(tmp_path / "m.h5") as joined:
        assert joined.descriptors.shape == (8, 3)
