"""Locks: requests to commands, replies to responses."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from coord.codec.kinds import CommandKind, Decoder
from coord.codec.lookup import Lookup, ReplyBuilder, header_only
from coord.core.base.request import Done
from coord.core.locks.commands import (
    AcquireLock,
    CancelLockWait,
    LockReply,
    RefreshLock,
    ReleaseLock,
)
from coord.core.locks.queries import LockInfo
from coord.pb import lock_pb2

K = CommandKind


def _acquire(m: lock_pb2.AcquireLockRequest) -> AcquireLock:
    return AcquireLock(m.name, m.holder, m.ttl_ms, m.wait_ms)


def _release_lock(m: lock_pb2.ReleaseLockRequest) -> ReleaseLock:
    return ReleaseLock(m.name, m.fencing_token)


def _refresh_lock(m: lock_pb2.RefreshLockRequest) -> RefreshLock:
    return RefreshLock(m.name, m.fencing_token)


def _cancel_wait(m: lock_pb2.CancelWaitRequest) -> CancelLockWait:
    return CancelLockWait(m.name, m.holder)


def lock_info(lock: LockInfo) -> lock_pb2.LockInfo:
    """A lock as its message."""
    return lock_pb2.LockInfo(
        name=lock.name,
        held=lock.held,
        session_id=lock.session_id,
        holder=lock.holder,
        fencing_token=lock.fencing_token,
        remaining_ms=lock.remaining_ms,
        waiters=[
            lock_pb2.LockWaiter(session_id=session_id, holder=holder, ticket=ticket)
            for session_id, holder, ticket in lock.waiters
        ],
        waiter_count=lock.waiter_count,
    )


def _lock_reply(command: Any, reply: LockReply, lookup: Lookup) -> Message:
    if reply.acquired:
        return lock_pb2.AcquireLockResponse(acquired=True, fencing_token=reply.fencing_token)
    return lock_pb2.AcquireLockResponse(lock=lock_info(lookup.lock(command.name)))


def _lock_refreshed(command: Any, reply: Done, lookup: Lookup) -> Message:
    return lock_pb2.RefreshLockResponse(ttl_ms=lookup.lock_ttl_ms(command.name))


DECODERS: Final[dict[CommandKind, Decoder]] = {
    K.ACQUIRE_LOCK: _acquire,
    K.RELEASE_LOCK: _release_lock,
    K.REFRESH_LOCK: _refresh_lock,
    K.CANCEL_LOCK_WAIT: _cancel_wait,
}
ENCODERS: Final[dict[CommandKind, ReplyBuilder]] = {
    K.ACQUIRE_LOCK: _lock_reply,
    K.RELEASE_LOCK: header_only(lock_pb2.ReleaseLockResponse),
    K.REFRESH_LOCK: _lock_refreshed,
    # Logged by the server itself: nobody reads the answer, so the smallest one will do.
    K.CANCEL_LOCK_WAIT: header_only(lock_pb2.ReleaseLockResponse),
}
