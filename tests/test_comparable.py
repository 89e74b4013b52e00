"""What may be compared: role, output and descriptor space of both files, in every verb that reads two."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import DEFAULT_BUNDLE, ComparisonError, Engine, SearchError, StoreError, search, write_submission

from bundle_files import edit, rehash

COPYTRACE = str(Path(sys.executable).parent / "copytrace")


def write(path: Path, prefix: str, **attributes: object) -> Path:
    with h5py.File(path, "w") as file:
        file["descriptors"] = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        file["ids"] = [f"{prefix}{i}" for i in range(5)]
        file.attrs.update(attributes)
    return path


def submission(queries: Path, references: Path) -> None:
    write_submission(queries, references, queries.parent / "s.h5")


VERBS: list[Callable[[Path, Path], object]] = [search, submission]
OURS = {"space": "s", "recipe": "r", "version": "1"}
Q = {**OURS, "role": "query", "output": "method1"}
R = {**OURS, "role": "reference", "output": "projected"}

REFUSED: list[tuple[dict[str, object], dict[str, object], str]] = [
    (R, Q, "swapped"),
    (Q, Q, "given as references"),
    ({}, Q, "given as references"),
    (Q, {**R, "output": "method1"}, "moved away from the bank"),
    ({}, {"output": "method2"}, "moved away from the bank"),
    ({**Q, "output": "raw"}, R, "raw"),
    ({**Q, "output": "projected"}, {**R, "output": "raw"}, "raw"),
    (Q, {**R, "space": "t"}, "different networks or projections"),
    (Q, {**R, "space": "t", "recipe": "r"}, "different networks or projections"),
    ({"bundle": "a"}, {"bundle": "b"}, "different bundles"),
    (Q, {"bundle": "other", "role": "reference", "output": "projected"}, "different bundles"),
    ({**Q, "output": "method9"}, R, "does not know"),
    (Q, {**R, "role": "gallery"}, "does not know"),
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("first", "second", "word"), REFUSED)
def test_what_is_not_comparable(
    tmp_path: Path, verb: Callable[[Path, Path], object], first: dict[str, object], second: dict[str, object], word: str
) -> None:
    q, r = write(tmp_path / "q.h5", "q", **first), write(tmp_path / "r.h5", "r", **second)
    with pytest.raises(ComparisonError, match=word) as error:
        verb(q, r)
    assert isinstance(error.value, StoreError) and isinstance(error.value, SearchError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.h5", "r.h5"]


ALLOWED: list[tuple[dict[str, object], dict[str, object]]] = [
    ({}, {}),
    (Q, {}),
    ({}, R),
    (Q, R),
    (R, R),
    (Q, {**R, "recipe": "of another precision"}),
    ({**Q, "output": "raw"}, {**R, "output": "raw"}),
    (Q, {"bundle": "r", "role": "reference", "output": "projected"}),
    ({"bundle": "r"}, R),
    ({"role": "of somebody else", "output": 5}, {"space": np.arange(3), "role": b"reference"}),
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("first", "second"), ALLOWED)
def test_what_is_comparable(
    tmp_path: Path, verb: Callable[[Path, Path], object], first: dict[str, object], second: dict[str, object]
) -> None:
    verb(write(tmp_path / "q.h5", "q", **first), write(tmp_path / "r.h5", "r", **second))


@pytest.mark.parametrize("verb", VERBS)
def test_submissions_keep_the_space_of_their_halves(tmp_path: Path, verb: Callable[[Path, Path], object]) -> None:
    write_submission(write(tmp_path / "q.h5", "q", **Q), write(tmp_path / "r.h5", "r", **R), tmp_path / "both.h5")
    verb(tmp_path / "both.h5", tmp_path / "both.h5")
    other = write(tmp_path / "other.h5", "r", **{**R, "space": "t"})
    with pytest.raises(ComparisonError, match="different networks"):
        verb(tmp_path / "both.h5", other)


def test_files_of_embed(photos: Path, tmp_path: Path) -> None:
    """Both precisions of a bundle and another beta lie in one space, another projection does not; verbs say so in one line."""
    bundle = Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))
    engine = Engine(bundle)
    engine.embed_source(photos, tmp_path / "r.h5")
    Engine(bundle, precision="float32").embed_source(photos, tmp_path / "f.h5")
    edit(bundle, {"normalisation": {**engine.bundle.manifest.normalisation.model_dump(), "cosines": 5}})
    Engine(bundle).embed_source(photos, tmp_path / "q.h5", role="query")
    for references in ("r.h5", "f.h5"):
        found = search(tmp_path / "q.h5", tmp_path / references, k=1)
        assert found.queries() and set(found.queries()) == set(found.references())
    with h5py.File(tmp_path / "r.h5") as r, h5py.File(tmp_path / "f.h5") as f, h5py.File(tmp_path / "q.h5") as q:
        assert r.attrs["space"] == f.attrs["space"] == q.attrs["space"] == engine.bundle.space
        assert r.attrs["recipe"] == f.attrs["recipe"] == engine.bundle.recipe != q.attrs["recipe"]
    data = dict(np.load(bundle / "projection.npz"))
    np.savez(bundle / "projection.npz", **{**data, "mean": data["mean"] + np.float32(0.01)})
    rehash(bundle, "projection.npz")
    Engine(bundle).embed_source(photos, tmp_path / "other.h5")
    for arguments in ("search q.h5 other.h5 -o p.csv", "submission q.h5 other.h5 -o s.h5", "search r.h5 q.h5 -o p.csv"):
        result = subprocess.run([COPYTRACE, *arguments.split(), "--json"], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        assert json.loads(result.stdout)["error"] in result.stderr
    assert not (tmp_path / "p.csv").exists() and not (tmp_path / "s.h5").exists()
