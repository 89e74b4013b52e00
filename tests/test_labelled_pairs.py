"""Labelled pairs: what a batch of them shows, and a fine-tune on them that begins with another run's network."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from copytrace.engine import BadImageError, CopytraceError, Engine, ResumeError, SourceError
from copytrace.engine.read import decode
from copytrace.train.data.labelled_pairs import LabelledPairs, PairBatches
from copytrace.train.models.backbones import create_backbone
from copytrace.train.run import run
from copytrace.train.settings import Settings

from conftest import PHOTOS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve references; queries of the first six of them, one of those twice, one of none, and one that is not labelled."""
    made = tmp_path / "pairs"
    for name, count in (("references", 12), ("queries", 9)):
        (made / name).mkdir(parents=True)
        for path in sorted((PHOTOS / name).glob("*.jpg"))[:count]:
            shutil.copy(path, made / name)
    references, queries = (sorted(p.stem for p in (made / name).iterdir()) for name in ("references", "queries"))
    rows = [*zip(queries[:6], references[:6], strict=True), (queries[6], references[0]), (queries[7], "")]
    write(made / "truth.csv", rows)
    return made


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("query_id", "reference_id"), *rows])


def test_a_batch_shows_pairs_as_they_are_and_pictures_without_a_copy(folder: Path) -> None:
    labelled = LabelledPairs(folder)
    assert len(labelled.pairs) == 7 and len(labelled.alone) == 6 + 1
    pixels = {
        p.stem: decode(p.read_bytes(), 32) for name in ("references", "queries") for p in (folder / name).iterdir()
    }
    with (folder / "truth.csv").open(newline="") as file:
        truth = {(row["query_id"], row["reference_id"]) for row in csv.DictReader(file)}
    unlabelled = sorted(p.stem for p in (folder / "queries").iterdir())[8]
    seen = set()
    batches = PairBatches(labelled, 32, steps=7, batch=8, seed=0)
    for step in range(7):
        shown, classes = batches[step]
        names = [next(name for name, own in pixels.items() if (own == row).all()) for row in shown.numpy()]
        assert shown.shape == (16, 32, 32, 3) and unlabelled not in names
        for place in range(16):
            for other in range(place):
                a, b = names[place], names[other]
                of = {query: reference for query, reference in truth if reference}
                alike = a == b or of.get(a, a) == of.get(b, b)
                assert (classes[place] == classes[other]) == alike
        couples = [tuple(names[i : i + 2]) for i in range(0, 16, 2)]
        assert all((b, a) in truth for a, b in couples[:6]) and not any(b == a for a, b in couples[6:])
        seen |= set(couples[:6])
    assert len(seen) == 7
    again = PairBatches(labelled, 32, 7, 8, 0)
    parts = [PairBatches(labelled, 32, 7, 8, 0, rank, 2)[3][1] for rank in range(2)]
    assert torch.equal(batches[3][0], again[3][0]) and sorted(torch.cat(parts)) == sorted(again[3][1])


def test_what_the_truth_cannot_say(folder: Path) -> None:
    queries, references = (sorted(p.stem for p in (folder / name).iterdir()) for name in ("queries", "references"))
    for rows, said in (
        ([(queries[0], references[0]), (queries[0], references[1])], "a query of two references"),
        ([(queries[0], "nothing")], "is not there"),
        ([("nothing", references[0])], "is not there"),
        ([(queries[0], "")], "no copy"),
    ):
        write(folder / "truth.csv", rows)
        with pytest.raises(SourceError, match=said):
            LabelledPairs(folder)
    (folder / "truth.csv").unlink()
    with pytest.raises(SourceError, match=r"truth\.csv"):
        LabelledPairs(folder)
    write(folder / "truth.csv", [(queries[0], references[0])])
    (folder / "queries" / f"{queries[0]}.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=queries[0]):
        PairBatches(LabelledPairs(folder), 32, 1, 2, 0)[0]


def test_two_stages_begin_with_a_checkpoint_and_end_in_a_bundle(folder: Path, tmp_path: Path) -> None:
    """Stage one is attacked photographs, stage two labelled pairs; the file of weights is needed once only."""
    backbone, _ = create_backbone("test_convnext", "none")
    torch.save({"teacher": {f"backbone.{k}": v for k, v in backbone.state_dict().items()}}, tmp_path / "w.pth")
    small = {
        "backbone": "test_convnext",
        "size": 32,
        "dimension": 8,
        "last_blocks": 4,
        "pooling": "average",
        "batch": 4,
    }
    small |= {"objective": "triplet", "memory": 16, "hold_back": 0.0, "weight_decay": 0.01, "schedule": "cosine"}
    first = Settings(**small, weights=str(tmp_path / "w.pth"), steps=3, warmup=0, learning_rate=1e-4)
    assert (
        run([folder / "references"], tmp_path / "one", first, lambda text: None)["float32_min_cosine_to_torch"] > 0.9999
    )
    (tmp_path / "w.pth").unlink()
    second = Settings(**small, initial=str(tmp_path / "one"), pairs=str(folder), steps=2, learning_rate=0.0)
    said: list[str] = []
    run([folder / "references"], tmp_path / "two", second, said.append)
    images = sorted((PHOTOS / "queries").glob("*.jpg"))[:3]
    rows = [
        Engine(tmp_path / name / "bundle", precision="float32").embed(images, output="raw") for name in ("one", "two")
    ]
    assert rows[0].shape == (3, 8)
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-5)  # a rate of 0 leaves stage one's network as it was
    assert sum(text.startswith("step ") for text in said) == 2
    shutil.copy(images[0], folder / "queries" / "more.jpg")
    with pytest.raises(ResumeError, match="labelled"):
        run([folder / "references"], tmp_path / "two", second, lambda text: None, resume=True)
    with pytest.raises(CopytraceError, match="holds no run"):
        run([folder / "references"], tmp_path / "x", Settings(initial=str(tmp_path)), lambda text: None)
