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
CLOCK_AHEAD = "clock-ahead"


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
    workload: str = ""  # which workload made the call, where several share a history
    error: str = ""  # of fail and info: what the caller was told

    def to_json(self) -> str:
        """The line for this event; the same event always gives the same bytes."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        for optional in ("workload", "error"):
            if not fields[optional]:
                del fields[optional]
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


@dataclass(frozen=True, slots=True)
class Call:
    """An invocation and what came of it. `end` None: the history ends before it. `invoked` and
    `returned` are positions in the history; `returned` None: the outcome is unknown."""

    invoke: HistoryEvent
    end: HistoryEvent | None
    invoked: int
    returned: int | None

    @property
    def type(self) -> EventType:
        """ok, fail, or info (also where the history ends first)."""
        return "info" if self.end is None else self.end.type

    @property
    def ok(self) -> bool:
        return self.type == "ok"

    @property
    def result(self) -> Any:
        return None if self.end is None else self.end.value


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
        workload=str(raw.get("workload", "")),
        error=str(raw.get("error", "")),
    )


def read_history(path: Path) -> list[HistoryEvent]:
    """Every event of the file, in order. Raises HistoryError, OSError."""
    with path.open(encoding="utf-8") as lines:
        return [parse_event(line, n) for n, line in enumerate(lines, 1) if line.strip()]


def calls(events: Iterable[HistoryEvent]) -> Iterator[Call]:
    """Pair invocations with completions, in order of completion; the open ones last.

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
        invoked, invoke = started
        yield Call(invoke, event, invoked, None if event.type == "info" else position)
    for invoked, invoke in open_calls.values():
        yield Call(invoke, None, invoked, None)


def clock_ahead_ms(events: Iterable[HistoryEvent]) -> int:
    """How far monotonic clocks of nodes had been made to run ahead, all together, in the end."""
    told = [e.value for e in events if e.process == NEMESIS and e.f == CLOCK_AHEAD]
    return int(max(told, default=0))


def of_workload(events: Iterable[HistoryEvent], workload: str) -> list[HistoryEvent]:
    """The calls of a workload, and the faults."""
    return [event for event in events if event.workload == workload or event.process == NEMESIS]


def operations(events: Iterable[HistoryEvent]) -> Iterator[Operation]:
    """The calls as a model sees them. Failed ones are left out: they did not happen."""
    for call in calls(events):
        if call.type != "fail":
            yield Operation(
                id=call.invoke.i,
                process=call.invoke.process,
                f=call.invoke.f,
                key=call.invoke.key,
                argument=call.invoke.value,
                result=call.result,
                invoked=call.invoked,
                returned=call.returned,
            )
