"""What a checker says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.histories.history import Call, HistoryEvent
from chaos.histories.verdicts import Verdict

MAX_ANOMALIES = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A call to be drawn next to others. Times are nanoseconds; `to_ns` None: no end is known."""

    process: int | str
    text: str
    from_ns: int
    to_ns: int | None
    outcome: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`anomalies`: one line for each broken promise, the first ones only. `facts`: figures for
    the report, JSON values. `excerpt`: the calls around the first anomaly."""

    valid: Verdict
    anomalies: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    excerpt: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckBounds:
    """`max_seconds` of one check; beyond that it answers "unknown"."""

    max_seconds: float = 60.0


Checker = Callable[[Sequence[HistoryEvent], CheckBounds], CheckResult]


def judged(
    anomalies: Sequence[str],
    facts: Mapping[str, Any],
    involved: Sequence[Call] = (),
    *,
    enough: bool = True,
) -> CheckResult:
    """Invalid if there are anomalies; unknown if there was not `enough` to judge by."""
    valid: Verdict = False if anomalies else (True if enough else "unknown")
    shown = tuple(show(call) for call in involved) if anomalies else ()
    return CheckResult(valid, tuple(anomalies[:MAX_ANOMALIES]), facts, shown)


def show(call: Call) -> Shown:
    """The call for the report."""
    key = "" if call.invoke.key is None else f" {call.invoke.key}"
    asked = "" if call.invoke.value is None else f" {shorten(call.invoke.value)}"
    told = f" → {shorten(call.result)}" if call.ok and call.result != call.invoke.value else ""
    return Shown(
        process=call.invoke.process,
        text=f"{call.invoke.f}{key}{asked}{told}",
        from_ns=call.invoke.t,
        to_ns=None if call.returned is None or call.end is None else call.end.t,
        outcome=call.type,
    )


def shorten(value: Any, limit: int = 60) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
