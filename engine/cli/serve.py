"""``copytrace serve``; its options are the settings of the service."""

import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from pydantic.fields import FieldInfo

from ..errors import ServiceError, optional_module
from ..serve import Settings, load_settings
from .console import errors, show_warnings
from .options import path


def serve(
    collection: Annotated[
        Path, typer.Argument(help="The collection's folder; made where there is none.", metavar="REFS.CT", parser=path)
    ],
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="A TOML file of settings, by their names.", parser=path)
    ] = None,
    print_settings: Annotated[
        bool, typer.Option("--print-settings", help="Print all settings as JSON, and end.")
    ] = False,
    **options: Any,
) -> None:
    """Serve a collection over HTTP: match images, add and delete references while it runs.

    Every option is also an environment variable, COPYTRACE_PORT for --port, and a line of the settings file, port = 8000.
    """
    given = {name: value for name, value in options.items() if value is not None and value != []}
    try:
        settings = load_settings(given, settings_file)
    except ServiceError as error:
        if given:
            raise typer.BadParameter(str(error)) from None
        raise
    if print_settings:
        print(json.dumps(settings.model_dump(mode="json"), indent=2))
        return
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        optional_module(name, "serve")
    from ..serve.server import serve as run

    show_warnings(False)
    run(collection, settings, lambda address: errors.print(f"serving {collection} at {address}"))


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """A setting as an option that is None where it is not given."""
    flag = f"--{name.replace('_', '-')}"
    help = field.description or ""
    if field.default is True:
        flag += f"/--no-{name.replace('_', '-')}"
    elif field.default not in (None, False, ()) and not isinstance(field.default, Path):
        help += f" Default: {field.default}."
    info = typer.Option(flag, help=help)
    kind: Any = list[Path] if field.default == () else field.annotation
    annotation = Annotated[Optional[kind], info]  # noqa: UP045
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


_own = inspect.signature(serve)
serve.__signature__ = _own.replace(  # type: ignore[attr-defined]
    parameters=[
        *(one for one in _own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD),
        *(_option(name, field) for name, field in Settings.model_fields.items()),
    ]
)
