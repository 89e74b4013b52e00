"""The verb ``train`` as a user meets it: whole runs, killed and resumed, several processes, wrong input."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Bundle, Engine, ResumeError, StoreError, open_descriptors
from copytrace.train.loop.checkpoint import load_checkpoint, save_checkpoint
from copytrace.train.loop.trained import trained_network
from copytrace.train.models.network import Head
from copytrace.train.models.projection import fit_pca

from conftest import PHOTOS
from in_process import run

RUN = [sys.executable, "-c", "from copytrace.engine.cli import main; main()", "train"]
QUICK = [
    "--frozen",
    "--size",
    "64",
    "--dimension",
    "32",
    "--views",
    "5",
    "--batch",
    "16",
    "--checkpoint-every",
    "10",
    "--seed",
    "1",
]


def curve(folder: Path) -> list[list[str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("training") / "run"
    options = ["--steps", "60", "--drip-start", "40", "--drip-threshold", "9", "--learning-rate", "0.01", "--json"]
    command = [*RUN, str(PHOTOS / "references"), "-o", str(folder), *QUICK, *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["bundle"] == str(folder / "bundle")
    return folder


def test_training_lowers_the_loss_and_makes_a_bundle(trained: Path) -> None:
    rows = curve(trained)
    assert rows[0] == ["step", "loss", "learning_rate", "classes", "size", "micro_ap"] and len(rows) == 61
    losses = [float(row[1]) for row in rows[1:] if row[3] == rows[1][3]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert float(rows[-1][5]) > 0.2
    assert any((trained / "tensorboard").iterdir())
    engine = Engine(trained / "bundle")
    images = sorted((PHOTOS / "queries").glob("*.jpg"))[:4]
    assert engine.embed(images, role="query").shape == (4, 32)
    manifest = json.loads((trained / "bundle" / "manifest.json").read_text())
    assert manifest["quality"]["float32_min_cosine_to_torch"] >= 0.9999
    assert manifest["normalisation"]["method"] in (1, 2) and manifest["quality"]["validation"]


def test_the_drip_step_is_no_jump(trained: Path) -> None:
    """Twice the classes are more to confuse a picture with; the paper's method lets the loss on old classes start low all the
    same.
    """
    with (trained / "drip.csv").open(newline="") as file:
        steps = list(csv.DictReader(file))
    assert steps and int(steps[0]["old_classes"]) == 40 and int(steps[0]["new_classes"]) == 80
    untrained = float(curve(trained)[1][1])
    for step in steps:
        assert float(step["loss_after"]) < 0.8 * untrained


def test_a_killed_run_goes_on_with_the_same_curve(trained: Path, tmp_path: Path) -> None:
    options = ["--steps", "60", "--drip-start", "40", "--drip-threshold", "9", "--learning-rate", "0.01"]
    command = [*RUN, str(PHOTOS / "references"), "-o", str(tmp_path / "run"), *QUICK, *options]
    for step in (12, 34):
        process = subprocess.Popen([*command, "--resume"], stderr=subprocess.DEVNULL)
        log = tmp_path / "run" / "log.csv"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (tmp_path / "run" / "checkpoint.pt").exists() and len(log.read_text().splitlines()) > step:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert curve(tmp_path / "run") == curve(trained)
    bundles = [{p.name: p.read_bytes() for p in (f / "bundle").iterdir()} for f in (trained, tmp_path / "run")]
    assert bundles[0] == bundles[1] and {"float32.onnx", "int8.onnx"} < set(bundles[0])


def copytrace(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *map(str, words)], capture_output=True, text=True)


def test_parts_of_a_bundle_are_fitted_anew(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "bundle", tmp_path / "b")
    old = Bundle(tmp_path / "b")
    result = copytrace(
        "fit-projection", tmp_path / "b", PHOTOS / "references", "--dimension", "16", "--bank-rows", "150"
    )
    assert result.returncode == 0, result.stderr
    fitted = Bundle(tmp_path / "b")
    assert fitted.projection.components.shape == (16, 32) and fitted.bank.shape == (150, 16)
    raw = Engine(tmp_path / "b", precision="float32").embed_source(
        PHOTOS / "references", tmp_path / "raw.h5", output="raw"
    )
    assert raw.embedded == 200
    with open_descriptors(tmp_path / "raw.h5") as file:
        expected = fit_pca(file.descriptors[:], 16)
    np.testing.assert_allclose(fitted.projection.eigenvalues, expected[2], rtol=1e-3)

    result = copytrace("fit-bank", tmp_path / "b", PHOTOS / "queries", "--rows", "90")
    assert result.returncode == 0, result.stderr
    assert len(Bundle(tmp_path / "b").bank) == 90
    assert (Bundle(tmp_path / "b").projection.mean == fitted.projection.mean).all()

    (tmp_path / "pair").mkdir()
    for name in ("references", "queries", "truth.csv"):
        (tmp_path / "pair" / name).symlink_to(PHOTOS / name)
    result = copytrace("tune", tmp_path / "b", tmp_path / "pair", "--json")
    assert result.returncode == 0, result.stderr
    tried = json.loads(result.stdout)["quality"]["validation"]
    how = Bundle(tmp_path / "b").normalisation()
    assert tried[f"method {how.method}, beta {how.beta:g}, {how.cosines} cosines"] == max(
        value for key, value in tried.items() if key.startswith("method")
    )
    scores = Bundle(tmp_path / "b").manifest.score_normalisation
    normalised = [key for key in tried if key.startswith("scores")]
    assert normalised == ([f"scores, alpha {scores.alpha:g}, n {scores.n}"] if scores else [])
    assert old.networks("float32")[0].path.name == "float32.onnx"


def test_runs_are_combined(trained: Path, tmp_path: Path) -> None:
    photos, image = PHOTOS / "references", [PHOTOS / "queries" / "Q00000.jpg"]
    larger = ["--frozen", "--size", "96", "--dimension", "16", "--views", "2", "--start", "whitening", "--steps", "0"]
    assert copytrace(photos, "-o", tmp_path / "larger", *larger, "--objective", "infonce").returncode == 0
    result = copytrace("combine", trained, tmp_path / "larger", "--photos", photos, "-o", tmp_path / "both")
    assert result.returncode == 0, result.stderr
    both = Engine(tmp_path / "both", precision="float32").embed(image, output="raw")
    alone = Engine(tmp_path / "larger" / "bundle", precision="float32").embed(image, output="raw")
    assert both.shape == (1, 48) and Engine(tmp_path / "both").dimension == 48
    np.testing.assert_array_equal(both[:, 32:], alone)
    small = Engine(trained / "bundle", precision="float32").embed(image, output="raw")
    assert float((both[:, :32] * small).sum()) > 0.999  # decoded larger than alone, perhaps
    networks = Bundle(tmp_path / "both").manifest.networks
    assert [(network.name, network.input_size) for network in networks] == [("descriptor1", 64), ("descriptor2", 96)]


def test_a_checkpoint_is_exported_again(trained: Path, tmp_path: Path) -> None:
    """With what the run was trained with its own bundle, byte for byte; and other precisions of the trained network."""
    again, half = tmp_path / "again", tmp_path / "half"
    words = ("export", trained, "-o", again, "--photos", PHOTOS / "references", "--precision", "int8")
    subprocess.run([*RUN[:-1], *map(str, words)], check=True)  # what other tests set in this process moves last bits
    bundles = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in (trained / "bundle", again)]
    assert bundles[0] == bundles[1]
    few = tmp_path / "few"
    for name in ("references", "queries"):
        (few / name).mkdir(parents=True)
        shutil.copy(PHOTOS / "references" / "R0000.jpg", few / name)
    (few / "truth.csv").write_text("R0000,R0000\n")
    words = ("--photos", PHOTOS / "references", "--precision", "fp16", "--validation", few)
    run("export", trained / "checkpoint.pt", "-o", half, *words)
    assert Bundle(half).precisions == ["float32", "fp16"]
    result = json.loads(run("export", "verify", half, "--checkpoint", trained, "--truth", few, "--json").stdout)
    rows = {row["precision"]: row for row in result["compared"]}
    assert set(rows) == {"float32", "fp16"} and {row["to"] for row in rows.values()} == {"torch float32"}
    assert all(row["parity"]["minimum"] >= 0.9999 for row in rows.values()) and result["micro_ap"]["fp16"] == 1.0


def test_checkpoints_that_cannot_be_exported_end_in_one_line(trained: Path, tmp_path: Path) -> None:
    def changed(name: str, settings: dict[str, object], checkpoint: bytes | None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        told = json.loads((trained / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(told | {"settings": told["settings"] | settings}))
        if checkpoint is not None:
            (folder / "checkpoint.pt").write_bytes(checkpoint)
        return folder

    whole = (trained / "checkpoint.pt").read_bytes()
    cases = (
        (changed("none", {}, None), "has no checkpoint yet"),
        (changed("cut", {}, whole[: len(whole) // 2]), "not a checkpoint"),
        (changed("other", {"dimension": 16}, whole), "no checkpoint of the network that run.json tells of"),
        (changed("unknown", {"heads": 2}, whole), "holds no run"),
    )
    for folder, expected in cases:
        for words in (
            ("export", folder, "-o", tmp_path / "o", "--photos", PHOTOS / "references"),
            ("export", "verify", trained / "bundle", "--checkpoint", folder),
        ):
            assert expected in json.loads(run(*words, "--json", code=1).stdout)["error"]
    wrong = run("export", "verify", "--checkpoint", trained, "--json", code=1)
    assert "2 descriptor networks; 1 checkpoints" in json.loads(wrong.stdout)["error"]
    assert not (tmp_path / "o").exists()


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    options = [
        "--whole",
        "--backbone",
        "convnext_atto",
        "--weights",
        "none",
        "--size",
        "64",
        "--dimension",
        "16",
        "--batch",
        "8",
    ]
    options += ["--objective", "infonce", "--steps", "3", "--warmup", "0", "--hold-back", "0", "--not-whitened"]
    assert copytrace(PHOTOS / "references", "-o", tmp_path / "one", *options).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*torchrun, *RUN, str(PHOTOS / "references"), "-o", str(tmp_path / "two"), *options]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    one, two = ([float(row[1]) for row in curve(tmp_path / name)[1:]] for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-3)
    assert Engine(tmp_path / "two" / "bundle").dimension == 16


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
@pytest.mark.parametrize("objective", ["arcface", "infonce"])
def test_whole_networks_train_on_a_gpu(tmp_path: Path, amp: str, objective: str) -> None:
    options = [
        "--whole",
        "--size",
        "64",
        "--dimension",
        "32",
        "--batch",
        "32",
        "--steps",
        "30",
        "--warmup",
        "0",
        "--amp",
        amp,
    ]
    result = copytrace(PHOTOS / "references", "-o", tmp_path / "run", *options, "--objective", objective)
    assert result.returncode == 0, result.stderr
    losses = [float(row[1]) for row in curve(tmp_path / "run")[1:]]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert Engine(tmp_path / "run" / "bundle").dimension == 32


def test_a_whole_network_trains_and_grows(tmp_path: Path) -> None:
    options = [
        "--whole",
        "--taps",
        "",
        "--size",
        "64",
        "--first-size",
        "32",
        "--dimension",
        "16",
        "--batch",
        "8",
        "--steps",
        "6",
    ]
    options += [
        "--drip-start",
        "20",
        "--drip-threshold",
        "99",
        "--hold-back",
        "0",
        "--workers",
        "1",
        "--schedule",
        "plateau",
    ]
    result = copytrace(PHOTOS / "references", "-o", tmp_path / "run", *options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "batch.png").exists()
    sizes = [int(row[4]) for row in curve(tmp_path / "run")[1:]]
    assert sizes[0] == 32 and sizes[-1] == 64
    p = trained_network(tmp_path / "run")[0].trunk.pools[0].p
    assert p.requires_grad and p.item() != 3.0


def test_a_full_disk_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: Full())
    with pytest.raises(StoreError, match=r"checkpoint\.pt: cannot be written: No space left"):
        save_checkpoint(tmp_path / "checkpoint.pt", 3, {"head": Head(400, 400)})
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    (tmp_path / "checkpoint.pt").write_bytes(b"not one")
    with pytest.raises(ResumeError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_wrong_input_ends_in_one_line(trained: Path, tmp_path: Path) -> None:
    photos = PHOTOS / "references"
    cases = (
        ([tmp_path / "none", "-o", tmp_path / "r"], "no such file"),
        ([photos, "-o", trained, *QUICK], "--resume"),
        ([photos, "-o", trained, *QUICK, "--resume", "--steps", "61"], "steps"),
        ([PHOTOS / "queries", "-o", trained, *QUICK, "--resume", "--steps", "60"], "photographs"),
        ([photos, "-o", tmp_path / "r", "--backbone", "nothing", "--steps", "1"], "nothing"),
        ([photos, "-o", tmp_path / "s", "--taps", "blocks.99", "--steps", "1"], "blocks.99"),
        ([photos, "-o", tmp_path / "t", "--frozen", "--features", trained / "features", "--size", "96"], "size"),
        ([photos, "-o", tmp_path / "w", "--dimension", "0", "--steps", "0"], "256 photographs"),
        ([photos, "-o", tmp_path / "x", "--whitened"], "256 photographs"),
        ([photos, "-o", tmp_path / "y", "--dimension", "0"], "--steps 0"),
        (["combine", tmp_path, "--photos", photos, "-o", tmp_path / "u"], "not a bundle"),
        (["combine", trained / "..", "--photos", photos, "-o", tmp_path / "u"], "not a bundle"),
    )
    for words, expected in cases:
        result = copytrace(*words)
        lines = [line for line in result.stderr.splitlines() if line]
        assert result.returncode == 1 and expected in lines[-1] and lines[-1].startswith("error: "), result.stderr
        assert "Traceback" not in result.stderr
    assert copytrace(photos, "-o", tmp_path / "v", "--objective", "magic").returncode == 2


def test_a_run_begins_with_the_network_of_another(tmp_path: Path) -> None:
    small = [
        "--whole",
        "--objective",
        "infonce",
        "--size",
        "32",
        "--dimension",
        "8",
        "--batch",
        "8",
        "--hold-back",
        "0",
    ]
    photos = PHOTOS / "references"
    first = copytrace(photos, "-o", tmp_path / "a", *small, "--steps", "2", "--folded")
    assert first.returncode == 0, first.stderr
    words = [
        "--initial",
        tmp_path / "a",
        "--steps",
        "1",
        "--learning-rate",
        "0",
    ]  # which leaves the weights as they came
    again = copytrace(photos, "-o", tmp_path / "b", *small, *words, "--folded")
    assert again.returncode == 0, again.stderr
    rows = [
        Engine(tmp_path / run / "bundle", precision="float32").embed(sorted(photos.iterdir())[:8], output="raw")
        for run in ("a", "b")
    ]
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-4)
    assert (
        Bundle(tmp_path / "b" / "bundle").manifest.origin["settings"]["initial"] == "a"
    )  # and no path of this machine
    for wrong, said in (("--dimension=16", "has other parts"), ("--plain", "batch norms")):
        result = copytrace(photos, "-o", tmp_path / "c", *small, *words, "--folded", wrong)
        assert result.returncode == 1 and said in result.stderr and "Traceback" not in result.stderr
