"""``collection add`` keeps what stands beside images, and says what it did not take, or took from elsewhere."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from copytrace.engine import BadImageError, Collection, Engine, Gathered

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run
from tars import member, tar_of, write

BYTES = [path.read_bytes() for path in sorted((PHOTOS / "references").glob("*.jpg"))[:6]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return Engine(bundle, precision="float32")


def webdataset(path: Path, **texts: str) -> Path:
    """Images by their ids with these JSON texts beside them, "" for none."""
    members = []
    for i, (name, text) in enumerate(texts.items()):
        members += [member(f"{name}.jpg", BYTES[i]), *([member(f"{name}.json", text.encode())] if text else [])]
    return write(path, tar_of(*members))


def kept(collection: Path) -> dict[str, Any]:
    with Collection.open(collection) as opened:
        return {reference.id: reference.metadata for reference in opened.references(None, -1)}


def add(engine: Engine, source: Path, collection: Path, **options: Any) -> Gathered:
    return engine.add_source(source, collection, features=False, **options)


def test_json_of_webdataset_is_kept(engine: Engine, tmp_path: Path) -> None:
    refs = tmp_path / "refs.ct"
    tars = webdataset(tmp_path / "a.tar", a='{"n": 1}', b='{"n": NaN}', c="")
    added = add(engine, tars, refs)
    assert (added.added, added.failed, added.ignored) == (3, [], {})
    assert [(bad.id, bad.reason) for bad in added.metadata.failed] == [
        ("b", "no metadata: b.json: not JSON: NaN is no number"),
        ("c", "no metadata: no JSON beside it, as other images of its tar have"),
    ]
    assert kept(refs) == {"a": {"n": 1}, "b": {}, "c": {}}
    again = add(engine, tars, refs)
    assert (again.unchanged, len(again.metadata.failed), again.metadata.changed) == (3, 2, 0)
    mended = add(engine, webdataset(tmp_path / "a.tar", a='{"n": 1}', b='{"n": 2}', c='{"n": 3}'), refs)
    assert (mended.unchanged, mended.metadata.failed, mended.metadata.changed) == (3, [], 2)
    assert kept(refs) == {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}}
    with pytest.raises(BadImageError, match=r"^x: no metadata: x\.json: its JSON is no object$"):
        add(engine, webdataset(tmp_path / "b.tar", w="{}", x="[]"), refs, on_error="fail")
    assert set(kept(refs)) == {"a", "b", "c", "w"}
    add(engine, tmp_path / "b.tar", refs)
    with pytest.raises(BadImageError, match=r"^x: no metadata"):  # of one that is there, too
        add(engine, tmp_path / "b.tar", refs, on_error="fail")
    with pytest.raises(TypeError, match="source_metadata"):
        add(engine, tars, refs, source_metadata="no")


def test_what_a_collection_has_is_not_lost(engine: Engine, tmp_path: Path) -> None:
    refs = tmp_path / "refs.ct"
    tars = webdataset(tmp_path / "a.tar", a='{"n": 1}', b='{"n": 2}', c='{"n": 3}')
    plain = add(engine, tars, refs, source_metadata=False)
    assert kept(refs) == {"a": {}, "b": {}, "c": {}} and plain.ignored == {"JSON beside an image": 3}
    with Collection.open(refs, write=True) as opened:
        opened.set_metadata({"a": {"bank": "mine"}})
    first = add(engine, tars, refs)
    assert (first.unchanged, first.metadata.changed, first.metadata.kept) == (3, 2, 1)
    assert kept(refs) == {"a": {"bank": "mine"}, "b": {"n": 2}, "c": {"n": 3}}
    given = add(engine, tars, refs, metadata={"b": {"n": 9, "m": 1}, "c": {"m": 1}, "z": {}})
    assert (given.metadata.changed, given.metadata.kept, given.metadata.overridden) == (2, 1, 1)
    assert kept(refs) == {"a": {"bank": "mine"}, "b": {"n": 9, "m": 1}, "c": {"n": 3, "m": 1}}
    assert given.unused_metadata == ["z"]
    replaced = add(engine, tars, refs, replace=True)
    assert (replaced.metadata.changed, replaced.metadata.kept, replaced.unchanged) == (3, 0, 3)
    assert kept(refs) == {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}}
    other = write(
        tmp_path / "a.tar",
        tar_of(member("a.jpg", BYTES[4]), member("a.json", b"[]"), member("b.jpg"), member("b.json", b"{}")),
    )
    bytes_too = add(engine, other, refs, replace=True)
    assert (bytes_too.replaced, len(bytes_too.metadata.failed)) == (2, 1)
    assert kept(refs) == {"a": {"n": 1}, "b": {}, "c": {"n": 3}}  # what cannot be read takes no place


def test_columns_of_parquet_are_kept_and_the_verb_says_so(bundle: Path, tmp_path: Path) -> None:
    refs, file = tmp_path / "refs.ct", tmp_path / "x.parquet"
    columns = {"image": BYTES[:3], "id": ["a", "b", "c"], "text": ["x", "y", "z"], "score": [1.0, float("nan"), 2.0]}
    pq.write_table(pa.table(columns), file)
    (tmp_path / "m.csv").write_text("id,text,owner\na,w,me\n")
    common = ("collection", "add", refs, file, "--bundle", bundle, "--precision", "float32", "--no-features")
    result = json.loads(run(*common, "--metadata", tmp_path / "m.csv", "--json").stdout)
    assert result["metadata"] == {
        "failed": [{"id": "b", "reason": "no metadata: the column 'score' in row 1 of x.parquet: NaN is no number"}],
        "overridden": 1,
        "changed": 0,
        "kept": 0,
    }
    assert kept(refs) == {"a": {"text": "w", "score": 1.0, "owner": "me"}, "b": {}, "c": {"text": "z", "score": 2.0}}
    text = run(*common).stdout
    assert "b: no metadata: the column 'score'" in text and "\n1 without the metadata of their source\n" in text
    assert "\n1 there already, with other metadata than their source has, which --replace takes\n" in text
    assert run(*common, "--no-source-metadata").stdout.count("metadata") == 0
    assert "--source-metadata" in run("collection", "add", "--help").stdout
