"""The public names of a Python package, with their signatures, as lines of text."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any, ForwardRef, is_typeddict

INDENT = "    "
OURS = ("coord.", "agentnode.")


def module_lines(module: ModuleType, extra: dict[str, type] | None = None) -> Iterator[str]:
    """Everything in `__all__`; then `extra`: classes that are reached in another way, by what they
    are called there."""
    yield f"module {module.__name__}"
    for name in sorted(module.__all__):
        yield ""
        yield from _lines(name, getattr(module, name))
    for name, kind in (extra or {}).items():
        yield ""
        yield from _class_lines(name, kind)


def _lines(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        yield from _class_lines(name, value)
    elif inspect.isfunction(value):
        yield function_line(name, value)
    else:
        yield f"{name} = {value!r}"


def _class_lines(name: str, kind: type) -> Iterator[str]:
    bases = [base.__name__ for base in kind.__bases__ if base is not object]
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    members = [*_values(kind), *_attributes(kind), *_members(kind)]
    yield from (f"{INDENT}{line}" for line in members)


def _values(kind: type) -> Iterator[str]:
    """Members of an enumeration, fields of a data class, a named tuple or a typed dictionary."""
    if issubclass(kind, Enum):
        yield from (f"{one.name} = {one.value!r}" for one in kind)
    elif is_typeddict(kind):
        yield from (f"{name}: {_type(one)}" for name, one in kind.__annotations__.items())
    elif is_dataclass(kind):
        for field in fields(kind):
            given = field.default is not MISSING or field.default_factory is not MISSING
            shown = repr(field.default) if field.default is not MISSING else "..."
            yield f"{field.name}: {_type(field.type)}{f' = {shown}' if given else ''}"
    elif issubclass(kind, tuple):
        defaults: dict[str, object] = getattr(kind, "_field_defaults", {})
        for name in getattr(kind, "_fields", ()):
            shown = f" = {defaults[name]!r}" if name in defaults else ""
            yield f"{name}: {_type(kind.__annotations__[name])}{shown}"


def _attributes(kind: type) -> Iterator[str]:
    """What `__init__` sets of a class that is no data class."""
    if is_dataclass(kind):
        return
    found: set[str] = set()
    for base in kind.__mro__:
        made = vars(base).get("__init__")
        if base.__module__.startswith(OURS) and inspect.isfunction(made):
            source = inspect.getsource(made)
            found |= set(re.findall(r"^ +self\.([a-z]\w*)(?:: .+)? = ", source, re.MULTILINE))
    yield from sorted(found)


def _members(kind: type) -> Iterator[str]:
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith(OURS):
            found |= {name: one for name, one in vars(base).items() if _is_shown(kind, name, one)}
    for name, one in sorted(found.items()):
        if isinstance(one, property):
            assert one.fget is not None
            yield f"{name}: {_type(inspect.signature(one.fget).return_annotation)}"
        else:
            is_bound = isinstance(one, classmethod | staticmethod)
            prefix = f"{type(one).__name__} " if is_bound else ""
            yield prefix + function_line(name, one.__func__ if is_bound else one)


def _is_shown(kind: type, name: str, member: object) -> bool:
    if not (
        inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
    ):
        return False
    return not name.startswith("_") or (name == "__init__" and not is_dataclass(kind))


def function_line(name: str, function: Callable[..., Any]) -> str:
    """A function as one would declare it, on one line."""
    inner = inspect.unwrap(function)
    signature = inspect.signature(inner)
    parameters: list[str] = []
    for one in signature.parameters.values():
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not any(p[0] == "*" for p in parameters):
            parameters.append("*")
        parameters.append(_parameter(one))
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    result = _type(signature.return_annotation)
    return f"{'async ' * is_async}def {name}({', '.join(parameters)}) -> {result}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        text = f"*{text}"
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        text = f"**{text}"
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not inspect.Parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def _type(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        annotation = getattr(annotation, "__name__", None) or repr(annotation)
    return re.sub(r"\bbuiltins\.", "", str(annotation))
