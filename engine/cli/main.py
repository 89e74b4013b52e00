"""The verbs, and what becomes of errors: one line on standard error and exit code 1, never a traceback; with ``--json`` an
object ``{"error": text, "kind": name}`` on standard output as well.

Exit codes: 0 done; 1 bad input or a failed check; 2 wrong usage; 130 interrupted.
"""

import os
import signal
import sys
import warnings
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Any

import typer

from ..errors import CopytraceError, MissingExtraError
from ..extras import extras_for, import_problem
from ..store.atomic import reason
from . import (
    bench,
    client,
    collection,
    convert,
    dedup,
    demo,
    embed,
    match,
    merge,
    plan,
    score,
    search,
    serve,
    submission,
)
from .console import Interrupted, errors, print_result, show_warnings
from .plugins import add_verbs

# typer brings click's exceptions along, newer versions in a copy of their own: this finds them in either.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="copytrace",
    help="Tells whether an image is an edited copy of one in a large reference set, and of which one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo.demo,
    embed.embed,
    search.search,
    dedup.dedup,
    convert.convert,
    merge.merge,
    plan.plan,
    match.match,
    match.verify,
    serve.serve,
    score.evaluate,
    score.calibrate,
    submission.submission,
):
    app.command()(command)
app.add_typer(collection.app, name="collection", no_args_is_help=True)
app.add_typer(bench.app, name="bench", no_args_is_help=True)
app.add_typer(client.app, name="client", no_args_is_help=True)
add_verbs(app)  # what training and export add; the engine does not import them


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
    show_warnings(True)
    warnings.filterwarnings(
        "always", category=UserWarning, module=r"copytrace\."
    )  # for the user, whatever the environment says
    warnings.filterwarnings("ignore", module="PIL")  # odd images end as a record in the output, not as a warning
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names that are no UTF-8
    try:
        sys.exit(app(standalone_mode=False))
    except _UsageError as error:
        error.show()
        _end(error.format_message(), "usage", error.exit_code)
    except CopytraceError as error:
        _fail(str(error), error)
    except ImportError as error:  # of a library that a verb of training imports where it is used
        module = error.name or "a library"
        _fail(import_problem(module, error, extras_for(module)), MissingExtraError())
    except BrokenPipeError:  # the reader of our output, head for one, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename}: {reason(error)}" if error.filename else reason(error), error)
    except Interrupted as error:
        errors.print(str(error))
        _end(str(error), "interrupted", 130)
    except MemoryError as error:
        _fail("out of memory", error)


def _warn(message: Warning | str, *place: object, **more: object) -> None:
    errors.print("warning: " + " ".join(str(message).split()))


def _fail(message: str, error: BaseException) -> None:
    message = " ".join(message.split())
    errors.print("error: " + message)
    _end(message, type(error).__name__, 1)


def _end(message: str, kind: str, code: int) -> None:
    """Exit; where ``--json`` was asked for, with one object that tells a machine why."""
    options = sys.argv[1:]
    if "--json" in (options[: options.index("--")] if "--" in options else options):
        print_result({"error": message, "kind": kind}, "", as_json=True)
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("interrupted")
