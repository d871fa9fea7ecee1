"""The commands of a typer application, with their arguments and options, as lines of text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo


def command_lines(app: typer.Typer, path: str) -> Iterator[str]:
    """Every command and its parameters; not what help says about them."""
    if app.registered_callback is not None:
        yield from _lines(path, app.registered_callback.callback)
    below: list[tuple[str, typer.Typer | Callable[..., Any]]] = []
    for command in app.registered_commands:
        assert command.callback is not None
        below.append((command.name or command.callback.__name__, command.callback))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        below.append((str(group.typer_instance.info.name), group.typer_instance))
    for name, one in sorted(below, key=lambda pair: pair[0]):
        if isinstance(one, typer.Typer):
            yield from command_lines(one, f"{path} {name}")
        else:
            yield from _lines(f"{path} {name}", one)


def _lines(path: str, callback: Callable[..., Any] | None) -> Iterator[str]:
    assert callback is not None
    yield path
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, info = get_args(parameter.annotation)[:2]
            yield f"    {_parameter(parameter, kind, info)}"
    yield ""


def _parameter(parameter: inspect.Parameter, kind: Any, info: OptionInfo | ArgumentInfo) -> str:
    text = str(info.metavar or parameter.name.upper())
    if isinstance(info, OptionInfo):
        declared = map(str, (info.default, *(info.param_decls or ())))
        names = sorted((one for one in declared if one.startswith("-")), key=len)
        text = ", ".join(names) or f"--{parameter.name.replace('_', '-')}"
        if bool not in (kind, *get_args(kind)):
            text += f" {info.metavar or _kind(kind)}"
    remarks = ["required"] if parameter.default is inspect.Parameter.empty else []
    remarks += ["repeatable"] if _is_list(kind) or any(map(_is_list, get_args(kind))) else []
    remarks += ["hidden"] if info.hidden else []
    if parameter.default not in (inspect.Parameter.empty, None, "", False):
        remarks.append(f"default {parameter.default}")
    return f"{text} ({', '.join(remarks)})" if remarks else text


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list


def _kind(kind: Any) -> str:
    """What is put behind an option whose help does not call it by a name of its own."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, Enum):
            return "|".join(str(member.value) for member in one)
        if one in (int, float):
            return "N"
    return "TEXT"
