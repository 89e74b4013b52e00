"""The command line as a user meets it: verbs, exit codes, JSON, and one line for every error."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from copytrace.engine import Bundle, Engine, check_submission
from copytrace.engine.cli.console import progress_bar

from conftest import PHOTOS

VERBS = ["attack", "convert", "dedup", "demo", "embed", "search", "evaluate", "calibrate", "submission"]


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "copytrace"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """r.h5, q.h5 and pairs.csv of the package's photographs."""
    folder = tmp_path_factory.mktemp("files")
    run("embed", PHOTOS / "references", "-o", folder / "r.h5")
    run("embed", PHOTOS / "queries", "-o", folder / "q.h5", "--role", "query")
    run("search", folder / "q.h5", folder / "r.h5", "-o", folder / "pairs.csv")
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    assert verb in run(verb, "--help").stdout
    assert verb in run("--help").stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("copytrace 0.")


def test_demo_ends_with_score_and_paths(tmp_path: Path) -> None:
    lines = run("demo", "-o", tmp_path / "out").stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["submission", "pairs", "report"]
    assert all(Path(line.split()[1]).is_file() for line in lines[-3:])
    assert float(next(line for line in lines if line.startswith("micro-AP")).split()[1]) > 0.7
    assert check_submission(tmp_path / "out" / "fb-isc-submission.h5") == []
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") > 50 and "perspective" in page


def test_embed_summary(tmp_path: Path) -> None:
    result = json.loads(run("embed", PHOTOS / "references", "-o", tmp_path / "r.h5", "--json").stdout)
    assert result["embedded"] == result["images"] == 200 and result["failed"] == []
    assert set(result["stage_seconds"]) == {"read and decode", "infer", "describe", "write journal", "write HDF5"}
    text = run("embed", PHOTOS / "references", "-o", tmp_path / "r.h5", "--resume").stdout
    assert "200 of 200 images embedded" in text


@pytest.mark.parametrize("kind", ["raw", "projected", "method1", "method2"])
def test_what_embed_writes(tmp_path: Path, kind: str) -> None:
    run("embed", PHOTOS / "queries", "-o", tmp_path / "q.h5", "--descriptors", kind, "--precision", "float32")
    import h5py

    dimension = len(Bundle().projection.mean)
    with h5py.File(tmp_path / "q.h5") as file:
        assert file["descriptors"].shape == (140, dimension if kind == "raw" else 256)
        assert file.attrs["output"] == kind and file.attrs["precision"] == "float32"


def test_search_modes(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    for options, rows in ((["--top", 50], 50), (["--k", 2], 280), (["--max-distance", 1e6], 28_000)):
        found = json.loads(run("search", files / "q.h5", files / "r.h5", "-o", out, "--json", *options).stdout)
        assert found["pairs"] == rows and len(out.read_text().splitlines()) == rows + 1
    run("search", files / "q.h5", files / "r.h5", "-o", out, "--top", 5, "--k", 5, code=2)


def test_evaluate_prints_one_object_with_the_agreed_names(files: Path, tmp_path: Path) -> None:
    pairs, truth = files / "pairs.csv", PHOTOS / "truth.csv"
    result = json.loads(run("evaluate", pairs, truth, "--json").stdout)
    names = ["micro_ap", "recall_at_p90", "threshold_at_p90", "positives", "pairs_used", "queries"]
    assert list(result) == names and result["positives"] == 70 and result["pairs_used"] == 1400
    more = ["--classes", PHOTOS / "edits.csv", "--plot", tmp_path / "pr.png", "--report", tmp_path / "r.html"]
    pictures = ["--queries", PHOTOS / "queries", "--references", PHOTOS / "references"]
    text = run("evaluate", pairs, truth, *more, *pictures).stdout
    assert f"{result['micro_ap']:.6f}" in text and "pasted" in text
    assert (tmp_path / "pr.png").read_bytes().startswith(b"\x89PNG") and "base64" in (tmp_path / "r.html").read_text()
    assert (
        json.loads(run("evaluate", pairs, truth, "--json", "--no-cap", "--keep-unlabelled").stdout)["pairs_used"]
        == 28_000
    )
    assert len(json.loads(run("evaluate", pairs, truth, "--json", *more[:2]).stdout)["classes"]) == 10


def test_calibrate(files: Path) -> None:
    result = json.loads(
        run("calibrate", files / "pairs.csv", PHOTOS / "truth.csv", "--precision", 0.9, "--json").stdout
    )
    assert result["precision"] >= 0.9 and result["threshold_low"] <= result["threshold"] <= result["threshold_high"]
    assert "threshold" in run("calibrate", files / "pairs.csv", PHOTOS / "truth.csv", "--false-matches", 0.02).stdout
    run("calibrate", files / "pairs.csv", PHOTOS / "truth.csv", code=2)


def test_the_report_says_what_it_is_made_of(files: Path, tmp_path: Path) -> None:
    pairs, truth, page = files / "pairs.csv", PHOTOS / "truth.csv", tmp_path / "r.html"
    given = ["--report", page, "--queries", PHOTOS / "queries", "--descriptors", files / "q.h5"]
    result = run("evaluate", pairs, truth, *given, "--descriptors", files / "r.h5", "--json")
    assert result.stderr == "" and "missing_pictures" not in json.loads(result.stdout)
    method = f"method{Bundle().normalisation().method}"
    for text in (Bundle().manifest.name, Bundle().recipe[:12], "int8", f"{method}, projected", str(pairs), str(truth)):
        assert text in page.read_text()
    result = run("evaluate", pairs, truth, *given, "--id", "path", "--json")
    missing = json.loads(result.stdout)["missing_pictures"]
    assert missing and result.stderr.startswith(f"warning: {len(missing)} pictures are missing")
    run("evaluate", pairs, truth, *given, "--id", "name", code=2)


def test_other_images_are_warned_of(files: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("Query,Reference\nother.jpg,R1\n")
    result = run("evaluate", files / "pairs.csv", tmp_path / "truth.csv", "--json")
    assert result.stderr.startswith("warning: no query of the ground truth occurs") and json.loads(result.stdout)


def test_submission_and_check(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    assert (
        json.loads(run("submission", files / "q.h5", files / "r.h5", "-o", out, "--json").stdout)["references"] == 200
    )
    assert "valid" in run("submission", "--check", out).stdout
    result = run("submission", "--check", out, "--phase", 1, code=1)
    assert len(result.stdout.splitlines()) == 5
    assert json.loads(run("submission", "--check", out, "--phase", 1, "--json", code=1).stdout)["valid"] is False
    run("search", out, out, "-o", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == (files / "pairs.csv").read_text()
    run("submission", files / "q.h5", code=2)
    run("submission", "--check", out, out, code=2)


def test_wrong_input_is_one_line(files: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "dir").mkdir()
    cases = [
        ("embed", tmp_path / "missing", "-o", tmp_path / "a.h5"),
        ("embed", tmp_path / "dir", "-o", tmp_path / "a.h5"),
        ("embed", PHOTOS / "queries", "-o", tmp_path / "no" / "a.h5"),
        ("embed", PHOTOS / "queries", "-o", tmp_path / "a.h5", "--bundle", tmp_path / "dir"),
        ("embed", PHOTOS / "queries", "-o", tmp_path / "a.h5", "--device", "cuda"),
        ("search", tmp_path / "text", files / "r.h5", "-o", tmp_path / "p.csv"),
        ("search", files / "q.h5", tmp_path / "missing", "-o", tmp_path / "p.csv"),
        ("search", files / "q.h5", files / "r.h5", "-o", tmp_path / "no" / "p.csv"),
        ("evaluate", tmp_path / "missing", PHOTOS / "truth.csv"),
        ("evaluate", files / "pairs.csv", tmp_path / "dir"),
        ("evaluate", files / "pairs.csv", PHOTOS / "truth.csv", "--plot", tmp_path / "no" / "x.png"),
        ("evaluate", files / "pairs.csv", PHOTOS / "truth.csv", "--report", tmp_path / "no" / "x.html"),
        ("submission", "--check", tmp_path / "text"),
        ("submission", files / "q.h5", files / "r.h5", "-o", tmp_path / "no" / "s.h5"),
        ("demo", "-o", tmp_path / "text"),
    ]
    for case in cases:
        result = run(*case, code=1)
        assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1 and not result.stdout, case
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "text"]


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    for case in (
        (),
        ("embed",),
        ("embed", "x"),
        ("nonsense",),
        ("embed", "x", "-o", "y", "--role", "z"),
        ("demo", "--bad"),
    ):
        run(*case, code=2)


def test_odd_ids_survive_the_whole_way(tmp_path: Path) -> None:
    photos = sorted((PHOTOS / "references").glob("*.jpg"))[:3]
    (tmp_path / "in").mkdir()
    names = ["a b", "c,d", "ünïcödé-図"]
    for photo, name in zip(photos, names, strict=True):
        (tmp_path / "in" / f"{name}.jpg").write_bytes(photo.read_bytes())
    run("embed", tmp_path / "in", "-o", tmp_path / "a.h5")
    run("search", tmp_path / "a.h5", tmp_path / "a.h5", "-o", tmp_path / "p.csv", "--k", 1)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert {(q, r) for q, r, _ in rows} == {(name, name) for name in names}


def test_progress_on_a_pipe_is_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("copytrace.engine.cli.console.PLAIN_SECONDS", 0.0)
    with progress_bar("embedding") as progress:
        for done in range(0, 30, 10):
            progress(done, 30, 1)
    assert "embedding: 20/30" in capsys.readouterr().err


def test_progress_on_a_terminal_has_rate_and_time_left(tmp_path: Path) -> None:
    code = (
        "import pty, sys, os\n"
        f"sys.exit(os.waitstatus_to_exitcode(pty.spawn([{str(Path(sys.executable).parent / 'copytrace')!r}, *sys.argv[1:]])))"
    )
    command = [sys.executable, "-c", code, "embed", str(PHOTOS / "references"), "-o", str(tmp_path / "p.h5")]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and "/200" in result.stdout and "failed" in result.stdout and "/s" in result.stdout


def test_the_verbs_are_in_the_api_too(files: Path) -> None:
    engine = Engine()
    import h5py

    paths = sorted((PHOTOS / "queries").glob("*.jpg"))
    with h5py.File(files / "q.h5") as file:
        assert (engine.embed(paths, role="query") == file["descriptors"][:]).all()
