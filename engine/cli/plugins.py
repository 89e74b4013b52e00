"""Verbs that other packages add, by the entry points ``copytrace.verbs``: training and export, and whoever else comes along."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from ..errors import CopytraceError


def add_verbs(app: typer.Typer) -> None:
    """One that cannot be loaded says so when it is called, and leaves the others alone."""
    for entry in entry_points(group="copytrace.verbs"):
        try:
            verb: Any = entry.load()
        except Exception as error:  # whatever code we do not know raises while it is imported
            _add_broken(app, entry, error)
            continue
        if isinstance(verb, typer.Typer):
            app.add_typer(verb, name=entry.name)
        else:
            app.command(entry.name)(verb)


def _add_broken(app: typer.Typer, entry: EntryPoint, error: Exception) -> None:
    reason = f"{entry.value} cannot be loaded: {type(error).__name__}: {error}"

    @app.command(
        entry.name,
        help=" ".join(reason.split()),
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def broken() -> None:
        raise CopytraceError(f"{entry.name}: {reason}")
