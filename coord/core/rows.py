"""Records as flat tuples, for snapshots and digests: only what is replicated, in a fixed order.

The order of fields is in snapshots on disk. New fields go to the end, and decoding fills them in
when an older snapshot lacks them. Decoding takes lists where encoding gave tuples."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from coord.core.base.table import GivenRow, Row
from coord.core.records import (
    KeptReply,
    Labels,
    Lease,
    Lock,
    Queue,
    Redrive,
    RetentionPolicy,
    Session,
    Task,
    TaskOptions,
    Tombstone,
    Waiter,
)
from coord.core.replies import KeyValue, TaskState
from coord.core.reply_rows import decode_reply, encode_reply
from coord.core.sizes import reply_size

_NO_SETTINGS: Final = (0, 0, int(RetentionPolicy.REFUSE), 0, False)
_STATES: Final = {int(state): state for state in TaskState}


def _labels(pairs: Any) -> Labels:
    return tuple((key, value) for key, value in pairs) if pairs else ()


def encode_session(_: int, s: Session) -> Row:
    """What came with feature level 1 stands in the row only where it is set."""
    row = _session_row(s)
    return (*row, s.stuck) if s.stuck else row


def _session_row(s: Session) -> Row:
    return (
        s.session_id,
        s.nonce,
        s.ttl_ms,
        s.kind,
        s.name,
        s.labels,
        s.queues,
        s.slots,
        s.opened_wall_ms,
        s.expires_at_ms,
        s.acked_below,
    )


def decode_session(row: GivenRow) -> tuple[int, Session]:
    values = (*row[:5], _labels(row[5]), tuple(row[6]), *row[7:11])
    session = Session(*values)
    if len(row) > 11:
        session.stuck = tuple(row[11])
    return row[0], session


def encode_kept_reply(key: tuple[int, int], kept: KeptReply) -> Row:
    reply, digest, _ = kept
    row = (*key, encode_reply(reply))
    return (*row, digest) if digest else row


def decode_kept_reply(
    row: GivenRow, share: Callable[[KeyValue], KeyValue] | None = None
) -> tuple[tuple[int, int], KeptReply]:
    reply = decode_reply(row[2], share)
    digest = row[3] if len(row) > 3 else 0
    return (row[0], row[1]), (reply, digest, reply_size(reply))


def encode_lock(_: str, lock: Lock) -> Row:
    return (
        lock.name,
        lock.session_id,
        lock.holder,
        lock.token,
        lock.ttl_ms,
        lock.expires_at_ms,
    )


def decode_lock(row: GivenRow) -> tuple[str, Lock]:
    return row[0], Lock(*row)


def encode_waiter(_: tuple[str, int], w: Waiter) -> Row:
    return (w.lock, w.ticket, w.session_id, w.holder, w.ttl_ms, w.leaves_at_ms)


def decode_waiter(row: GivenRow) -> tuple[tuple[str, int], Waiter]:
    return (row[0], row[1]), Waiter(*row)


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


def encode_setting(name: str, value: int) -> Row:
    return (name, value)


def decode_setting(row: GivenRow) -> tuple[str, int]:
    return row[0], row[1]


def encode_redrive(_: str, rest: Redrive) -> Row:
    return (rest.queue, rest.next_serial, rest.last_serial, rest.died_by)


def decode_redrive(row: GivenRow) -> tuple[str, Redrive]:
    return row[0], Redrive(*row)


def encode_task(_: int, t: Task) -> Row:
    """What came with feature level 1 stands in the row only where it is set."""
    row = _task_row(t)
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
        _labels(row[6]),
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
    return task.serial, task


@lru_cache(4_096)
def _shared_options(values: tuple[int, ...]) -> TaskOptions:
    return TaskOptions(*values)
