"""Verbs that other packages add, by the entry points ``copytrace.verbs``: training and export, and whoever else comes along."""

import logging
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.main import get_command

from ..errors import CopytraceError

log = logging.getLogger(__name__)


def add_verbs(app: typer.Typer) -> None:
    """One that cannot be used says so when it is called, and leaves the others alone; none takes the name of another."""
    taken = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    taken |= {group.name for group in app.registered_groups if group.name}
    for entry in entry_points(group="copytrace.verbs"):
        if entry.name in taken:
            log.warning("%s is left out: there is a verb %s already", entry.value, entry.name)
            continue
        taken.add(entry.name)
        try:
            verb: Any = entry.load()
            get_command(_with_verb(typer.Typer(), verb, entry.name))
        except (Exception, SystemExit) as error:  # whatever code we do not know raises while it is imported
            _add_broken(app, entry, error)
        else:
            _with_verb(app, verb, entry.name)


def _with_verb(app: typer.Typer, verb: Any, name: str) -> typer.Typer:
    """The same app. Raises: TypeError for what is no verb."""
    if isinstance(verb, typer.Typer):
        app.add_typer(verb, name=name)
    elif callable(verb):
        app.command(name)(verb)
    else:
        raise TypeError(f"a verb must be a function or a typer.Typer, not {type(verb).__name__}")
    return app


def _add_broken(app: typer.Typer, entry: EntryPoint, error: BaseException) -> None:
    reason = f"{entry.value} cannot be loaded: {type(error).__name__}: {error}"

    @app.command(
        entry.name,
        help=" ".join(reason.split()),
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def broken() -> None:
        raise CopytraceError(f"{entry.name}: {reason}")
