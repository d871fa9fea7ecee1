"""Records as flat tuples, for snapshots and digests: only what is replicated, in a fixed order.

The order of fields is in snapshots on disk. New fields go to the end, and decoding fills them in
when an older snapshot lacks them. Decoding takes lists where encoding gave tuples."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from coord.core.records import (
    KeptReply,
    Labels,
    Lease,
    Lock,
    Queue,
    Redrive,
    Session,
    Task,
    TaskOptions,
    Waiter,
)
from coord.core.replies import TaskState
from coord.core.reply_rows import decode_reply, encode_reply
from coord.core.sizes import reply_size
from coord.core.table import GivenRow, Row

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


def decode_kept_reply(row: GivenRow) -> tuple[tuple[int, int], KeptReply]:
    reply = decode_reply(row[2])
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
    return (
        q.name,
        q.paused,
        q.submitted_total,
        q.completed_total,
        q.dead_total,
        q.cancelled_total,
        q.lost_leases_total,
        q.retried_total,
    )


def decode_queue(row: GivenRow) -> tuple[str, Queue]:
    return row[0], Queue(*row)


def encode_redrive(_: str, rest: Redrive) -> Row:
    return (rest.queue, rest.next_serial, rest.last_serial, rest.died_by)


def decode_redrive(row: GivenRow) -> tuple[str, Redrive]:
    return row[0], Redrive(*row)


def encode_task(_: int, t: Task) -> Row:
    """What came with feature level 1 stands in the row only where it is set."""
    row = _task_row(t)
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
    if len(row) > 24:
        worker, reason, at_wall_ms = row[24]
        task.given_back = (worker, reason, at_wall_ms)
    return task.serial, task


@lru_cache(4_096)
def _shared_options(values: tuple[int, ...]) -> TaskOptions:
    return TaskOptions(*values)
