"""How calls become lines of a history."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from chaos.histories import recorder as recording
from chaos.histories.history import parse_event
from chaos.histories.recorder import Process, Recorder, RefusedError
from coord.client import DeadlineError, NoLeaderError


async def answers(value: Any) -> Any:
    return value


async def raises(error: Exception) -> Any:
    raise error


def outcomes(recorder: Recorder) -> list[tuple[Any, str]]:
    return [(e.process, e.type) for e in recorder.events if e.type != "invoke"]


@pytest.mark.parametrize(
    ("error", "read_only", "expected"),
    [
        (NoLeaderError("no leader", "NO_LEADER"), False, "fail"),
        (DeadlineError("late", "DEADLINE_EXCEEDED"), False, "info"),
        (DeadlineError("late", "DEADLINE_EXCEEDED"), True, "fail"),
        (RefusedError("the compare failed"), False, "fail"),
    ],
)
async def test_errors_are_definite_or_not(error: Exception, read_only: bool, expected: str) -> None:
    recorder = Recorder()
    process = Process(recorder, "w", 1_000)
    number = process.number
    result = await process.call("f", "k", 1, lambda: raises(error), read_only=read_only)
    assert result is None
    assert outcomes(recorder) == [(number, expected)]
    assert recorder.events[-1].value == 1
    assert recorder.events[-1].error
    assert (process.number != number) is (expected == "info")


async def test_a_process_that_never_learned_its_outcome_gets_a_number_nobody_had() -> None:
    recorder = Recorder()
    one, two = Process(recorder, "w", 1_000), Process(recorder, "w", 1_000)
    await one.call("f", None, None, lambda: raises(DeadlineError("late", "X")))
    await one.call("f", None, None, lambda: answers(1))
    assert outcomes(recorder) == [(0, "info"), (2, "ok")]
    assert two.number == 1


async def test_a_call_that_hangs_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "HANG_GRACE_S", 0.0)
    recorder = Recorder()
    process = Process(recorder, "w", 20)
    await process.call("f", "k", 1, lambda: asyncio.sleep(60))
    assert outcomes(recorder) == [(0, "info")]
    assert [(hung.f, hung.key) for hung in recorder.hung] == [("f", "k")]


async def test_a_cancelled_call_is_unknown() -> None:
    recorder = Recorder()
    process = Process(recorder, "w", 1_000)
    task = asyncio.ensure_future(process.call("f", None, 1, lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(recorder) == [(0, "info")]


async def test_what_is_written_can_be_read_again() -> None:
    out = io.StringIO()
    recorder = Recorder(out)
    process = Process(recorder, "w", 1_000)
    await process.call("f", "k", [1, 2], lambda: answers({"a": 1}))
    recorder.fault("invoke", "kill", "SIGKILL to n1")
    lines = out.getvalue().splitlines()
    assert [parse_event(line, n) for n, line in enumerate(lines, 1)] == recorder.events
    assert [event.i for event in recorder.events] == [0, 1, 2]
    assert recorder.events[2].process == "nemesis"
