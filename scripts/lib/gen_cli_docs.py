"""Writes the command reference at the end of docs/cli.md from the commands themselves.

With --verify it only says whether the file is up to date."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from coord.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
HEADING = "## Reference\n"
COMMON = {"endpoints", "output", "timeout_ms"}


def page(current: str) -> str:
    """The page with its reference as it should be."""
    written = current.partition(HEADING)[0].rstrip("\n")
    sections = [text for _, text in sorted(_sections(app, "coord"))]
    return f"{written}\n\n{HEADING}\n" + "\n".join(sections)


def _sections(group: typer.Typer, name: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every command in the group and in the groups below it."""
    for command in group.registered_commands:
        path = f"{name} {command.name}"
        yield path, _section(command.callback, path)
    for below in group.registered_groups:
        child = below.typer_instance
        if child is not None:
            yield from _sections(child, f"{name} {child.info.name}")


def _section(callback: Callable[..., Any] | None, path: str) -> str:
    assert callback is not None
    found = inspect.signature(callback, eval_str=True).parameters.values()
    own = [p for p in found if p.name not in COMMON and get_origin(p.annotation) is Annotated]
    arguments = [p for p in own if isinstance(_info(p), ArgumentInfo)]
    options = [p for p in own if isinstance(_info(p), OptionInfo)]
    usage = " ".join(
        [
            path,
            *(["[OPTIONS]"] if options else []),
            *(str(_info(p).metavar or p.name.upper()) for p in arguments),
        ]
    )
    lines = [f"### `{path}`", "", f"`{usage}`", ""]
    lines += [_paragraphs(inspect.getdoc(callback) or ""), ""]
    if options:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [
            f"| `{_option(p)}` | {_cell(_info(p).help or '')}{_default(p)} |" for p in options
        ]
        lines.append("")
    return "\n".join(lines)


def _info(parameter: inspect.Parameter) -> Any:
    """What the annotation says about an option or argument."""
    return get_args(parameter.annotation)[1]


def _option(parameter: inspect.Parameter) -> str:
    info = _info(parameter)
    declared = [info.default, *(info.param_decls or ())]
    names = [name for name in declared if isinstance(name, str)]
    shown = ", ".join(sorted(names, key=len)) or f"--{parameter.name.replace('_', '-')}"
    kind = get_args(parameter.annotation)[0]
    if kind is bool:
        return shown
    return f"{shown} {_cell(info.metavar or ('N' if kind is int else 'TEXT'))}"


def _default(parameter: inspect.Parameter) -> str:
    default, shown = parameter.default, _info(parameter).show_default
    if default is inspect.Parameter.empty:
        return " Required."
    if isinstance(shown, str):
        return f" Default: {shown}."
    if isinstance(default, bool) or not isinstance(default, int) or shown is False:
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
