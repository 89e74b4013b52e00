"""A verb with verbs under it, one of which need not be named."""

from typing import Any

from typer.core import TyperGroup


class RunByDefault(TyperGroup):
    """``VERB WORDS`` is ``VERB run WORDS``, unless the first of the words is one of its verbs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)
