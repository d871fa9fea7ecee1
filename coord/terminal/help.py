"""Help pages that say what is meant: names of values, not of types."""

from __future__ import annotations

import re
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_TYPE: Final = re.compile(r" <[^<>]*>")
MAX_SUMMARY: Final = 400
_DEFAULT: Final = re.compile(r"\[default: \((.*?)\)([;\]])")


class PlainCommand(TyperCommand):
    """A command with a plain help page."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The options, then each argument as it is named."""
        return _usage(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options, one below the other."""
        _write_options(self, ctx, formatter)


class PlainGroup(TyperGroup):
    """A group of commands with a plain help page."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Options, then the commands."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with its whole first sentence."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(limit=MAX_SUMMARY))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _usage(command: Any, ctx: Any) -> list[str]:
    pieces = ["[OPTIONS]"]
    for param in command.get_params(ctx):
        if param.param_type_name != "argument":
            continue
        name = str(param.metavar or param.name.upper())
        optional = not param.required and not name.startswith("[")
        pieces.append(f"[{name}]" if optional else name)
    return pieces


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            title = "Arguments" if param.param_type_name == "argument" else "Options"
            rows[title].append((_TYPE.sub("", record[0]), _plain(record[1])))
    for title, records in rows.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _plain(text: str) -> str:
    return _DEFAULT.sub(r"[default: \1\2", text)
