"""The demo's verdict: every way in which a promise can be broken is seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest

from scripts.lib.demo_probe import longest_gap_ms
from scripts.lib.demo_verdict import Counts, Verdict, compare_digests, count_tasks


class State(Enum):
    COMPLETED = 1
    DEAD = 2


@dataclass
class Task:
    task_id: str
    state: State = State.COMPLETED
    lost_leases: int = 0


@dataclass
class Queue:
    submitted_total: int
    completed_total: int


def test_a_clean_run_has_nothing_broken() -> None:
    tasks = [Task("t1"), Task("t2", lost_leases=2), Task("t3", lost_leases=1)]
    counts = count_tasks(3, tasks, [Queue(2, 2), Queue(1, 1)])
    assert counts == Counts(committed=3, duplicates=0, rerun=3, broken=())


@pytest.mark.parametrize(
    ("tasks", "queue", "words", "duplicates"),
    [
        ([Task("t1"), Task("t2")], Queue(2, 3), "3 commits were counted for 2", 1),
        ([Task("t1"), Task("t2"), Task("t3")], Queue(3, 3), "2 tasks were to be submitted", 0),
        ([Task("t1")], Queue(2, 1), "store knows 1", 0),
        ([Task("t1"), Task("t2", State.DEAD)], Queue(2, 1), "1 tasks were not committed", 0),
        ([Task("t1"), Task("t2")], Queue(2, 1), "1 commits were counted for 2", 0),
    ],
)
def test_every_broken_promise_is_named(
    tasks: list[Task], queue: Queue, words: str, duplicates: int
) -> None:
    counts = count_tasks(2, tasks, [queue])
    assert any(words in line for line in counts.broken)
    assert counts.duplicates == duplicates


def test_digests_must_come_from_all_nodes_and_be_equal() -> None:
    nodes = ["n1", "n2"]
    assert compare_digests({"n1": (5, "aa"), "n2": (5, "aa")}, nodes) == []
    assert "no digest from n2" in compare_digests({"n1": (5, "aa")}, nodes)[0]
    assert "differ" in compare_digests({"n1": (5, "aa"), "n2": (5, "bb")}, nodes)[0]
    assert "differ" in compare_digests({"n1": (5, "aa"), "n2": (6, "aa")}, nodes)[0]


@pytest.mark.parametrize(
    ("acknowledged", "expected"),
    [
        ([1.0, 1.1, 1.9, 2.0, 3.0], 1000),
        ([0.9, 1.5, 2.9], 1400),
        ([0.1], 2900),
        ([], 2000),
        # The last write before the kill may have been long before it.
        ([0.2, 2.0, 2.5, 3.0], 1800),
    ],
)
def test_the_gap_counts_from_the_last_write_before_to_the_end(
    acknowledged: list[float], expected: int
) -> None:
    assert longest_gap_ms(acknowledged, since=1.0, until=3.0) == expected


def test_the_verdict_holds_only_when_nothing_is_broken() -> None:
    facts = {
        "tasks_expected": 1,
        "tasks_committed": 1,
        "duplicates_committed": 0,
        "attempts_rerun": 0,
        "failover_ms": 300,
        "killed_node": "n1",
        "new_leader": "n2",
        "killed_agent": "a1",
        "report": "r.md",
        "report_matches": True,
        "digests_equal": True,
        "duration_ms": 1,
    }
    assert Verdict(**facts, broken=()).as_json()["holds"] is True
    assert not Verdict(**facts, broken=("something",)).holds
