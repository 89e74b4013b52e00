"""The verbs, and what becomes of errors: one line on standard error and exit code 1, never a traceback.

Exit codes: 0 done; 1 bad input or a failed check; 2 wrong usage; 130 interrupted.
"""

import os
import signal
import sys
import warnings
from importlib.metadata import entry_points, version
from types import FrameType
from typing import Annotated

import typer

from ..errors import CopytraceError
from ..store.atomic import reason
from . import demo, embed, score, search, submission
from .console import Interrupted, errors

app = typer.Typer(
    name="copytrace",
    help="Tells whether an image is an edited copy of one in a large reference set, and of which one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo.demo, embed.embed, search.search, score.evaluate, score.calibrate, submission.submission):
    app.command()(command)
for verb in entry_points(group="copytrace.verbs"):  # what training and export add; the engine does not import them
    loaded = verb.load()
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=verb.name)
    else:
        app.command(verb.name)(loaded)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"copytrace {version('copytrace')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Tells whether an image is an edited copy of one in a large reference set, and of which one."""


def main() -> None:
    """Run the command line; the entry point of the console script."""
    warnings.showwarning = _warn
    warnings.filterwarnings("always", module=r"copytrace\.")  # ours are for the user, whatever the environment says
    warnings.filterwarnings("ignore", module="PIL")  # odd images end as a record in the output, not as a warning
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except CopytraceError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output, head for one, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename}: {reason(error)}" if error.filename else reason(error))
    except Interrupted:
        errors.print("interrupted")
        sys.exit(130)
    except MemoryError:
        _fail("out of memory")


def _warn(message: Warning | str, *place: object, **more: object) -> None:
    errors.print("warning: " + " ".join(str(message).split()))


def _fail(message: str) -> None:
    errors.print("error: " + " ".join(message.split()))
    sys.exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted
