"""Embedding with decoders that take many images at a time, on the CPU; and rows on a card, by their addresses."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import CopytraceError, Engine
from copytrace.engine.decoding import DecoderName
from copytrace.engine.device import DeviceArray, on_host, stacked
from copytrace.engine.device.joined import Row, runs
from copytrace.engine.read import PixelImage
from copytrace.engine.read.batches.graph import SquaresGraph

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run
from odd_images import write_all

dali = pytest.importorskip("nvidia.dali", reason="needs DALI, which there is for Linux on x86-64")

NAMES: tuple[DecoderName, ...] = ("dali", "nvimgcodec")
IMAGES = sorted((PHOTOS / "references").glob("*.jpg"))[:24]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks that look at squares of different sizes."""
    return small_bundle(tmp_path_factory.mktemp("bundles") / "bundle", {"a": (32, 6), "b": (64, 5)})


@pytest.mark.parametrize("name", NAMES)
def test_descriptors_are_near_those_of_the_decoder_for_one(name: DecoderName) -> None:
    """Of the networks that come with the package; the last bits of pixels are what int8 networks lose as well."""
    cosines = (Engine(precision="float32").embed(IMAGES) * Engine(precision="float32", decoder=name).embed(IMAGES)).sum(
        1
    )
    assert cosines.min() > 0.999 and cosines.mean() > 0.9997


@pytest.mark.parametrize("name", NAMES)
def test_batches_threads_and_order_change_no_row(bundle: Path, name: DecoderName) -> None:
    rows = Engine(bundle, decoder=name).embed(IMAGES)
    for options in ({"batch": 1}, {"batch": 7, "threads": 3}, {"decoders": 4, "batch": 16}):
        assert (Engine(bundle, decoder=name, **options).embed(IMAGES) == rows).all()  # type: ignore[arg-type]
    assert (Engine(bundle, decoder=name).embed(IMAGES[::-1])[::-1] == rows).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_source_with_odd_and_broken_files(bundle: Path, name: DecoderName, tmp_path: Path) -> None:
    """The same images have a row, the same reasons and the same damage are listed, by the command line."""
    write_all(tmp_path / "images")
    whole = IMAGES[0].read_bytes()
    (tmp_path / "images" / "zeroed.jpg").write_bytes(whole[:3000] + bytes(1024) + whole[4024:])
    told = []
    for decoder in ("cpu", name):
        command = ("embed", tmp_path / "images", "-o", tmp_path / f"{decoder}.h5", "--bundle", bundle)
        told.append(json.loads(run(*command, "--id", "path", "--decoder", decoder, "--json").stdout))
    for key in ("images", "embedded", "failed", "damaged", "ignored"):
        assert told[0][key] == told[1][key]
    assert told[0]["failed"] and "zeroed.jpg" in {image["id"] for image in told[0]["damaged"]}


def test_a_run_goes_on_with_the_decoder_it_was_begun_with(bundle: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "f.h5"
    command = ("embed", photos, "-o", file, "--bundle", bundle)
    run(*command, "--decoder", "dali")
    first = file.read_bytes()
    run(*command, "--decoder", "dali", "--resume")
    assert file.read_bytes() == first
    assert Engine(bundle).embedder.options() == Engine(bundle, decoder="cpu").embedder.options()
    options = [Engine(bundle, decoder=name).embedder.options() for name in ("cpu", *NAMES)]
    assert len({str(one) for one in options}) == 3


def test_pixels_views_and_missing_files(bundle: Path, tmp_path: Path) -> None:
    """What the batches' decoders have no part in."""
    engine, plain = Engine(bundle, decoder="dali"), Engine(bundle)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    mixed = engine.embed_each([IMAGES[0], pixels, tmp_path / "none.jpg", IMAGES[1]])
    assert [one.row is None for one in mixed] == [False, False, True, False]
    assert (mixed[1].row == plain.embed(pixels)[0]).all()
    assert mixed[2].reason == plain.embed_each(tmp_path / "none.jpg")[0].reason
    views = [one.embedder.decode([PixelImage("p", pixels)], "turns")[0] for one in (engine, plain)]
    assert views[0].labels == views[1].labels
    for one, other in zip(views[0].all_pixels, views[1].all_pixels, strict=True):
        assert all((on_host(a) == on_host(b)).all() for a, b in zip(one, other, strict=True))


def test_it_pickles(bundle: Path) -> None:
    engine = Engine(bundle, decoder="nvimgcodec")
    copy = pickle.loads(pickle.dumps(engine))
    assert copy.embedder.options() == engine.embedder.options()
    assert (copy.embed(IMAGES[:3]) == engine.embed(IMAGES[:3])).all()


def test_what_cannot_be_had_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="decoder"):
        Engine(bundle, decoder="jpeg")  # type: ignore[arg-type]

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(
            "Critical error in pipeline:\nCUDA driver error\nCurrent pipeline object is no longer valid."
        )

    monkeypatch.setattr(dali, "Pipeline", broken)
    with pytest.raises(CopytraceError, match=r"^DALI cannot be set up: CUDA driver error$"):
        Engine(bundle, decoder="dali")
    assert Engine(bundle).embed(IMAGES[0]).shape == (1, 8)


def test_the_command_line_says_what_the_cpu_does_instead(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and none for the broken files, which the summary lists."""

    def lacking(*_: object) -> None:
        raise MemoryError("CUDA allocation failed: error")

    monkeypatch.setattr(SquaresGraph, "__call__", lacking)
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(IMAGES[0].read_bytes())
    (images / "b.jpg").write_bytes(b"nothing")
    told = run("embed", images, "-o", tmp_path / "a.h5", "--bundle", bundle, "--decoder", "dali").stderr
    assert told == "warning: DALI failed, the CPU decodes 1 images instead: CUDA allocation failed: error\n"


@pytest.mark.parametrize("name", NAMES)
def test_views_are_not_for_decoders_of_whole_pictures(bundle: Path, name: DecoderName, tmp_path: Path) -> None:
    command = ("embed", PHOTOS / "queries", "-o", tmp_path / "a.h5", "--bundle", bundle)
    failed = run(*command, "--decoder", name, "--views", "turns", "--json", code=2)
    assert f"the decoder {name} makes whole pictures only" in json.loads(failed.stdout)["error"]
    with pytest.raises(ValueError, match=f"the decoder {name} makes whole pictures only"):
        Engine(bundle, decoder=name).embed_source(PHOTOS / "queries", tmp_path / "a.h5", views="all")
    assert not list(tmp_path.iterdir())


def on_card(*addresses: int) -> list[Row]:
    """Squares of 12 bytes that are said to be on a card."""
    return [DeviceArray(address, (2, 2, 3), np.dtype(np.uint8), 0, 0, None) for address in addresses]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (on_card(120), [(0, 1)]),
        (on_card(120, 132, 144), [(0, 3)]),
        (on_card(120, 132, 200, 212, 120), [(0, 2), (2, 4), (4, 5)]),
        (
            [*on_card(120), np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8), *on_card(132)],
            [(0, 1), (1, 3), (3, 4)],
        ),
    ],
)
def test_rows_one_behind_the_other_are_found(rows: Sequence[Row], expected: list[tuple[int, int]]) -> None:
    assert runs(rows) == expected


def test_rows_one_behind_the_other_are_not_copied() -> None:
    whole = stacked(on_card(120, 132, 144))
    assert isinstance(whole, DeviceArray) and (whole.address, whole.shape) == (120, (3, 2, 2, 3))
    on_the_host = [np.full((2, 2, 3), value, np.uint8) for value in range(3)]
    assert (on_host(stacked(on_the_host)) == np.stack(on_the_host)).all()


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_card(bundle: Path, name: DecoderName, tmp_path: Path) -> None:
    """Good, broken and odd files; never tried yet."""
    engine, plain = Engine(bundle, device="cuda", decoder=name, batch=8), Engine(bundle, device="cpu")
    cosines = (engine.embed(IMAGES) * plain.embed(IMAGES)).sum(1)
    assert cosines.min() > 0.99
    write_all(tmp_path / "images")
    found, wanted = (one.embed_each(sorted((tmp_path / "images").iterdir())) for one in (engine, plain))
    assert [(one.reason, one.damaged) for one in found] == [(one.reason, one.damaged) for one in wanted]
