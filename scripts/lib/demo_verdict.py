"""What the demo claims in the end, computed from the cluster's own records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


class TaskRecord(Protocol):
    @property
    def task_id(self) -> str: ...
    @property
    def state(self) -> Any: ...
    @property
    def lost_leases(self) -> int: ...


class QueueRecord(Protocol):
    @property
    def submitted_total(self) -> int: ...
    @property
    def completed_total(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """`holds` only if every promise was kept; `broken` says which were not."""

    tasks_expected: int
    tasks_committed: int
    duplicates_committed: int
    attempts_rerun: int
    failover_ms: int | None
    killed_node: str
    new_leader: str
    killed_agent: str
    report: str
    report_matches: bool
    digests_equal: bool
    duration_ms: int
    broken: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        return {"holds": self.holds, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the store's records say about the tasks."""

    committed: int
    duplicates: int
    rerun: int
    broken: tuple[str, ...]


def count_tasks(
    expected: int, tasks: Sequence[TaskRecord], queues: Iterable[QueueRecord]
) -> Counts:
    """Compares the records of single tasks with the counters the queues keep independently.

    The counters never forget a commit, so a second commit of one task would show as more commits
    than completed tasks; a task submitted twice would show as more tasks than expected."""
    queues = list(queues)
    submitted = sum(queue.submitted_total for queue in queues)
    commits = sum(queue.completed_total for queue in queues)
    completed = {task.task_id for task in tasks if task.state.name == "COMPLETED"}
    broken = []
    if submitted != expected:
        broken.append(f"{expected} tasks were to be submitted, the queues count {submitted}")
    if len(tasks) != expected:
        broken.append(f"{expected} tasks were submitted, the store knows {len(tasks)}")
    if len(completed) != expected:
        broken.append(f"{expected - len(completed)} tasks were not committed")
    if commits != len(completed):
        broken.append(f"{commits} commits were counted for {len(completed)} completed tasks")
    return Counts(
        committed=len(completed),
        duplicates=max(0, commits - len(completed)),
        rerun=sum(task.lost_leases for task in tasks),
        broken=tuple(broken),
    )


def compare_digests(digests: Mapping[str, tuple[int, str]], nodes: Sequence[str]) -> list[str]:
    """What is wrong with these (applied index, digest) pairs; nothing when all nodes answered and
    agree at one index."""
    silent = [node for node in nodes if node not in digests]
    if silent:
        return [f"no digest from {', '.join(silent)}"]
    if len(set(digests.values())) > 1:
        found = ", ".join(f"{node} {d[:8]} at {i}" for node, (i, d) in sorted(digests.items()))
        return [f"the nodes differ: {found}"]
    return []
