"""Scenario files: commands and the traces they must give.

    == title of a scenario, which starts from nothing
    # Comments and empty lines go anywhere.
    command
    ----
    expected line
    ...

The line before `----` is the command; what follows, up to the next command, is its trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SEPARATOR = "----"


@dataclass
class Step:
    command: str
    expected: list[str]
    line: int


@dataclass
class Scenario:
    path: Path
    title: str
    steps: list[Step] = field(default_factory=list)


def read_scenarios(path: Path) -> list[Scenario]:
    """All scenarios of a file, in order."""
    scenarios: list[Scenario] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("== "):
            scenarios.append(Scenario(path, line[3:].strip()))
        elif following == SEPARATOR:
            scenarios[-1].steps.append(Step(line, [], number + 1))
        elif line and line != SEPARATOR and not line.startswith("#"):
            scenarios[-1].steps[-1].expected.append(line)
    return scenarios


def check(scenario: Scenario, run: Callable[[str], list[str]]) -> None:
    """Carry out a scenario; AssertionError at the first trace that is another than the file's."""
    assert scenario.steps
    for step in scenario.steps:
        trace = run(step.command)
        where = f"{scenario.path.name}:{step.line}: {step.command}"
        assert trace == step.expected, where


def rewrite(path: Path, start: Callable[[], Callable[[str], list[str]]]) -> None:
    """Runs a file and puts the traces that came out in the place of the expected ones.

    `start` begins a scenario and gives what carries out one command."""
    run = start()
    lines = path.read_text(encoding="utf-8").splitlines()
    written: list[str] = []
    in_trace = False
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if following == SEPARATOR:
            in_trace = False
            written += ([""] if written and _is_trace(written) else []) + [line, SEPARATOR]
            written += run(line)
        elif line == SEPARATOR:
            in_trace = True
        elif line.startswith(("== ", "#")):
            run = start() if line.startswith("== ") else run
            written += ([""] if written and _is_trace(written) else []) + [line]
        elif (not line or not in_trace) and written and written[-1]:
            written.append(line)
    path.write_text("\n".join(written).rstrip("\n") + "\n", encoding="utf-8")


def _is_trace(written: list[str]) -> bool:
    return bool(written[-1]) and not written[-1].startswith(("#", "== "))
