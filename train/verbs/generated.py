"""A command's options generated from the fields of its settings."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from ..option import Option, options_of

Command = Callable[..., None]


def with_options_of(settings: type, *names: str) -> Callable[[Command], Command]:
    """Give a command options for the fields of a dataclass, in the place of its parameter ``options``.

    names: of those fields; none: of all. The command gets them as a dict by name; None stands for what it decides itself.
    Tuples are written with commas.
    """
    types = get_type_hints(settings)
    generated = [
        _parameter(name, types[name], default, what)
        for name, default, what in options_of(settings)
        if not names or name in names
    ]

    def decorate(command: Command) -> Command:
        def run(**given: Any) -> None:
            values = {one.name: _value(one.name, types[one.name], given.pop(one.name)) for one in generated}
            command(**given, options=values)

        parameters: list[Parameter] = []
        for parameter in signature(command, eval_str=True).parameters.values():
            parameters += generated if parameter.name == "options" else [parameter]
        run.__signature__ = Signature(  # type: ignore[attr-defined]
            [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _parameter(name: str, type_: Any, default: Any, what: Option) -> Parameter:
    text = f"{what.help} [default: {what.decided}]" if what.decided else what.help
    kind = str if get_origin(type_) is tuple else type_
    shown = ",".join(map(str, default)) if get_origin(type_) is tuple else default
    if what.decided:
        kind, shown = kind | None, None
    flags = [what.flags] if what.flags else []
    annotation = Annotated[kind, typer.Option(*flags, min=what.least, max=what.most, help=text)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=shown, annotation=annotation)


def _value(name: str, type_: Any, given: Any) -> Any:
    """What was given as the field has it. Raises: typer.BadParameter."""
    if get_origin(type_) is not tuple or given is None:
        return given
    kind = get_args(type_)[0]
    try:
        return tuple(kind(part) for part in given.split(",") if part)
    except ValueError:
        raise typer.BadParameter("whole numbers with commas", param_hint=f"--{name.replace('_', '-')}") from None
