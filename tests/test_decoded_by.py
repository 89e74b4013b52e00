"""Files and collections say who decoded their pixels where that was not the CPU alone, and mixtures are said."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import (
    Collection,
    Engine,
    export_descriptors,
    import_descriptors,
    merge_descriptors,
    open_descriptors,
    search,
)
from copytrace.engine.store import write_descriptors

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run

IMAGES = sorted((PHOTOS / "references").glob("*.jpg"))[:4]
MADE = {"space": "s", "recipe": "r", "role": "reference", "output": "projected"}
SAID = "pixels were decoded by cpu and by dali, which differ by fractions of a grey level"


def file_by(path: Path, decoder: str, ids: list[str]) -> Path:
    rows = np.random.default_rng(len(ids)).normal(size=(len(ids), 8)).astype(np.float32)
    made = MADE if decoder == "cpu" else MADE | {"decoder": decoder}
    write_descriptors(path, [(ids, rows)], rows.shape, [], made)
    return path


def test_a_file_says_who_decoded_its_pixels(tmp_path: Path) -> None:
    pytest.importorskip("nvidia.dali", reason="needs DALI, which there is for Linux on x86-64")
    bundle = small_bundle(tmp_path / "bundle")
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in IMAGES))
    command = ("embed", tmp_path / "list.txt", "-o", tmp_path / "f.h5", "--bundle", bundle)
    for options, decoder in (((), None), (("--decoder", "dali"), "dali"), (("--views", "turns"), None)):
        told = json.loads(run(*command, *options, "--json").stdout)
        with open_descriptors(tmp_path / "f.h5") as file:
            assert (file.attributes.get("decoder"), told["decoder"]) == (decoder, decoder or "cpu")
    assert "JPEGs decoded by dali\n" in run(*command, "--decoder", "dali").stdout
    Engine(bundle, decoder="dali").add_source(tmp_path / "list.txt", tmp_path / "refs.ct", features=False)
    with Collection.open(tmp_path / "refs.ct") as collection:  # references are decoded one by one
        assert "decoders" not in collection.properties and "decoder" not in collection.attributes


def test_files_that_are_merged_or_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cpu, dali = file_by(tmp_path / "a.h5", "cpu", ["a", "b"]), file_by(tmp_path / "b.h5", "dali", ["c", "d", "e"])
    for files, decoder in (((cpu, dali), "cpu, dali"), ((cpu, file_by(tmp_path / "c.h5", "cpu", ["f"])), None)):
        caplog.clear()
        merge_descriptors(files, tmp_path / "m.h5")
        with open_descriptors(tmp_path / "m.h5") as file:
            assert file.attributes.get("decoder") == decoder
        assert (SAID in caplog.text) == (decoder is not None)
        merge_descriptors((tmp_path / "m.h5", file_by(tmp_path / "d.h5", "cpu", ["g"])), tmp_path / "n.h5")
        with open_descriptors(tmp_path / "n.h5") as file:
            assert file.attributes.get("decoder") == decoder
        caplog.clear()
        search(*files)
        assert (SAID in caplog.text) == (decoder is not None)
    caplog.clear()
    search(np.ones((2, 8), np.float32), dali)  # of an array nothing is known
    assert not caplog.text
    assert f"warning: {cpu} and {dali}: {SAID}\n" in run("search", cpu, dali, "-o", tmp_path / "p.csv").stderr


def test_collections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cpu, dali = file_by(tmp_path / "a.h5", "cpu", ["a", "b"]), file_by(tmp_path / "b.h5", "dali", ["c", "d", "e"])
    import_descriptors(cpu, tmp_path / "old.ct")
    with Collection.open(tmp_path / "old.ct") as collection:
        assert "decoders" not in collection.properties
    import_descriptors(dali, tmp_path / "new.ct")
    assert not caplog.text
    text = run("collection", "list", tmp_path / "new.ct").stdout
    assert text.endswith(f"3 references, pixels decoded by dali: {tmp_path / 'new.ct'}\n")
    for name, other in (("old", dali), ("new", cpu)):
        caplog.clear()
        import_descriptors(other, tmp_path / f"{name}.ct")
        assert caplog.text.count(SAID) == 1
        import_descriptors(other, tmp_path / f"{name}.ct")
        assert caplog.text.count(SAID) == 1  # nothing was added
        listed = json.loads(run("collection", "list", tmp_path / f"{name}.ct", "--json").stdout)
        assert listed["properties"]["decoders"] == ["cpu", "dali"]
        with Collection.open(tmp_path / f"{name}.ct") as collection:
            export_descriptors(collection, tmp_path / "e.h5")
            caplog.clear()
            search(dali, collection)
            assert SAID in caplog.text
        with h5py.File(tmp_path / "e.h5") as file:
            assert file.attrs["decoder"] == "cpu, dali"


def test_what_is_added_to_rows_of_a_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(small_bundle(tmp_path / "bundle"), precision="float32")
    engine.embed_source(IMAGES[:2], tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["decoder"] = "nvimgcodec"
    import_descriptors(tmp_path / "a.h5", tmp_path / "refs.ct")
    engine.add_source(IMAGES[2:], tmp_path / "refs.ct", features=False)
    assert "decoded by cpu and by nvimgcodec" in caplog.text
    with Collection.open(tmp_path / "refs.ct") as collection:
        assert collection.properties["decoders"] == ["cpu", "nvimgcodec"]
