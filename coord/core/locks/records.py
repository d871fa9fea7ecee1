"""The records of a lock and of who waits for it, and their rows."""

from __future__ import annotations

from dataclasses import dataclass

from coord.core.base.table import GivenRow, Row


@dataclass(slots=True)
class Lock:
    """Exists exactly while somebody holds it."""

    name: str
    session_id: int
    holder: str
    token: int  # the revision that granted it
    ttl_ms: int  # 0: ends with its session only
    expires_at_ms: int  # 0: ends with its session only


@dataclass(slots=True)
class Waiter:
    """In the queue of a lock, which is held; tickets are revisions, so their order is arrival."""

    lock: str
    ticket: int
    session_id: int
    holder: str
    ttl_ms: int
    leaves_at_ms: int


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
