"""Bundles of several networks: each sees the picture at its own size, the raw embedding is their outputs side by side."""

import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copytrace.engine import Bundle, CopytraceError, Engine, PrecisionError, open_descriptors
from copytrace.engine.infer import open_network
from copytrace.engine.read import decode, decode_sizes, stretch
from copytrace.export.bundle import write_bundle
from copytrace.train.bundles.ensemble import learn_projection
from copytrace.train.bundles.refit import combine

from bundle_files import small_bundle, small_parts
from conftest import PHOTOS

decode_module = importlib.import_module("copytrace.engine.read.decode")  # the package has a function of this name
NETWORKS = {"wide": (64, 10), "narrow": (32, 6), "second": (64, 4)}
IMAGES = sorted((PHOTOS / "queries").glob("*.jpg"))[:5]


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle", NETWORKS)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_outputs_side_by_side_each_of_its_own_size(ensemble: Path, precision: str) -> None:
    rows = Engine(ensemble, precision=precision).embed(IMAGES, output="raw")  # type: ignore[arg-type]
    files = Bundle(ensemble).networks(precision)
    assert [(file.entry.name, file.input_size, file.dimension) for file in files] == [
        (name, *shape) for name, shape in NETWORKS.items()
    ]
    pictures = [decode_sizes(path.read_bytes(), [64, 32])[0] for path in IMAGES]
    parts = [
        open_network(file)(np.stack([picture[0 if file.input_size == 64 else 1] for picture in pictures]))
        for file in files
    ]
    np.testing.assert_array_equal(rows, np.concatenate(parts, axis=1))


def test_a_picture_is_decoded_once_as_the_largest_size_asks_for_and_stretched_to_each() -> None:
    buffer = io.BytesIO()
    Image.open(IMAGES[0]).resize((1600, 1200)).save(buffer, "JPEG")
    data = buffer.getvalue()
    (large, small), damage = decode_sizes(data, [224, 96])
    np.testing.assert_array_equal(large, decode(data, 224))
    assert damage is None and small.shape == (96, 96, 3) and (small != stretch(large, 96)).any()  # not shrunk twice
    difference = np.abs(small.astype(int) - decode(data, 96).astype(int)).mean()
    assert difference < 2  # decoded a little larger than for 96 alone


def test_members_share_one_decode(ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, opened = Engine(ensemble), []

    def counted(data: bytes, pixel_limit: int):
        opened.append(data)
        return open_picture(data, pixel_limit)

    open_picture = decode_module._open
    monkeypatch.setattr(decode_module, "_open", counted)
    rows = engine.embed(IMAGES, output="raw")
    assert rows.shape == (5, sum(length for _, length in NETWORKS.values()))
    assert sorted(opened) == sorted(path.read_bytes() for path in IMAGES)


def test_rows_do_not_depend_on_neighbours(ensemble: Path) -> None:
    rows = Engine(ensemble).embed(IMAGES, role="query")
    for batch in (1, 3, 8):
        assert (Engine(ensemble, batch=batch).embed(IMAGES, role="query") == rows).all()
    assert (np.concatenate([Engine(ensemble).embed(path, role="query") for path in IMAGES]) == rows).all()


def test_pixels_files_and_runs_agree(ensemble: Path, photos: Path, tmp_path: Path) -> None:
    engine = Engine(ensemble)
    engine.embed_source(photos, tmp_path / "r.h5")
    with open_descriptors(tmp_path / "r.h5") as file:
        rows = file.descriptors[:]
    paths = sorted(photos.iterdir())
    assert (engine.embed(paths) == rows).all()
    png = io.BytesIO()
    Image.open(paths[0]).save(png, "PNG")
    assert (engine.embed([np.asarray(Image.open(io.BytesIO(png.getvalue())))]) == engine.embed(png.getvalue())).all()


def test_precisions_are_those_that_all_have(tmp_path: Path) -> None:
    parts = small_parts(tmp_path / "parts", NETWORKS)
    parts.networks[1].files = {"float32": parts.networks[1].files["float32"]}
    write_bundle(parts, tmp_path / "bundle")
    assert Bundle(tmp_path / "bundle").precisions == ["float32"]
    with pytest.raises(PrecisionError, match="no int8 network; there is float32"):
        Engine(tmp_path / "bundle")


def test_the_order_of_networks_is_part_of_both_hashes(tmp_path: Path) -> None:
    parts = small_parts(tmp_path / "parts", {"a": (32, 6), "b": (32, 6)})
    hashes = []
    for networks in (parts.networks, parts.networks[::-1]):
        parts.networks = networks
        write_bundle(parts, tmp_path / "bundle")
        hashes.append(Bundle(tmp_path / "bundle"))
    assert hashes[0].space != hashes[1].space and hashes[0].recipe != hashes[1].recipe


def test_bundles_are_combined(tmp_path: Path) -> None:
    first = small_bundle(tmp_path / "first", {"a": (64, 10), "b": (32, 6)})
    second = small_bundle(tmp_path / "second", {"a": (48, 5)})
    combine([Bundle(first), Bundle(second)], [PHOTOS / "references"], tmp_path / "both")
    both = Bundle(tmp_path / "both")
    assert [network.name for network in both.manifest.networks] == ["a1", "b", "a2"]
    assert both.projection.components.shape == (21, 21) and both.bank.shape == (200, 21)
    rows = Engine(both.path, precision="float32").embed(IMAGES, output="raw")
    parts = [Engine(path, precision="float32").embed(IMAGES, output="raw") for path in (first, second)]
    np.testing.assert_array_equal(rows[:, :16], parts[0])
    np.testing.assert_allclose(rows[:, 16:], parts[1], rtol=0.02, atol=2)  # of a picture decoded larger
    assert Engine(both.path).embed(IMAGES, role="query").shape == (5, 21)


def test_projection_is_learnt_from_what_attacks_change() -> None:
    """Of 32 numbers 12 say which photograph it is, 20 larger ones how it was attacked: the projection keeps the former."""
    rng = np.random.default_rng(0)

    def views(count: int) -> np.ndarray:
        own = np.repeat(rng.standard_normal((count, 1, 12)), 5, axis=1) + 0.3 * rng.standard_normal((count, 5, 12))
        return np.concatenate([own, 3.0 * rng.standard_normal((count, 5, 20))], axis=2).astype(np.float32)

    def found(rows: np.ndarray) -> float:
        rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
        return float(((rows[:, 1] @ rows[:, 0].T).argmax(axis=1) == np.arange(len(rows))).mean())

    fitted, others = learn_projection(views(600), 12, steps=50, seed=0), views(300)
    projected = (others - fitted[0]) @ fitted[1].T
    assert found(others) < 0.3 and found(projected) > 0.9
    again = learn_projection(views(600)[:13], 12, steps=0, seed=0)
    assert again[1].shape == (12, 32) and (again[2] == 1).all()


def test_a_projection_needs_photographs() -> None:
    with pytest.raises(CopytraceError, match="take more"):
        learn_projection(np.ones((5, 3, 32), np.float32), 12, steps=1, seed=0)
