"""Options of ``train run`` come from the fields of its settings: one declaration for default, help and bounds."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from copytrace.engine import CopytraceError
from copytrace.train.detector.settings import OPTIONS, DetectorSettings
from copytrace.train.option import check_bounds, option, options_of
from copytrace.train.settings import Settings
from copytrace.train.verbs.generated import with_options_of
from copytrace.train.verbs.train import app as train_app

Kind = Literal["round", "square"]


@dataclass(frozen=True)
class Parts:
    kind: Kind = option("round", "The shape.")  # noqa: RUF009
    sides: tuple[int, ...] = option((1, 2), "Lengths.")
    names: tuple[str, ...] = option((), "What they are called.", decided="by kind")
    share: float = option(0.5, "A share.", least=0, most=1)
    whole: bool = option(False, "All or some.", flags="--whole/--some", decided="by luck")
    first_size: int | None = option(None, "Of the first.", decided="none")
    hidden: int = 3


def command(got: list[dict[str, Any]]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_options_of(Parts)
    def run(place: str, count: int = 2, *, options: dict[str, Any], last: bool = False) -> None:
        """What it does."""
        got.append({"place": place, "count": count, "last": last, **options})

    return app


def test_a_command_gets_an_option_for_each_field() -> None:
    got: list[dict[str, Any]] = []
    result = CliRunner().invoke(command(got), ["here"])
    undecided = {"names": None, "whole": None, "first_size": None}
    assert result.exit_code == 0, result.output
    defaults = {"place": "here", "count": 2, "last": False, "kind": "round", "sides": (1, 2), "share": 0.5}
    assert got == [defaults | undecided]
    words = "--kind square --sides 3,4,5 --names a,b --share 1 --whole --first-size 7 --last --count 9 there"
    assert CliRunner().invoke(command(got), words.split()).exit_code == 0
    given = {"kind": "square", "sides": (3, 4, 5), "names": ("a", "b"), "share": 1.0, "whole": True, "first_size": 7}
    assert got[1] == {"place": "there", "count": 9, "last": True, **given}
    assert CliRunner().invoke(command(got), ["x", "--names", "", "--some"]).exit_code == 0
    assert got[2]["names"] == () and got[2]["whole"] is False


@pytest.mark.parametrize(
    "words", ["--share 1.5", "--share x", "--kind oval", "--sides 1,b", "--hidden 3", "--options 3"]
)
def test_wrong_usage_is_refused(words: str) -> None:
    got: list[dict[str, Any]] = []
    assert CliRunner().invoke(command(got), ["x", *words.split()]).exit_code == 2 and not got


def test_help_has_every_setting_with_its_sentence_and_default() -> None:
    run = get_command(train_app).commands["run"]  # type: ignore[attr-defined]
    shown = {parameter.name: parameter for parameter in run.params}
    declared = {name: (default, what) for name, default, what in options_of(Settings)}
    assert list(declared) == [field.name for field in fields(Settings)]
    for name, (default, what) in declared.items():
        assert what.help.endswith(".") and what.help in shown[name].help
        assert (f"[default: {what.decided}]" in shown[name].help) == bool(what.decided)
        if not what.decided and not isinstance(default, tuple):
            assert shown[name].default == default
    assert [name for name in shown if name not in declared][-1] == "as_json"


def test_the_detector_has_some_of_the_settings_with_defaults_of_its_own() -> None:
    detector = get_command(train_app).commands["detector"]  # type: ignore[attr-defined]
    shown = {parameter.name: parameter for parameter in detector.params}
    declared = {name: (default, what) for name, default, what in options_of(DetectorSettings)}
    assert {name for name in shown if name in Settings.__dataclass_fields__} == set(OPTIONS)
    for name in OPTIONS:
        assert (shown[name].default, shown[name].help) == (declared[name][0], declared[name][1].help)
    assert (shown["size"].default, shown["weights"].default) == (192, Settings.weights)


@pytest.mark.parametrize("words", ["--size 100", "--size 544", "--batch 1", "--steps 0", "--warmup -1", "--clip 1"])
def test_a_detector_that_cannot_be_trained_is_wrong_usage(words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(train_app, ["detector", str(tmp_path), "-o", str(tmp_path / "run"), *words.split()])
    assert result.exit_code == 2 and words.split()[0] in result.output and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"share": 1.5}, "--share must be at least 0 and at most 1, not 1.5"),
        ({"size": 16}, "--size must be at least 32, not 16"),
        ({"temperature": float("nan")}, "--temperature must be a number, not nan"),
        ({"learning_rate": float("nan")}, "--learning-rate must be at least 0, not nan"),
        ({"first_size": 0}, "--first-size must be at least 1, not 0"),
    ],
)
def test_bounds_hold_in_python_too(values: dict[str, Any], words: str) -> None:
    check_bounds(Settings())
    with pytest.raises(CopytraceError, match=f"^{words}$"):
        Settings(**values).check()


@pytest.mark.parametrize("values", [{"size": 100}, {"size": 544}, {"batch": 1}, {"steps": 0}, {"learning_rate": -1.0}])
def test_bounds_of_a_detector_hold_in_python_too(values: dict[str, Any]) -> None:
    DetectorSettings().check()
    with pytest.raises(CopytraceError, match=f"^--{next(iter(values)).replace('_', '-')} must be "):
        DetectorSettings(**values).check()
