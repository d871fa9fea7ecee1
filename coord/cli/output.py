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

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coord.cli.exits import CommandError

# Not on a terminal: never cut a cell off, whoever reads it has no window to widen.
PIPE_WIDTH = 10_000
CELL_LENGTH = 60

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
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._console = Console(highlight=False, markup=False, emoji=False, width=width)

    @property
    def is_json(self) -> bool:
        return self.form is Format.JSON

    def json(self, value: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; an empty one still shows its heading."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.upper(), overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self._console.print(table)

    def facts(self, facts: Mapping[str, object]) -> None:
        """One thing: a line for each of its properties; empty ones are left out."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts.items():
            if value not in {"", None}:
                table.add_row(name, _cell(value, length=0))
        self._console.print(table)

    def flush(self) -> None:
        sys.stdout.flush()

    def line(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True)


def raw(value: bytes) -> None:
    """Exactly these bytes to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"error: {printable(message)}\n")


def printable(text: str) -> str:
    """Text without control characters; line breaks and the like are shown as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


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
    except OSError as error:
        raise CommandError(f"cannot read {argument[1:]!r}: {error.strerror}", 2) from error


def to_bytes(argument: str) -> bytes:
    """An argument as it was typed, also where it is not valid UTF-8."""
    return argument.encode("utf-8", "surrogateescape")


def pairs(arguments: Iterable[str], what: str) -> dict[str, str]:
    """KEY=VALUE arguments as a mapping."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key or not equals:
            raise CommandError(f"{what} must be KEY=VALUE, not {argument!r}", 2)
        found[key] = value
    return found


def duration(milliseconds: int) -> str:
    """A time for people: 250 ms, 3.2 s, 4 min 10 s, 3 h 5 min, 2 d 4 h."""
    seconds, rest = divmod(milliseconds, 1_000)
    if seconds == 0:
        return f"{rest} ms"
    if seconds < 60:
        return f"{seconds}.{rest // 100} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _cell(value: object, length: int = CELL_LENGTH) -> Text:
    text = "-" if value in {"", None} else printable(str(value))
    if length and len(text) > length:
        text = text[: length - 1] + "…"
    return Text(text, style=STYLES.get(text, ""))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
