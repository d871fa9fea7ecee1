"""Writes the command reference at the end of docs/cli.md from the commands themselves.

With --verify it only says whether the file is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from coord.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
HEADING = "## Reference\n"
COMMON = {"endpoints", "output", "timeout_ms", "help"}


def page(current: str) -> str:
    """The page with its reference as it should be."""
    written = current.partition(HEADING)[0].rstrip("\n")
    root = typer.main.get_command(app)
    return f"{written}\n\n{HEADING}\n" + "\n".join(_sections(root, "coord"))


def _sections(command: Any, name: str) -> Iterator[str]:
    for child_name, child in sorted(getattr(command, "commands", {}).items()):
        path = f"{name} {child_name}"
        if hasattr(child, "commands"):
            yield from _sections(child, path)
        else:
            yield _section(child, path)


def _section(command: Any, path: str) -> str:
    own = [p for p in command.params if p.name not in COMMON and not getattr(p, "hidden", False)]
    arguments = [p for p in own if p.param_type_name == "argument"]
    options = [p for p in own if p.param_type_name == "option"]
    usage = " ".join([path, *(_metavar(p) for p in arguments)])
    lines = [f"### `{path}`", "", f"`{usage}{' [OPTIONS]' if options else ''}`", ""]
    lines += [_paragraphs(command.help or ""), ""]
    if options:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [f"| `{_option(p)}` | {_cell(p.help or '')}{_default(p)} |" for p in options]
        lines.append("")
    return "\n".join(lines)


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _option(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    return f"{names} {_cell(option.metavar or option.type.name.upper())}"


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return f" Default: {option.show_default}."
    if option.required:
        return " Required."
    default = option.default
    if option.is_flag or not isinstance(default, int) or option.show_default is False:
        return ""
    return f" Default: {default}."


def _paragraphs(text: str) -> str:
    """One line per paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    current = PAGE.read_text(encoding="utf-8")
    wanted = page(current)
    if "--verify" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write("docs/cli.md is out of date; run scripts/lib/gen_cli_docs.py\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
