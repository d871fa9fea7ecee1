"""Where results go: tables for people, JSON with stable keys for programs.

Nothing that comes out of the store reaches a terminal unfiltered, so a payload cannot move the
cursor or change colours. Colour appears only on a terminal, and never with NO_COLOR set.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from coord.cli.exits import USAGE, CommandError
from coord.terminal.layout import Column, Lines, Printer
from coord.terminal.text import duration, printable

__all__ = ["Column", "Format", "Lines", "Output", "duration", "printable"]

STYLES = {
    "leader": "green",
    "running": "green",
    "completed": "green",
    "ready": "cyan",
    "claimed": "yellow",
    "scheduled": "blue",
    "dead": "red",
    "cancelled": "magenta",
    "unreachable": "red",
    "paused": "yellow",
    "differs": "red",
}


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


class Output:
    """Prints the result of one command in the format asked for."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._printer = Printer(STYLES)

    @property
    def is_json(self) -> bool:
        return self.form is Format.JSON

    def json(self, value: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def table(
        self, columns: Sequence[Column | str], rows: Iterable[Sequence[object]], nothing: str = ""
    ) -> None:
        """A table; where there are no rows, `nothing` says so in words."""
        self._printer.table(columns, rows, nothing)

    def facts(self, facts: Mapping[str, object]) -> None:
        """One thing: a line for each of its properties; empty ones are left out."""
        self._printer.facts(facts)

    def flush(self) -> None:
        sys.stdout.flush()

    def line(self, text: str) -> None:
        self._printer.line(text)


def note(message: str) -> None:
    """One line on standard error that is no error."""
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()


def raw(value: bytes) -> None:
    """Exactly these bytes to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


def as_text(value: bytes) -> tuple[str, str]:
    """(text, "text") for UTF-8, else (base64, "base64")."""
    try:
        return value.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"


def bytes_json(name: str, value: bytes) -> dict[str, str]:
    """A value and how it is written, as two keys: NAME and NAME_encoding."""
    text, encoding = as_text(value)
    return {name: text, f"{name}_encoding": encoding}


def bytes_cell(value: bytes) -> str:
    """A value for people; what is not text is marked."""
    text, encoding = as_text(value)
    return text if encoding == "text" else f"base64:{text}"


def read_value(argument: str) -> bytes:
    """TEXT as it is, @FILE the file's content, - standard input."""
    if argument == "-":
        return sys.stdin.buffer.read()
    if not argument.startswith("@"):
        return to_bytes(argument)
    try:
        with open(argument[1:], "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"cannot read {argument[1:]!r}: {why}", USAGE) from error


def to_bytes(argument: str) -> bytes:
    """An argument as it was typed, also where it is not valid UTF-8."""
    return argument.encode("utf-8", "surrogateescape")


def pairs(arguments: Iterable[str], what: str) -> dict[str, str]:
    """KEY=VALUE arguments as a mapping."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key or not equals:
            raise CommandError(f"{what} must be KEY=VALUE, not {argument!r}", USAGE)
        if key in found:
            raise CommandError(f"{what} names {key!r} twice", USAGE)
        found[key] = value
    return found


def byte_count(count: int) -> str:
    """A size for people: 512 B, 1.5 GiB."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while size >= 1_024 and len(units) > 1:
        size /= 1_024
        del units[0]
    return f"{size:.3g} {units[0]}" if size < 1_000 else f"{size:.0f} {units[0]}"
