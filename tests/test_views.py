"""Images that give several labelled rows: through pipeline, journal, file and search, exactly; and what they do not go with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copytrace.engine import (
    CopytraceError,
    Engine,
    ResumeError,
    SearchError,
    StoreError,
    convert_descriptors,
    import_descriptors,
    open_descriptors,
    search,
    write_submission,
)
from copytrace.engine.search import Images, ImageSearch
from copytrace.engine.store import Journal, Slice, write_descriptors

from bundle_files import small_bundle
from conftest import PHOTOS

TURNS = ["turned 90", "turned 180", "turned 270"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(small_bundle(tmp_path_factory.mktemp("views") / "bundle"), precision="float32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, one of them grey, one with another pasted on it, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    photos = [
        Image.open(path).convert("RGB").resize((300, 240)) for path in sorted((PHOTOS / "references").glob("*"))[:5]
    ]
    for name, photo in zip("abc", photos, strict=False):
        photo.save(folder / f"{name}.png")
    photos[3].convert("L").save(folder / "grey.png")
    pasted = Image.new("RGB", (300, 240), (90, 120, 60))
    pasted.paste(photos[4].resize((140, 110)), (60, 50))
    pasted.save(folder / "pasted.png")
    (folder / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    return folder


def contents(path: Path) -> tuple[list[str], list[str] | None, np.ndarray]:
    with open_descriptors(path) as file:
        return file.ids, file.views, file.descriptors[:]


def test_rows_of_views_are_those_of_the_pictures_they_are(engine: Engine, pictures: Path, tmp_path: Path) -> None:
    summary = engine.embed_source(pictures, tmp_path / "v.h5", role="query", views="all")
    engine.embed_source(pictures, tmp_path / "plain.h5", role="query")
    ids, views, rows = contents(tmp_path / "v.h5")
    plain_ids, none, plain = contents(tmp_path / "plain.h5")
    assert none is None and views is not None
    assert (summary.images, summary.embedded, summary.rows, len(summary.failed)) == (6, 5, len(rows), 1)
    assert sorted(set(ids)) == plain_ids == ["a", "b", "c", "grey", "pasted"] and ids == sorted(ids)
    assert rows[[view == "whole" for view in views]].tobytes() == plain.tobytes()
    assert views[:4] == ["whole", *TURNS] and "region 1" in [
        v for i, v in zip(ids, views, strict=True) if i == "pasted"
    ]
    for quarters, label in enumerate(TURNS, 1):
        turned = np.ascontiguousarray(np.rot90(np.asarray(Image.open(pictures / "b.png")), quarters))
        row = rows[[(i, v) == ("b", label) for i, v in zip(ids, views, strict=True)]]
        assert row.tobytes() == engine.embed(turned, role="query").tobytes()
    with open_descriptors(tmp_path / "v.h5") as file:
        assert file.attributes["views"] == "all" and [name for name, _ in file.failed()] == ["d"]


def test_each_kind_of_views_has_its_labels_and_none_leaves_files_as_they_were(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    found: dict[Any, set[str]] = {}
    for kind in ("turns", "regions"):
        engine.embed_source(pictures, tmp_path / f"{kind}.h5", views=kind)
        found[kind] = set(contents(tmp_path / f"{kind}.h5")[1] or ())
    assert found["turns"] == {"whole", *TURNS}
    assert {"whole", "region 1"} <= found["regions"] and not found["regions"] & set(TURNS)
    engine.embed_source(pictures, tmp_path / "plain.h5")
    engine.embed_source(pictures, tmp_path / "same.h5", views="whole")
    assert (tmp_path / "plain.h5").read_bytes() == (tmp_path / "same.h5").read_bytes()
    with open_descriptors(tmp_path / "plain.h5") as file:
        assert "views" not in file.attributes and "views" not in file._file
    for wrong, error in (("both", ValueError), (None, TypeError), (True, TypeError)):
        with pytest.raises(error, match="views must be one of whole, turns, regions, all"):
            engine.embed_source(pictures, tmp_path / "x.h5", views=wrong)  # type: ignore[arg-type]


def test_interrupted_and_resumed_ends_with_the_same_file(engine: Engine, pictures: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, failed: int) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    engine.embed_source(pictures, tmp_path / "whole.h5", views="all")
    small = Engine(engine.bundle.path, precision="float32", batch=1, threads=1)
    with pytest.raises(KeyboardInterrupt):
        small.embed_source(pictures, tmp_path / "v.h5", views="all", progress=stop)
    with pytest.raises(ResumeError, match="different views"):
        small.embed_source(pictures, tmp_path / "v.h5", views="turns", resume=True)
    with pytest.raises(ResumeError, match="different views"):
        small.embed_source(pictures, tmp_path / "v.h5", resume=True)
    summary = small.embed_source(pictures, tmp_path / "v.h5", views="all", resume=True)
    assert summary.resumed_at > 0 and (tmp_path / "v.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    again = small.embed_source(pictures, tmp_path / "v.h5", views="all", resume=True)
    assert (again.resumed_at, again.embedded, again.rows) == (6, summary.embedded, summary.rows)


@pytest.mark.parametrize(
    "views", [[["whole"]], [["whole", "whole"]], [["whole", 3]], [[]], "ab", [["whole", "a"], ["whole"]], [None], 5]
)
def test_a_journal_that_no_run_writes_is_refused(tmp_path: Path, views: Any) -> None:
    journal = Journal(tmp_path / "f.h5", {}, 4, resume=False)
    journal.append(Slice([("a", None)], np.ones((2, 4), np.float32), views=views))
    journal.close()
    with pytest.raises(ResumeError, match="holds what no run writes"):
        Journal(tmp_path / "f.h5", {}, 4, resume=True)


def image_rows(seed: int, images: int, most: int, ties: bool) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, images)
    ids = [f"i{number:03d}" for number in rng.permutation(images) for _ in range(counts[number])]
    labels = [str(place) for place in np.concatenate([np.arange(ids.count(name)) for name in dict.fromkeys(ids)])]
    rows = rng.integers(-1, 2, (len(ids), 4)) if ties else np.round(64 * rng.standard_normal((len(ids), 4))) / 64
    return ids, labels, rows.astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("most", [(1, 3), (4, 1), (4, 3)])
@pytest.mark.parametrize("moved", [False, True])
def test_search_of_images_equals_brute_force(ties: bool, most: tuple[int, int], moved: bool) -> None:
    (qi, ql, q), (ri, rl, r) = image_rows(1, 17, most[0], ties), image_rows(2, 40, most[1], ties)
    offsets = np.round(8 * np.random.default_rng(3).random(len(q))) / 8 if moved else None
    plain = ((q[:, None].astype(np.float64) - r[None]) ** 2).sum(2)
    limit = float(np.quantile(plain, 0.1))

    def best(distances: np.ndarray, allowed: np.ndarray) -> list[tuple[float, str, str, int, int]]:
        pairs: dict[tuple[str, str], tuple[float, str, str, int, int]] = {}
        for i, j in zip(*np.nonzero(allowed), strict=True):
            new = (distances[i, j], qi[i], ri[j], int(i), int(j))
            pairs[qi[i], ri[j]] = min(pairs.get((qi[i], ri[j]), new), new)
        return sorted(pairs.values())

    distances = plain if offsets is None else plain + offsets[:, None]
    images = Images.of(qi, ql), Images.of(ri, rl)
    searched = ImageSearch.of(q, r, *images, offsets)

    def found(pairs: Any) -> list[tuple[float, str, str, int, int]]:
        names = [images[0].ids[i] for i in pairs.pairs.queries], [images[1].ids[i] for i in pairs.pairs.references]
        return list(zip(pairs.pairs.distances, *names, pairs.query_rows, pairs.reference_rows, strict=True))

    everything = best(distances, np.ones_like(plain, bool))
    for k in (1, 10, 100, 679, 680, 10**6):
        assert found(searched.top(k)) == everything[:k], k
    assert found(searched.within(limit**0.5)) == best(distances, plain <= (limit**0.5) ** 2)
    for k in (1, 3, 50):
        by_query = {name: [pair for pair in everything if pair[1] == name][:k] for name in qi}
        assert found(searched.nearest(k)) == sorted(pair for pairs in by_query.values() for pair in pairs)


def write(path: Path, ids: list[str], views: list[str] | None, rows: np.ndarray, **attributes: str) -> Path:
    columns = None if views is None else {"views": views}
    write_descriptors(path, [(ids, rows)], rows.shape, [], attributes, columns=columns)  # type: ignore[arg-type]
    return path


def test_a_turned_query_is_found_by_the_verbs(engine: Engine, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    Image.open(pictures / "b.png").transpose(Image.Transpose.ROTATE_90).save(tmp_path / "queries" / "q.png")
    engine.embed_source(pictures, tmp_path / "r.h5")
    run = [sys.executable, "-c", "from copytrace.engine.cli.main import main; main()"]
    words = [
        "embed",
        "queries",
        "-o",
        "q.h5",
        "--role",
        "query",
        "--views",
        "turns",
        "--precision",
        "float32",
        "--json",
    ]
    done = subprocess.run(
        [*run, *words, "--bundle", str(engine.bundle.path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["embedded"], json.loads(done.stdout)["rows"]) == (1, 4)
    found = search(tmp_path / "q.h5", tmp_path / "r.h5", k=2)
    assert len(found) == 2 and next(iter(found))[:2] == ("q", "b")
    assert found.views is not None and found.views[0] == ("turned 270", "whole")
    assert found.query_ids == ["q"] and len(set(found.references())) == 2


def test_what_views_do_not_go_with_is_refused_in_one_line(tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)
    viewed = write(tmp_path / "v.h5", ["a", "a", "b", "b"], ["whole", "x", "whole", "x"], rows)
    plain = write(tmp_path / "p.h5", ["a", "b", "c", "d"], None, rows)
    calls = [
        lambda: write_submission(viewed, plain, tmp_path / "s.h5"),
        lambda: write_submission(plain, viewed, tmp_path / "s.h5"),
        lambda: convert_descriptors(viewed, tmp_path / "v.npy"),
        lambda: convert_descriptors(viewed, tmp_path / "v.parquet"),
        lambda: import_descriptors(viewed, tmp_path / "refs.ct"),
    ]
    for call in calls:
        with pytest.raises(CopytraceError, match=r"v\.h5: holds views, several rows of an image; .*") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.h5", "v.h5"]
    twice = write(tmp_path / "twice.h5", ["a", "a", "b", "b"], ["whole", "whole", "whole", "x"], rows)
    with pytest.raises(SearchError, match=r"twice\.h5: the view 'whole' of the id 'a' occurs twice"):
        search(twice, plain)
    unlabelled = write(tmp_path / "ids.h5", ["a", "a", "b", "c"], None, rows)
    with pytest.raises((SearchError, StoreError), match="the id 'a' occurs twice"):
        search(unlabelled, plain)
