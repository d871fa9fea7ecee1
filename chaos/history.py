"""Histories: what clients asked and were told, in order of occurrence.

One JSON object a line: `{"i", "process", "type": "invoke"|"ok"|"fail"|"info", "f", "key", "value",
"t"}` with `t` in nanoseconds. `ok`: it happened; `fail`: it certainly did not; `info`: unknown, it
may take effect at any later time, and the process goes on under a new number. Faults have the
process `"nemesis"`. (The model is Jepsen's.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

EventType = Literal["invoke", "ok", "fail", "info"]
NEMESIS = "nemesis"


class HistoryError(ValueError):
    """The text is not a history; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One line of a history. `value` is whatever JSON the workload uses."""

    i: int
    process: int | str
    type: EventType
    f: str
    key: str | None
    value: Any
    t: int

    def to_json(self) -> str:
        """The line for this event; the same event always gives the same bytes."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """An invocation with its completion. `returned` None: the outcome is unknown (or the history
    ends before it), so it may take effect at any time from `invoked` on, or never."""

    id: int
    process: int | str
    f: str
    key: str | None
    argument: Any
    result: Any
    invoked: int
    returned: int | None


def parse_event(line: str, number: int) -> HistoryEvent:
    """Read one line; HistoryError names the line number."""
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise HistoryError(f"line {number}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise HistoryError(f"line {number}: not a JSON object")
    kind = raw.get("type")
    if kind not in ("invoke", "ok", "fail", "info"):
        raise HistoryError(f"line {number}: type must be invoke, ok, fail or info, not {kind!r}")
    process, f, t = raw.get("process"), raw.get("f"), raw.get("t", 0)
    if not isinstance(process, int | str) or not isinstance(f, str) or not isinstance(t, int):
        raise HistoryError(f"line {number}: process, f and t must be there, t an integer")
    key = raw.get("key")
    return HistoryEvent(
        i=int(raw.get("i", number - 1)),
        process=process,
        type=kind,
        f=f,
        key=None if key is None else str(key),
        value=raw.get("value"),
        t=t,
    )


def read_history(path: Path) -> list[HistoryEvent]:
    """Every event of the file, in order. Raises HistoryError, OSError."""
    with path.open(encoding="utf-8") as lines:
        return [parse_event(line, n) for n, line in enumerate(lines, 1) if line.strip()]


def operations(events: Iterable[HistoryEvent]) -> Iterator[Operation]:
    """Pair invocations with completions. Failed operations are left out: they did not happen.

    Time is the position in the history, not `t`: two events with equal `t` still have an order."""
    open_calls: dict[int | str, tuple[int, HistoryEvent]] = {}
    for position, event in enumerate(events):
        if event.process == NEMESIS:
            continue
        if event.type == "invoke":
            if event.process in open_calls:
                raise HistoryError(f"event {event.i}: process {event.process} has a call open")
            open_calls[event.process] = (position, event)
            continue
        started = open_calls.pop(event.process, None)
        if started is None:
            raise HistoryError(f"event {event.i}: process {event.process} has no call open")
        if event.type != "fail":
            yield _paired(started, event, position if event.type == "ok" else None)
    for started in open_calls.values():
        yield _paired(started, None, None)


def _paired(
    started: tuple[int, HistoryEvent], end: HistoryEvent | None, returned: int | None
) -> Operation:
    position, call = started
    return Operation(
        id=call.i,
        process=call.process,
        f=call.f,
        key=call.key,
        argument=call.value,
        result=None if end is None else end.value,
        invoked=position,
        returned=returned,
    )
