"""The sustained benchmark's own judgement: systems that lose or double work are caught, each by
name; backlog, gaps and memory are told right."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.sustained import submitter as submitting
from bench.sustained.backlog import drained_s, gaps, latencies_s, spans_behind
from bench.sustained.book import Book, Ledger
from bench.sustained.memory import MB, slope, summary
from bench.sustained.submitter import Plan, Submitter, make_result, read_result
from bench.sustained.verdict import broken_promises
from bench.sustained.worker import Worker
from coord.client import DefiniteError, IndefiniteError, NotFoundError
from coord.client.types import ClaimedTask, QueueInfo, SubmittedTask, Task, TaskSpec, TaskState

QUEUE = "q"
VICTIM = 7  # the number of the task to which something happens


@dataclass
class Store:
    """A queue in memory that keeps its promises; `break_*` are where subclasses do not."""

    tasks: dict[str, Task] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    tokens: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    submitted: int = 0
    completed: int = 0

    async def submit(self, queue: str, payload: bytes = b"") -> SubmittedTask:
        assert queue == QUEUE
        return self.accept(payload)

    def accept(self, payload: bytes) -> SubmittedTask:
        task_id = f"t{next(self.ids)}"
        self.tasks[task_id] = _task(task_id, payload)
        self.ready.append(task_id)
        self.submitted += 1
        return SubmittedTask(task_id, 1, existed=False)

    async def wait(
        self, task_ids: Sequence[str], *, omit_payload: bool = False, timeout_ms: int | None = None
    ) -> list[Task]:
        assert omit_payload
        assert timeout_ms is not None
        if not all(task_id in self.tasks for task_id in task_ids):
            raise NotFoundError
        return [self.tasks[task_id] for task_id in task_ids]

    async def claim(
        self, queues: Sequence[str], *, max_tasks: int = 1, wait_ms: int = 0
    ) -> list[ClaimedTask]:
        assert (list(queues), wait_ms > 0) == ([QUEUE], True)
        await asyncio.sleep(0.001)
        taken, self.ready = self.ready[:max_tasks], self.ready[max_tasks:]
        return [
            ClaimedTask(one, QUEUE, "", self.tasks[one].spec.payload, next(self.tokens), 1, 3, 1)
            for one in taken
        ]

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        self.keep(task.task_id, result)

    def keep(self, task_id: str, result: bytes, state: TaskState = TaskState.COMPLETED) -> None:
        self.completed += state is TaskState.COMPLETED
        self.tasks[task_id] = dataclasses.replace(self.tasks[task_id], state=state, result=result)

    def counters(self) -> QueueInfo:
        left = sum(not task.finished for task in self.tasks.values())
        return QueueInfo(QUEUE, False, left, 0, 0, self.submitted, self.completed, *[0] * 6)


def _task(task_id: str, payload: bytes) -> Task:
    spec = TaskSpec(QUEUE, payload)
    return Task(task_id, spec, TaskState.READY, 0, 1, 1, 0, 0, "", 0, b"", 0, b"", "", 0, 0, 0, 0)


def is_victim(payload: bytes) -> bool:
    return payload.strip() == str(VICTIM).encode()


class Forgets(Store):
    """Acknowledges a submit that it has lost."""

    def accept(self, payload: bytes) -> SubmittedTask:
        found = super().accept(payload)
        if is_victim(payload):
            self.ready.remove(found.task_id)
            del self.tasks[found.task_id]
            self.submitted -= 1
        return found


class NeverHandsOut(Store):
    """Keeps a task to itself."""

    def accept(self, payload: bytes) -> SubmittedTask:
        found = super().accept(payload)
        if is_victim(payload):
            self.ready.remove(found.task_id)
        return found


class AcceptsTwice(Store):
    """Makes two tasks of one submit, as a repeated call without deduplication would."""

    def accept(self, payload: bytes) -> SubmittedTask:
        if is_victim(payload):
            super().accept(payload)
        return super().accept(payload)


class CommitsTwice(Store):
    """Hands a committed task out again and takes the second result as well."""

    handed_out_again = False

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        await super().complete(task, result)
        if is_victim(task.payload) and not self.handed_out_again:
            self.handed_out_again = True
            self.ready.append(task.task_id)


class LosesCommit(Store):
    """Acknowledges a commit, forgets it, and lets another worker do the task again."""

    lost = False

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        if is_victim(task.payload) and not self.lost:
            self.lost = True
            self.ready.append(task.task_id)
            return
        await super().complete(task, result)


class ChangesResult(Store):
    """Keeps another result than the one it has acknowledged."""

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        wrong = make_result(VICTIM, task.fencing_token + 1_000)
        await super().complete(task, wrong if is_victim(task.payload) else result)


class MixesUp(Store):
    """Keeps the result of another task."""

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        wrong = make_result(VICTIM + 1, task.fencing_token)
        await super().complete(task, wrong if is_victim(task.payload) else result)


class GivesUp(Store):
    """Ends a task dead although a worker has done it."""

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        if not is_victim(task.payload):
            await super().complete(task, result)
            return
        self.keep(task.task_id, b"", TaskState.DEAD)
        raise DefiniteError


class RefusesAndAccepts(Store):
    """Says that a submit certainly did not happen, and does it."""

    def accept(self, payload: bytes) -> SubmittedTask:
        found = super().accept(payload)
        if is_victim(payload):
            raise DefiniteError
        return found


class Unsure(Store):
    """Keeps all promises; a submit and a commit have an unknown outcome, one of them happened."""

    def accept(self, payload: bytes) -> SubmittedTask:
        if is_victim(payload):
            raise IndefiniteError
        return super().accept(payload)

    async def complete(self, task: ClaimedTask, result: bytes = b"") -> None:
        await super().complete(task, result)
        if task.payload.strip() == b"9":
            raise IndefiniteError


async def judge(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tenth of a second of work on it, and what the benchmark says."""
    monkeypatch.setattr(submitting, "LOOK_EVERY_S", 0.01)
    plan = Plan(QUEUE, rate=500, duration_s=0.1, drain_s=0.3)
    with Book(folder / "w.book") as done, Book(folder / "s.book") as handed:
        worker = Worker(store, done, QUEUE)
        working = asyncio.create_task(worker.run())
        await Submitter(store, handed, plan).run()
        worker.stop()
        await working
    ledger = Ledger.read([folder / "w.book", folder / "s.book"])
    assert len(ledger.due) > VICTIM
    return broken_promises(ledger, store.counters())


@pytest.mark.parametrize("kind", [Store, Unsure])
async def test_a_system_that_keeps_its_promises_passes(
    kind: type[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await judge(kind(), tmp_path, monkeypatch) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Forgets, f"1 tasks accepted and then not known to the cluster: {VICTIM}"),
        (NeverHandsOut, f"1 tasks accepted and never at an end: {VICTIM}"),
        (NeverHandsOut, "1 tasks are left in the queue"),
        (AcceptsTwice, f"1 tasks committed more than once: {VICTIM}"),
        (AcceptsTwice, "the queue has accepted"),
        (CommitsTwice, f"1 tasks committed more than once: {VICTIM}"),
        (CommitsTwice, "commits for"),
        (LosesCommit, f"1 tasks committed more than once: {VICTIM}"),
        (ChangesResult, f"1 tasks not kept as the worker was told: {VICTIM}"),
        (MixesUp, f"1 tasks not kept as the worker was told: {VICTIM}"),
        (GivesUp, f"1 tasks ended without a commit: {VICTIM}"),
        (RefusesAndAccepts, f"1 tasks committed although the submit was refused: {VICTIM}"),
    ],
)
async def test_a_system_that_breaks_a_promise_is_caught(
    kind: type[Store], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await judge(kind(), tmp_path, monkeypatch)
    assert any(said in line for line in broken), broken


def ledger_of(*lines: str) -> Ledger:
    ledger = Ledger()
    for line in lines:
        ledger.take(line.split())
    return ledger


def test_a_result_that_nobody_has_committed_is_caught() -> None:
    queue = QueueInfo(QUEUE, False, 0, 0, 0, 1, 1, *[0] * 6)
    lines = ["submitted 0 1.0 1.1", "ended 0 COMPLETED 5"]
    [said] = broken_promises(ledger_of(*lines), queue)
    assert said == "1 tasks kept with a result that no worker has committed: 0"
    assert broken_promises(ledger_of(*lines, "maybe 0 5 1.2"), queue) == []
    assert broken_promises(ledger_of(*lines, "maybe 0 4 1.2"), queue) == [said]


def test_a_book_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no line of a book: lost 3"):
        ledger_of("lost 3")


def work(*tasks: tuple[float, float]) -> Ledger:
    """Tasks that were due and committed at these moments."""
    lines = []
    for number, (due, committed) in enumerate(tasks):
        lines.append(f"submitted {number} {due} {due + 0.001}")
        lines.append(f"committed {number} 1 {committed}")
    return ledger_of(*lines)


def test_backlog_is_gone_when_nothing_is_late_for_a_while() -> None:
    quick = [(float(at), at + 0.02) for at in range(40)]
    # 2.35 to 4.5 behind, nothing late until 5.05, which is too short to count as over.
    late = [(2.1, 3.0), (2.5, 4.5), (4.8, 5.2)]
    spans = spans_behind(work(*quick, *late, (20.0, 20.5), (30.0, 30.5), (38.0, 38.3)))
    shown = [(round(begin, 3), round(end, 3)) for begin, end in spans]
    assert shown == [(2.35, 5.2), (20.25, 20.5), (30.25, 30.5), (38.25, 38.3)]
    # Killed at 2: until 5.2. At 4: the same backlog. At 6: what comes 14 s later is not of it.
    # At 19.5: the last backlog that began in the 10 s after it or before the next kill.
    found = drained_s([2.0, 4.0, 6.0, 19.5, 29.0], spans, 39.0)
    assert found == pytest.approx([3.2, 1.2, 0.0, 1.0, 9.3])


def test_a_task_that_is_never_committed_is_a_backlog_for_ever() -> None:
    [(begin, end)] = spans_behind(ledger_of("submitted 0 5.0 5.1"))
    assert (begin, end) == (pytest.approx(5.25), float("inf"))


def test_latency_counts_from_the_moment_work_was_due() -> None:
    found = latencies_s(work((1.0, 1.5), (2.0, 2.25), (3.0, 3.125)), since=2.0)
    assert found == [0.25, 0.125]


def test_gaps_are_those_between_acknowledged_submits() -> None:
    ledger = work((1.0, 1.1), (1.25, 2.0), (1.253, 2.0))
    [(begin_s, length_ms)] = gaps(ledger, zero=1.0, shortest_ms=5.0)
    assert (begin_s, length_ms) == (pytest.approx(0.001), pytest.approx(250))


def test_memory_that_grows_and_memory_that_does_not() -> None:
    flat = summary([(float(at), 50 * MB) for at in range(100)])
    assert flat["memory_start_mb"] == flat["memory_end_mb"] == 50
    assert flat["memory_growth_mb_per_min"] == 0
    grows = summary([(float(at), (50 + at) * MB) for at in range(100)])
    assert grows["memory_start_mb"] < grows["memory_middle_mb"] < grows["memory_end_mb"]
    assert grows["memory_growth_mb_per_min"] == pytest.approx(60)
    assert slope([(1.0, 5)]) == 0.0


def test_a_result_names_its_task_and_its_lease() -> None:
    assert read_result(make_result(12, 34)) == (12, 34)
    assert len(make_result(12, 34)) == 100
    assert read_result(b"\xff") == read_result(b"") == (-1, -1)
