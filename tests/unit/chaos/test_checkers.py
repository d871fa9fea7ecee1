"""For every checker: histories that must pass, and one for each promise that must fail."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.checkers import CHECKERS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.histories.history import HistoryEvent
from tests.support.chaos_histories import history


def judge(name: str, events: list[HistoryEvent]) -> CheckResult:
    return CHECKERS[name](events, CheckBounds())


def add(at: int, value: int, outcome: str = "ok") -> Any:
    return (at, at + 1, "add", "s", value, outcome, value)


def read_set(at: int, *found: int) -> Any:
    return (at, at + 1, "read-set", "s", None, "ok", list(found))


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ([add(0, 1), read_set(2, 1)], ""),
        ([add(0, 1, "info"), read_set(2), read_set(4, 1)], ""),
        ([add(0, 1), add(4, 2), read_set(2, 1)], ""),
        ([add(0, 1), read_set(2)], "lacks [1]"),
        ([add(0, 1, "info"), read_set(2, 1), read_set(4)], "lacks [1]"),
        ([add(0, 1, "fail"), read_set(2, 1)], "never added"),
        ([read_set(2, 9)], "never added"),
    ],
)
def test_sets(made: list[Any], complaint: str) -> None:
    result = judge("set", history(*made))
    assert result.valid is (not complaint)
    assert complaint in "".join(result.anomalies)
    assert bool(result.excerpt) is bool(complaint)


def test_a_set_that_nobody_read_is_unknown() -> None:
    assert judge("set", history(add(0, 1))).valid == "unknown"


OPENED = (0, 1, "open", None, None, "ok", {"a": 10, "b": 10})


def move(at: int, amount: int, outcome: str = "ok") -> Any:
    return (at, at + 1, "transfer", None, ["a", "b", amount], outcome, ["a", "b", amount])


def balances(at: int, **found: int) -> Any:
    return (at, at + 1, "balances", None, None, "ok", found)


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ([move(2, 3), balances(4, a=7, b=13)], ""),
        ([move(2, 3, "fail"), balances(4, a=10, b=10)], ""),
        ([move(2, 3, "info"), balances(4, a=7, b=13)], ""),
        ([balances(4, a=7, b=10)], "sums to 17"),
        ([balances(4, a=-1, b=21)], "below nothing"),
        ([balances(4, a=20)], "has accounts ['a']"),
        ([move(2, 3), balances(4, a=10, b=10)], "account a ends with 10 instead of 7"),
        ([move(2, 3, "fail"), balances(4, a=7, b=13)], "ends with 7 instead of 10"),
    ],
)
def test_bank(made: list[Any], complaint: str) -> None:
    result = judge("bank", history(OPENED, *made))
    assert result.valid is (not complaint)
    assert complaint in "".join(result.anomalies)


def test_a_bank_that_never_opened_is_unknown() -> None:
    assert judge("bank", history(balances(0, a=1))).valid == "unknown"


def acquire(called: int, ended: int, token: int) -> Any:
    held = {"holder": f"h{token}-{called}", "token": token}
    return (called, ended, "acquire", "l", 0, "ok", held)


def use(at: int, token: int, holder: str = "h", outcome: str = "ok") -> Any:
    held = {"holder": holder, "token": token}
    return (at, at + 1, "use", "l", held, outcome, held)


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ([acquire(0, 1, 5), use(2, 5), acquire(4, 5, 6), use(6, 6)], ""),
        ([acquire(0, 9, 6), acquire(1, 8, 5)], ""),
        ([acquire(0, 1, 1), use(2, 2), use(4, 1, outcome="fail")], ""),
        ([acquire(0, 1, 5), acquire(2, 3, 4)], "token 4 was granted after token 5"),
        ([acquire(0, 9, 5), acquire(1, 8, 5)], "token 5 was granted twice"),
        ([acquire(0, 1, 1), use(2, 6), use(4, 5)], "token 5 was accepted after 6"),
        ([acquire(0, 1, 1), use(2, 6, "x"), use(4, 6, "y")], "used by two holders"),
    ],
)
def test_fenced_locks(made: list[Any], complaint: str) -> None:
    result = judge("fenced-lock", history(*made))
    assert result.valid is (not complaint)
    assert complaint in "".join(result.anomalies)


def test_beliefs_that_overlap_are_reported_not_judged() -> None:
    held = {"holder": "h1-0", "token": 1}
    result = judge(
        "fenced-lock",
        history(acquire(0, 1, 1), acquire(2, 3, 2), (5, 6, "release", "l", held, "fail", held)),
    )
    assert (result.valid, result.facts["beliefs_overlapping"]) == (True, 1)


def submit(at: int, payload: str, task: str, outcome: str = "ok") -> Any:
    return (at, at + 1, "submit", None, payload, outcome, {"task": task, "payload": payload})


def claim(called: int, ended: int, task: str, token: int) -> Any:
    return (called, ended, "claim", None, None, "ok", [{"task": task, "token": token}])


def complete(at: int, task: str, token: int, outcome: str = "ok") -> Any:
    named = {"task": task, "token": token, "result": f"{task}/{token}"}
    return (at, at + 1, "complete", None, named, outcome, named)


def give_up(at: int, task: str, token: int) -> Any:
    named = {"task": task, "token": token, "retryable": False}
    return (at, at + 1, "fail", None, named, "ok", named)


def listed(*tasks: tuple[str, str, str, str]) -> Any:
    names = ("task", "payload", "state", "result")
    found = [dict(zip(names, task, strict=True)) for task in tasks]
    return (90, 91, "list-tasks", None, None, "ok", found)


DONE = listed(("t1", "p", "COMPLETED", "t1/2"))
READY = listed(("t1", "p", "READY", ""))


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ([submit(0, "p", "t1"), claim(2, 3, "t1", 2), complete(4, "t1", 2), DONE], ""),
        ([submit(0, "p", "t1"), READY], ""),
        ([submit(0, "p", "?", "info"), READY], ""),
        ([submit(0, "p", "t1"), claim(2, 3, "t1", 2), complete(4, "t1", 2, "info"), DONE], ""),
        ([submit(0, "p", "t1"), listed()], "was acknowledged and is lost"),
        ([submit(0, "p", "t1"), submit(2, "p", "t2"), READY], "accepted twice"),
        ([READY], "nobody submitted 'p'"),
        ([submit(0, "p", "?", "fail"), READY], "nobody submitted 'p'"),
        (
            [
                submit(0, "p", "?", "info"),
                listed(("t1", "p", "READY", ""), ("t2", "p", "READY", "")),
            ],
            "are both 'p'",
        ),
        ([submit(0, "q", "t1"), submit(2, "p", "?", "info"), READY], "has the payload 'p'"),
        ([submit(0, "p", "t1"), complete(4, "t1", 2), READY], "was acknowledged, but it is READY"),
        (
            [submit(0, "p", "t1"), complete(4, "t1", 2), complete(6, "t1", 3), DONE],
            "committed 2 times",
        ),
        ([submit(0, "p", "t1"), complete(4, "t1", 2, "fail"), DONE], "a result nobody committed"),
        (
            [submit(0, "p", "t1"), claim(2, 3, "t1", 3), complete(4, "t1", 2), DONE],
            "token 2 committed after 3 was handed out",
        ),
        (
            [submit(0, "p", "t1"), claim(2, 3, "t1", 5), claim(4, 5, "t1", 4), READY],
            "token 4 was handed out after 5",
        ),
        (
            [submit(0, "p", "t1"), claim(2, 9, "t1", 5), claim(3, 8, "t1", 5), READY],
            "token 5 was handed out twice",
        ),
        (
            [submit(0, "p", "t1"), complete(4, "t1", 2), claim(6, 7, "t1", 9), DONE],
            "handed out again with token 9",
        ),
        ([submit(0, "p", "t1"), give_up(4, "t1", 2), READY], "given up for good, but is READY"),
    ],
)
def test_queue(made: list[Any], complaint: str) -> None:
    result = judge("queue", history(*made))
    assert result.valid is (not complaint), result.anomalies
    assert complaint in "".join(result.anomalies)


def test_the_figures_of_a_queue_add_up() -> None:
    """A submit whose answer was lost took effect, or did not."""
    both = listed(("t1", "p", "READY", ""), ("t2", "q", "READY", ""))
    unknown = [submit(2, "q", "?", "info"), submit(4, "r", "?", "info")]
    result = judge("queue", history(submit(0, "p", "t1"), *unknown, both))
    assert result.valid is True
    facts = result.facts
    assert (facts["acknowledged"], facts["unacknowledged_but_there"]) == (1, 1)
    assert facts["there_in_the_end"] == sum(facts["in_the_end"].values()) == 2


def test_a_queue_without_its_list_is_unknown() -> None:
    assert judge("queue", history(submit(0, "p", "t1"))).valid == "unknown"


def test_an_invalid_register_shows_the_calls_involved() -> None:
    events = history(
        (0, 1, "write", "k", 1, "ok", 1),
        (2, 3, "write", "k", 2, "ok", 2),
        (4, 5, "read", "k", None, "ok", 1),
    )
    result = judge("register", events)
    assert result.valid is False
    assert [shown.text for shown in result.excerpt] == ["write k 1", "write k 2", "read k → 1"]


def agent_task(task: str, payload: str, state: str, attempt: int, made_by: int | None) -> Any:
    result = None if made_by is None else {"task_id": task, "attempt": made_by}
    names = {"task": task, "payload": payload, "state": state, "attempt": attempt}
    return {**names, "result": result}


def looked_up(*tasks: Any) -> Any:
    return (90, 91, "list-tasks", None, None, "ok", list(tasks))


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ([submit(0, "p", "t1"), looked_up(agent_task("t1", "p", "COMPLETED", 2, 2))], ""),
        ([submit(0, "p", "t1", "info"), looked_up(agent_task("t1", "p", "COMPLETED", 1, 1))], ""),
        ([submit(0, "p", "t1"), looked_up()], "t1 was acknowledged and is not there"),
        (
            [submit(0, "p", "t1", "fail"), looked_up(agent_task("t1", "p", "COMPLETED", 1, 1))],
            "t1 was never submitted",
        ),
        (
            [
                submit(0, "p", "t1"),
                looked_up(
                    agent_task("t1", "p", "COMPLETED", 1, 1),
                    agent_task("t2", "p", "COMPLETED", 1, 1),
                ),
            ],
            "t1 and t2 are both p",
        ),
        (
            [submit(0, "p", "t1"), looked_up(agent_task("t1", "p", "COMPLETED", 2, 1))],
            "the result of attempt 1, but 2 had been handed out",
        ),
        (
            [submit(0, "p", "t1"), looked_up(agent_task("t1", "p", "CLAIMED", 2, None))],
            "was not done in time after the heal, but is CLAIMED",
        ),
        (
            [
                submit(0, "p", "t1"),
                looked_up({**agent_task("t2", "p", "COMPLETED", 1, 1), "task": "t1"}),
            ],
            "t1 has the result of t2",
        ),
    ],
)
def test_agents(made: list[Any], complaint: str) -> None:
    result = judge("agents", history(*made))
    assert result.valid is (not complaint), result.anomalies
    assert complaint in "".join(result.anomalies)


def test_agents_without_a_list_or_a_commit_are_unknown() -> None:
    assert judge("agents", history(submit(0, "p", "t1"))).valid == "unknown"
    assert judge("agents", history(looked_up())).valid == "unknown"
