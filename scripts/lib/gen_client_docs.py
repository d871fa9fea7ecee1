"""Writes the reference at the end of docs/client.md from the docstrings of the client.

With --verify it only says whether the file is up to date."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import coord.client
from coord.client.client import Client
from coord.client.tasks.tasks import Tasks
from coord.client.tasks.work import Work
from coord.client.transport import errors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client.md"
HEADING = "## Reference\n"
LINE = 96


def _services() -> dict[str, type]:
    """How each class is reached, in the order of the page; `work` stands behind what makes it."""
    found: dict[str, type] = {"Client": Client}
    for name, part in vars(Client("127.0.0.1:7400")).items():
        if not name.startswith("_"):
            found[f"client.{name}"] = type(part)
            found |= {"work": Work} if isinstance(part, Tasks) else {}
    return found


SERVICES = _services()


def page(current: str) -> str:
    """The page with its reference as it should be."""
    written = current.partition(HEADING)[0].rstrip("\n")
    parts = [_service(name, kind) for name, kind in SERVICES.items()]
    parts += [_values(), _errors()]
    return f"{written}\n\n{HEADING}\n" + "\n".join(parts)


def methods_of(kind: type) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """(name, function, is it a property) of everything public, in the order of the source."""
    seen: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        seen |= {n: one for n, one in vars(base).items() if not n.startswith("_")}
    for name, one in seen.items():
        if isinstance(one, property):
            assert one.fget is not None
            yield name, one.fget, True
        elif callable(one):
            yield name, one, False


def _service(name: str, kind: type) -> str:
    lines = [f"### `{name}`", "", _text(inspect.getdoc(kind)), ""]
    if kind is Client:
        lines += [_code(_signature("Client", kind.__init__)), ""]
    for method, function, is_property in methods_of(kind):
        path = f"{'client' if kind is Client else name}.{method}"
        lines += [f"#### `{path}`", ""]
        if not is_property:
            lines += [_code(_signature(path, function)), ""]
        lines += [_text(inspect.getdoc(function)), ""]
    return "\n".join(lines)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """As one writes it; a line for each parameter where it would be too long."""
    inner = inspect.unwrap(function)
    found = inspect.signature(inner)
    parameters: list[str] = []
    for parameter in list(found.parameters.values())[1:]:  # but self
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        parameters.append(_parameter(parameter))
    result = _result(found.return_annotation)
    awaited = "await " if inspect.iscoroutinefunction(inner) else ""
    entered = "async with " if inspect.isasyncgenfunction(inner) else ""
    start = f"{awaited}{entered}{name}("
    end = f"){result}"
    whole = start + ", ".join(parameters) + end
    if len(whole) <= LINE:
        return whole
    return start + "\n" + "".join(f"    {one},\n" for one in parameters) + end


def _parameter(parameter: inspect.Parameter) -> str:
    typed = f"{parameter.name}: {parameter.annotation}".replace("builtins.", "")
    if parameter.default is inspect.Parameter.empty:
        return typed
    return f"{typed} = {parameter.default!r}"


def _result(annotation: Any) -> str:
    text = str(annotation) if isinstance(annotation, str) else ""
    text = re.sub(r"^AsyncIterator\[(.*)\]$", r"\1", text.replace("builtins.", ""))
    return "" if text in {"", "None"} else f" -> {text}"


def _values() -> str:
    lines = ["### Values", "", "What calls take and return. Everything can be imported from "]
    lines[-1] += "`coord.client`."
    lines.append("")
    for name in sorted(coord.client.__all__):
        kind = getattr(coord.client, name)
        if not inspect.isclass(kind) or issubclass(kind, errors.CoordError):
            continue
        if kind in SERVICES.values():
            continue
        lines += [f"#### `{name}`", "", _text(inspect.getdoc(kind)), "", _code(_fields(kind)), ""]
    return "\n".join(lines)


def _fields(kind: type) -> str:
    """The fields as they stand in the source, with the remarks behind them."""
    if issubclass(kind, Enum):
        return "\n".join(f"{one.name} = {one.value!r}" for one in kind)
    assert is_dataclass(kind) or issubclass(kind, tuple | dict), kind
    source = textwrap.dedent(inspect.getsource(kind))
    found = re.findall(r"^    ([a-z]\w*: .+)$", source, re.MULTILINE)
    return "\n".join(line for line in found if not line.startswith("return"))


def _errors() -> str:
    reasons: dict[str, list[str]] = {}
    for reason, (kind, _) in errors.REASONS.items():
        reasons.setdefault(kind.__name__, []).append(f"`{reason}`")
    lines = [
        "### Errors",
        "",
        _text(inspect.getdoc(errors.CoordError)),
        "",
        "| error | did it happen? | meaning | reasons |",
        "| --- | --- | --- | --- |",
    ]
    for name in sorted(coord.client.__all__):
        kind = getattr(coord.client, name)
        if not inspect.isclass(kind) or not issubclass(kind, errors.CoordError):
            continue
        if kind is errors.CoordError:
            continue
        certain = "no" if issubclass(kind, errors.DefiniteError) else "perhaps"
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        lines.append(f"| `{name}` | {certain} | {meaning} | {', '.join(reasons.get(name, []))} |")
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _text(doc: str | None) -> str:
    """Paragraphs as they are; indented lines are code."""
    parts = []
    for part in (doc or "").split("\n\n"):
        if part.startswith("    "):
            parts.append(_code(textwrap.dedent(part)))
        else:
            parts.append(" ".join(part.split()))
    return "\n\n".join(parts)


def main() -> int:
    current = PAGE.read_text(encoding="utf-8")
    wanted = page(current)
    if "--verify" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write("docs/client.md is out of date; run scripts/gen_docs\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
