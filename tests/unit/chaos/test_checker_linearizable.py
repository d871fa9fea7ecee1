"""The linearizability checker: histories that must pass, and above all those that must fail."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from chaos.checkers.linearizable import Bounds, check
from chaos.checkers.models import MODELS
from chaos.histories.history import HistoryError, HistoryEvent, Operation, operations, read_history


def history(*lines: tuple[int, str, str, Any]) -> list[Operation]:
    """(process, type, f, value), in order of occurrence, all on one key."""
    events = [
        HistoryEvent(i=i, process=p, type=kind, f=f, key="k", value=value, t=i)  # type: ignore[arg-type]
        for i, (p, kind, f, value) in enumerate(lines)
    ]
    return list(operations(events))


def register(ops: Iterable[Operation], **bounds: Any) -> Any:
    return check(ops, MODELS["cas-register"], Bounds(**bounds) if bounds else None)


GOOD = {
    "sequential": [
        (0, "invoke", "write", 1),
        (0, "ok", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
    ],
    "read of nothing": [(1, "invoke", "read", None), (1, "ok", "read", None)],
    "concurrent write seen early": [
        (0, "invoke", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
        (0, "ok", "write", 1),
    ],
    "unknown write takes effect late": [
        (0, "invoke", "write", 1),
        (0, "info", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", None),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
    ],
    "unknown write never takes effect": [
        (0, "invoke", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", None),
    ],
    "failed write did not happen": [
        (0, "invoke", "write", 1),
        (0, "fail", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", None),
    ],
    "cas chain through an unknown cas": [
        (0, "invoke", "write", 1),
        (0, "ok", "write", 1),
        (1, "invoke", "cas", [1, 2]),
        (1, "info", "cas", [1, 2]),
        (2, "invoke", "cas", [2, 3]),
        (2, "ok", "cas", [2, 3]),
        (0, "invoke", "read", None),
        (0, "ok", "read", 3),
    ],
}

BAD = {
    "stale read": [
        (0, "invoke", "write", 1),
        (0, "ok", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", None),
    ],
    "lost write": [
        (0, "invoke", "write", 1),
        (0, "ok", "write", 1),
        (0, "invoke", "write", 2),
        (0, "ok", "write", 2),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
    ],
    "value from nowhere": [(1, "invoke", "read", None), (1, "ok", "read", 9)],
    "failed write was seen": [
        (0, "invoke", "write", 1),
        (0, "fail", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
    ],
    "reads go back in time": [
        (0, "invoke", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", None),
        (0, "ok", "write", 1),
    ],
    "two cas from one value": [
        (0, "invoke", "write", 1),
        (0, "ok", "write", 1),
        (1, "invoke", "cas", [1, 2]),
        (2, "invoke", "cas", [1, 3]),
        (1, "ok", "cas", [1, 2]),
        (2, "ok", "cas", [1, 3]),
    ],
    "unknown write takes effect twice": [
        (0, "invoke", "write", 1),
        (0, "info", "write", 1),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
        (1, "invoke", "write", 2),
        (1, "ok", "write", 2),
        (1, "invoke", "read", None),
        (1, "ok", "read", 1),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_linearizable_histories_pass(name: str) -> None:
    assert register(history(*GOOD[name])).valid is True


@pytest.mark.parametrize("name", BAD)
def test_broken_histories_fail_with_an_excerpt(name: str) -> None:
    verdict = register(history(*BAD[name]))
    assert verdict.valid is False
    assert verdict.keys[0].excerpt
    assert verdict.keys[0].reason


def test_keys_are_judged_apart() -> None:
    good = history(*GOOD["sequential"])
    bad = [
        Operation(100 + o.id, o.process, o.f, "other", o.argument, o.result, o.invoked, o.returned)
        for o in history(*BAD["stale read"])
    ]
    verdict = register([*good, *bad])
    assert verdict.valid is False
    assert {key.key: key.valid for key in verdict.keys} == {"k": True, "other": False}


def test_two_holders_of_a_lock_fail() -> None:
    overlap = history(
        (0, "invoke", "acquire", "a"),
        (0, "ok", "acquire", "a"),
        (1, "invoke", "acquire", "b"),
        (1, "ok", "acquire", "b"),
        (0, "invoke", "release", "a"),
        (0, "ok", "release", "a"),
    )
    assert check(overlap, MODELS["lock"]).valid is False


def test_the_excerpt_names_the_stale_read() -> None:
    verdict = register(history(*BAD["lost write"]))
    assert any(op.f == "read" and op.result == 1 for op in verdict.keys[0].excerpt)


def wide_history(writers: int) -> list[Operation]:
    """Everything concurrent, and more cas from nothing than can be: every order must be tried."""
    calls = [(n, "invoke", "cas", [None, n]) for n in range(writers)]
    ends = [(n, "ok", "cas", [None, n]) for n in range(writers)]
    writes = [(100 + n, "invoke", "write", n) for n in range(writers)]
    written = [(100 + n, "ok", "write", n) for n in range(writers)]
    return history(*calls, *writes, *ends, *written)


def test_bounds_answer_unknown_instead_of_guessing() -> None:
    ticks = itertools.count()
    too_many = register(wide_history(12), max_states=100)
    assert too_many.valid == "unknown"
    slow = check(
        wide_history(12), MODELS["cas-register"], Bounds(1.0), clock=lambda: float(next(ticks))
    )
    assert slow.valid == "unknown"


def simulated_register(rng: random.Random, count: int, processes: int) -> list[HistoryEvent]:
    """A real register under concurrent callers; some outcomes are hidden from them."""
    events: list[HistoryEvent] = []
    open_calls: dict[int, tuple[str, Any, Any, str]] = {}
    names, fresh = list(range(processes)), itertools.count(processes)
    value: Any = None

    def add(process: int, kind: str, f: str, shown: Any) -> None:
        events.append(HistoryEvent(len(events), process, kind, f, "k", shown, len(events)))  # type: ignore[arg-type]

    while len(events) < count:
        slot = rng.randrange(processes)
        process = names[slot]
        if process in open_calls:
            f, argument, answer, kind = open_calls.pop(process)
            add(process, kind, f, answer if f == "read" else argument)
            if kind == "info":
                names[slot] = next(fresh)
            continue
        f = rng.choice(["read", "write", "cas"])
        argument = {"read": None, "write": len(events), "cas": [value, len(events)]}[f]
        add(process, "invoke", f, argument)
        kind, answer = "info" if rng.random() < 0.05 else "ok", None
        if f == "read":
            answer = value
        elif kind == "ok" or rng.random() < 0.5:
            value = argument if f == "write" else argument[1]
        open_calls[process] = (f, argument, answer, kind)
    return events


@pytest.mark.parametrize("seed", range(5))
def test_a_real_register_passes_and_a_tampered_one_fails(seed: int) -> None:
    events = simulated_register(random.Random(seed), 1_500, 20)
    assert register(operations(events)).valid is True
    reads = [n for n, e in enumerate(events) if e.f == "read" and e.type == "ok" and n > 700]
    spoiled = list(events)
    old = events[reads[0]]
    spoiled[reads[0]] = HistoryEvent(old.i, old.process, "ok", "read", "k", -1, old.t)
    assert register(operations(spoiled)).valid is False


def test_reading_a_history_file(tmp_path: Path) -> None:
    events = simulated_register(random.Random(1), 100, 3)
    path = tmp_path / "history.jsonl"
    path.write_text("".join(e.to_json() + "\n" for e in events), encoding="utf-8")
    assert read_history(path) == events
    assert json.loads(events[0].to_json()).keys() == {
        "i",
        "process",
        "type",
        "f",
        "key",
        "value",
        "t",
    }


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: not a JSON object"),
        ('{"process":1,"f":"read","t":1,"type":"maybe"}', "type must be"),
        ('{"f":"read","t":1,"type":"ok"}', "process, f and t"),
    ],
)
def test_what_is_not_a_history_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(HistoryError, match=complaint):
        read_history(path)


def test_a_completion_without_a_call_is_refused() -> None:
    with pytest.raises(HistoryError, match="no call open"):
        history((0, "ok", "read", 1))
