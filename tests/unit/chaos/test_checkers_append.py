"""List-append: histories that a serial order explains, and one of each kind that none does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chaos.checkers.append import check_append
from chaos.checkers.cycles import Edge, Graph, components
from chaos.checkers.result import CheckBounds
from tests.support.chaos_histories import history

Step = tuple[str, str, Any]


def a(name: str, value: int) -> Step:
    return ("append", name, value)


def r(name: str, *found: int) -> Step:
    return ("r", name, list(found))


def txn(called: int, ended: int, *steps: Step, outcome: str = "ok") -> Any:
    asked = [[f, name, None if f == "r" else value] for f, name, value in steps]
    return (called, ended, "txn", None, asked, outcome, [list(step) for step in steps])


GOOD = [
    [txn(0, 1, a("x", 1)), txn(2, 3, r("x", 1), a("y", 2)), txn(4, 5, r("y", 2), r("x", 1))],
    [txn(0, 9, a("x", 1)), txn(1, 8, r("x"))],
    [txn(0, 1, a("x", 1), outcome="info"), txn(2, 3, r("x")), txn(4, 5, r("x", 1))],
    [txn(0, 1, a("x", 1), outcome="fail"), txn(2, 3, r("x"))],
    [txn(0, 1, a("x", 1), r("x", 1), a("x", 2), r("x", 1, 2), a("x", 3), r("x", 1, 2, 3))],
    [txn(0, 1, a("x", 1), a("x", 2)), txn(2, 3, r("x", 1, 2))],
]
BAD = [
    ([txn(0, 1, a("x", 1)), txn(2, 3, r("x"))], "read skew (G-single) in real time"),
    (
        [txn(0, 1, a("x", 1)), txn(2, 3, a("x", 2)), txn(4, 5, r("x", 2, 1))],
        "write cycle (G0) in real time",
    ),
    (
        [
            txn(0, 9, a("x", 1), a("y", 1)),
            txn(0, 9, a("x", 2), a("y", 2)),
            txn(0, 9, r("x", 1, 2), r("y", 2, 1)),
        ],
        "write cycle (G0):",
    ),
    ([txn(0, 9, a("x", 1), r("y", 2)), txn(0, 9, a("y", 2), r("x", 1))], "(G1c):"),
    (
        [txn(0, 9, a("x", 1), a("y", 1)), txn(0, 9, r("x", 1), r("y")), txn(0, 9, r("y", 1))],
        "read skew (G-single):",
    ),
    (
        [
            txn(0, 9, r("x"), a("y", 1)),
            txn(0, 9, r("y"), a("x", 1)),
            txn(0, 9, r("x", 1), r("y", 1)),
        ],
        "anti-dependency cycle (G2):",
    ),
    (
        [txn(0, 1, a("x", 1)), txn(0, 1, a("x", 2)), txn(2, 3, r("x", 1)), txn(2, 3, r("x", 2))],
        "neither grew to the other",
    ),
    ([txn(0, 1, a("x", 1)), txn(2, 3, r("x", 1, 1))], "there twice"),
    ([txn(0, 1, a("x", 1), outcome="fail"), txn(2, 3, r("x", 1))], "its transaction failed"),
    ([txn(2, 3, r("x", 7))], "7 was read, but never appended"),
    ([txn(0, 9, a("x", 1), a("x", 2)), txn(2, 3, r("x", 1))], "before its transaction was over"),
    ([txn(0, 1, a("x", 1), r("x"))], "after it had appended [1]"),
    ([txn(0, 9, a("x", 1)), txn(0, 9, r("x"), r("x", 1))], "of its own"),
]


@pytest.mark.parametrize("made", GOOD)
def test_what_a_serial_order_explains_is_valid(made: list[Any]) -> None:
    result = check_append(history(*made), CheckBounds())
    assert result.valid is True, result.anomalies


@pytest.mark.parametrize(("made", "complaint"), BAD, ids=[words for _, words in BAD])
def test_what_none_explains_is_not(made: list[Any], complaint: str) -> None:
    result = check_append(history(*made), CheckBounds())
    assert result.valid is False
    assert complaint in result.anomalies[0]
    assert result.excerpt


def test_without_transactions_nothing_is_known() -> None:
    assert check_append([], CheckBounds()).valid == "unknown"


def serial(rng: random.Random, count: int) -> list[Any]:
    """Transactions that were carried out one after another, each at a moment within its call."""
    lists: dict[str, list[int]] = {}
    made = []
    for n in range(count):
        steps: list[Step] = []
        for _ in range(rng.randint(1, 4)):
            name = rng.choice("xyz")
            if rng.random() < 0.5:
                steps.append(r(name, *lists.get(name, ())))
            else:
                lists.setdefault(name, []).append(len(made) * 10 + len(steps))
                steps.append(a(name, lists[name][-1]))
        moment = 100 * (n + 1)
        outcome = rng.choice(["ok", "ok", "ok", "info"])
        made.append(
            txn(moment - rng.randint(1, 400), moment + rng.randint(1, 400), *steps, outcome=outcome)
        )
    return made


@pytest.mark.parametrize("seed", range(20))
def test_serial_executions_are_valid_and_one_forgotten_append_is_seen(seed: int) -> None:
    made = serial(random.Random(seed), 60)
    assert check_append(history(*made), CheckBounds()).valid is True
    lost = made[20][0], made[20][1], *made[20][2:4], [["append", "x", 999]], "ok", [a("x", 999)]
    last = txn(99_000, 99_001, *(r(name, *_final(made, name)) for name in "xyz"))
    assert check_append(history(*made, lost, last), CheckBounds()).valid is False


def _final(made: list[Any], name: str) -> list[int]:
    return [v for one in made for f, n, v in one[4] if f == "append" and n == name]


def test_components_are_those_of_a_plain_search() -> None:
    rng = random.Random(3)
    for _ in range(200):
        graph, size = Graph(), rng.randint(2, 9)
        for _ in range(rng.randint(1, 2 * size)):
            graph.add(Edge(rng.randrange(size), rng.randrange(size), "ww", ""))
        reach = {n: _reachable(graph, n) for n in range(size)}
        expected = {
            frozenset(m for m in range(size) if m in reach[n] and n in reach[m])
            for n in range(size)
        }
        expected = {one for one in expected if len(one) > 1}
        assert {frozenset(one) for one in components(graph)} == expected


def _reachable(graph: Graph, start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        for target in graph.after(waiting.pop()):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen
