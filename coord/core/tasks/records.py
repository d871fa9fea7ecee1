"""The records of tasks and queues, and their rows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from coord.core.base.request import Labels, labels_in_row
from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.table import GivenRow, Row
from coord.core.tasks.commands import TaskState
from coord.core.tasks.states import FINISHED

_SERIAL_BITS: Final = 64
_SERIAL_MASK: Final = (1 << _SERIAL_BITS) - 1


def task_id_of(serial: int) -> str:
    """The public name of the task made by revision `serial`."""
    return f"t{serial}"


def serial_of(task_id: str) -> int:
    """The number in a task id; 0, which is no task's, if it is not a task id."""
    digits = task_id[1:]
    if task_id[:1] != "t" or not digits.isascii() or not digits.isdigit():
        return 0
    # No serial is longer; leading zeros would give one task several names.
    if len(digits) > 20 or digits[0] == "0":
        return 0
    return int(digits)


def rank_key(serial: int, priority: int) -> int:
    """One integer that sorts tasks by (priority descending, submission ascending).

    Priority 0, nearly every task, gives the serial itself, so the index shares its object."""
    return serial - (priority << _SERIAL_BITS) if priority else serial


def serial_of_rank(key: int) -> int:
    """The serial in a `rank_key`."""
    return key & _SERIAL_MASK


class TaskOptions(NamedTuple):
    """The numbers of a TaskSpec with defaults filled in. Equal ones are one shared object."""

    max_attempts: int
    backoff_initial_ms: int
    backoff_max_ms: int
    backoff_multiplier_permille: int
    attempt_timeout_ms: int
    progress_timeout_ms: int
    total_timeout_ms: int
    retention_ms: int
    delay_ms: int
    not_before_wall_ms: int
    max_lost_leases: int = 0  # 0: the default


@dataclass(slots=True)
class Lease:
    """A claimed task in somebody's hands. Deadlines that are 0 do not exist."""

    session_id: int
    worker: str
    ttl_ms: int
    expires_at_ms: int
    attempt_ends_at_ms: int
    progress_due_at_ms: int


@dataclass(slots=True)
class Task:
    serial: int  # the revision that created it; its id is "t" + serial
    queue: str
    payload: bytes
    priority: int
    type: str
    idempotency_key: str
    labels: Labels
    options: TaskOptions
    submitted_ms: int
    submitted_wall_ms: int
    state: TaskState
    mod_revision: int
    since_ms: int  # when it entered this state
    ready_at_ms: int  # SCHEDULED: not claimable before this; 0: waits for its calendar time only
    dies_at_ms: int  # end of the total time-out; 0: none
    attempt: int = 0  # attempts started that count, <= max_attempts
    token: int = 0  # of the last lease; 0: never claimed
    lease: Lease | None = None  # exactly while CLAIMED
    lost_leases: int = 0
    checkpoint: bytes = b""
    progress_permille: int = 0
    result: bytes = b""
    last_error: str = ""
    finished_wall_ms: int = 0
    # Who gave it back with a reason last, the reason, and when (wall); until it is claimed.
    given_back: tuple[str, str, int] | None = None
    spec_digest: int = 0  # of what was asked for under its idempotency key; 0: not noted
    # Why it failed or ended without a word of its worker: a `coord.core.tasks.causes.Cause`, and
    # the milliseconds that it names.
    cause: tuple[int, int] | None = None
    # ---- derived
    size: int = 0  # as it stands in the account of its queue: coord.core.account

    @property
    def task_id(self) -> str:
        return task_id_of(self.serial)

    @property
    def finished(self) -> bool:
        """Nothing more happens to it by itself, but being forgotten."""
        return self.state in FINISHED


class RetentionPolicy(IntEnum):
    """What a queue does when a quota of it is used up. Numbers are those of
    coord.v1.RetentionPolicy."""

    REFUSE = 1  # new tasks
    DROP_RESULTS_OLDEST = 2  # completed tasks go before their time, the one that ended first first


@dataclass(slots=True)
class Tombstone:
    """What is left of a completed task that was forgotten: its idempotency key is still known."""

    serial: int
    queue: str
    idempotency_key: str
    spec_digest: int
    ended_revision: int
    ended_ms: int
    retention_ms: int  # as in the options of the task
    early: bool  # went before its time, by the policy of its queue


class Retained:
    """Completed tasks of one queue with one retention, oldest end first, and behind them what is
    left of those that were forgotten."""

    __slots__ = ("rows", "stones")

    def __init__(self) -> None:
        self.rows: deque[int] = deque()  # serials
        self.stones: deque[int] = deque()


@dataclass(slots=True)
class Redrive:
    """The rest of a redrive that is too large for one entry: dead tasks of the queue that died at
    `died_by` or before, with serials from `next_serial` to `last_serial`."""

    queue: str
    next_serial: int
    last_serial: int
    died_by: int


@dataclass(slots=True)
class Queue:
    """Made by its first submit or pause. The totals never decrease."""

    name: str
    paused: bool = False
    submitted_total: int = 0
    completed_total: int = 0
    dead_total: int = 0
    cancelled_total: int = 0
    lost_leases_total: int = 0
    retried_total: int = 0
    quota_tasks: int = 0  # of tasks that are kept, in whatever state; 0: none
    quota_bytes: int = 0  # of tasks and of what is left of them; 0: none
    policy: RetentionPolicy = RetentionPolicy.REFUSE
    forgotten_early_total: int = 0
    deleting: bool = False  # takes and hands out nothing any more
    # ---- derived
    ready: SortedKeys[int] = field(default_factory=SortedKeys)  # rank keys
    ready_uneven: int = 0  # how many in `ready` have a priority other than 0
    claimed: set[int] = field(default_factory=set)  # serials; sort before walking
    scheduled: SortedKeys[int] = field(default_factory=SortedKeys)  # serials
    completed: SortedKeys[int] = field(default_factory=SortedKeys)
    dead: SortedKeys[int] = field(default_factory=SortedKeys)
    cancelled: SortedKeys[int] = field(default_factory=SortedKeys)
    known_keys: dict[str, int] = field(default_factory=dict)  # idempotency key -> serial
    # (since_ms, serial) of ready tasks, flattened, oldest first; may hold tasks gone meanwhile.
    arrivals: deque[int] = field(default_factory=deque)
    old_arrivals: deque[int] = field(default_factory=deque)  # before those: what trimming has kept
    retained: dict[int, Retained] = field(default_factory=dict)  # by retention_ms of the options
    stones: int = 0  # how many tombstones
    size: int = 0  # bytes of all its tasks and tombstones: coord.core.account
    completed_size: int = 0  # of those in `retained`


_NO_SETTINGS: Final = (0, 0, int(RetentionPolicy.REFUSE), 0, False)
_STATES: Final = {int(state): state for state in TaskState}


def encode_queue(_: str, q: Queue) -> Row:
    row = (
        q.name,
        q.paused,
        q.submitted_total,
        q.completed_total,
        q.dead_total,
        q.cancelled_total,
        q.lost_leases_total,
        q.retried_total,
    )
    # The first release reads exactly eight fields, and nothing else is set at its level.
    settings = (q.quota_tasks, q.quota_bytes, int(q.policy), q.forgotten_early_total, q.deleting)
    return row if settings == _NO_SETTINGS else row + settings


def decode_queue(row: GivenRow) -> tuple[str, Queue]:
    queue = Queue(*row[:8])
    if len(row) > 8:
        queue.quota_tasks, queue.quota_bytes, policy, queue.forgotten_early_total = row[8:12]
        queue.policy = RetentionPolicy(policy)
        queue.deleting = row[12]
    return row[0], queue


def encode_tombstone(_: int, t: Tombstone) -> Row:
    return (
        t.serial,
        t.queue,
        t.idempotency_key,
        t.spec_digest,
        t.ended_revision,
        t.ended_ms,
        t.retention_ms,
        t.early,
    )


def decode_tombstone(row: GivenRow) -> tuple[int, Tombstone]:
    return row[0], Tombstone(*row)


def encode_redrive(_: str, rest: Redrive) -> Row:
    return (rest.queue, rest.next_serial, rest.last_serial, rest.died_by)


def decode_redrive(row: GivenRow) -> tuple[str, Redrive]:
    return row[0], Redrive(*row)


def encode_task(_: int, t: Task) -> Row:
    """What came with feature level 1 stands in the row only where it is set."""
    row = _task_row(t)
    if t.cause is not None:
        return (*row, t.given_back, t.spec_digest, t.cause)
    if t.spec_digest:
        return (*row, t.given_back, t.spec_digest)
    return row if t.given_back is None else (*row, t.given_back)


def _options_row(options: TaskOptions) -> Row:
    row = tuple(options)
    return row if options.max_lost_leases else row[:-1]


def _task_row(t: Task) -> Row:
    lease = t.lease
    return (
        t.serial,
        t.queue,
        t.payload,
        t.priority,
        t.type,
        t.idempotency_key,
        t.labels,
        _options_row(t.options),
        t.submitted_ms,
        t.submitted_wall_ms,
        int(t.state),
        t.mod_revision,
        t.since_ms,
        t.ready_at_ms,
        t.dies_at_ms,
        t.attempt,
        t.token,
        lease
        and (
            lease.session_id,
            lease.worker,
            lease.ttl_ms,
            lease.expires_at_ms,
            lease.attempt_ends_at_ms,
            lease.progress_due_at_ms,
        ),
        t.lost_leases,
        t.checkpoint,
        t.progress_permille,
        t.result,
        t.last_error,
        t.finished_wall_ms,
    )


def decode_task(row: GivenRow) -> tuple[int, Task]:
    lease = row[17]
    values = (
        *row[:6],
        labels_in_row(row[6]),
        _shared_options(tuple(row[7])),  # one object for equal options: there may be a million
        row[8],
        row[9],
        _STATES[row[10]],
        *row[11:17],
        lease and Lease(*lease),
        *row[18:24],
    )
    task = Task(*values)
    if len(row) > 24 and row[24] is not None:
        worker, reason, at_wall_ms = row[24]
        task.given_back = (worker, reason, at_wall_ms)
    if len(row) > 25:
        task.spec_digest = row[25]
    if len(row) > 26:
        cause, value_ms = row[26]
        task.cause = (cause, value_ms)
    return task.serial, task


@lru_cache(4_096)
def _shared_options(values: tuple[int, ...]) -> TaskOptions:
    return TaskOptions(*values)
