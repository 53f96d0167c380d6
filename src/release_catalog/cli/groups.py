"""Groups of commands with a usual one, which needs no name: `token NAME` is short for `token create NAME`."""

from typing import Any, ClassVar

from typer.core import TyperGroup


class _UsualCommand(TyperGroup):
    """A group whose first argument is the name of a command, or else belongs to the usual one."""

    usual: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Add the name of the usual command where it was left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


class TokenGroup(_UsualCommand):
    """The commands about access tokens."""

    usual = "create"


class AccountGroup(_UsualCommand):
    """The commands about service accounts."""

    usual = "line"
