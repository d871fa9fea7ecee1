"""Core replies -> the bytes of the response message that belongs to the request.

The header is the first field of every response and the same for all replies of a node at one
revision, so its bytes are made once and put in front of the encoded rest: in protobuf, joining the
bytes of two messages merges them. Items are made in place (`add`): a message that is made first and
then put in a list is copied into it by way of its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from coord.codec import etcd, wire
from coord.codec.kinds import ETCD_KINDS, CommandKind
from coord.core.base.refusal import Rejected
from coord.core.base.request import Done
from coord.core.kv.commands import KvRangeReply
from coord.core.locks.commands import LockReply
from coord.core.locks.queries import LockInfo
from coord.core.sessions.commands import SessionKept, SessionOpened
from coord.core.tasks.commands import (
    Claimed,
    ItemOutcomes,
    QueueDeleted,
    Redriven,
    Submitted,
    TaskChanged,
)
from coord.core.tasks.records import Task
from coord.pb import cluster_pb2, common_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd_pb

K = CommandKind

_HEADER_FIELD: Final = 1
PART_KEYS: Final = 1_000


class Lookup(Protocol):
    """What a reply shows beyond what it says: read from the applied state when it is encoded."""

    def claimed_task(self, task_id: str, fencing_token: int) -> Task | None:
        """The task while it is held under this token; None once it is not."""
        ...

    def attempts_allowed(self, task: Task) -> int:
        """How many attempts there may be of it, as far as is known."""
        ...

    def lock(self, name: str) -> LockInfo:
        """The lock as it is now: who holds it, and how many wait."""
        ...

    def lock_ttl_ms(self, name: str) -> int:
        """The TTL of a held lock; 0 if it lives as long as its session, or is not held."""
        ...


class ReplyEncoder:
    """Encodes replies of one node. `term` and the default revision change with `at`.

    `etcd_cluster_id` and `etcd_member_id` are the numeric ids of the etcd API."""

    __slots__ = ("_cluster_id", "_etcd_ids", "_header", "_node_id", "_revision", "_term")

    def __init__(
        self, cluster_id: str, node_id: str, etcd_cluster_id: int, etcd_member_id: int
    ) -> None:
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._etcd_ids = (etcd_cluster_id, etcd_member_id)
        self._term = -1
        self._revision = -1
        self._header = b""

    def at(self, term: int, revision: int) -> None:
        """From now on headers carry this term and this revision."""
        if term == self._term and revision == self._revision:
            return
        self._term, self._revision = term, revision
        self._header = wire.field(_HEADER_FIELD, self.header().SerializeToString())

    def header(self) -> common_pb2.ResponseHeader:
        """The header of coord.v1 responses."""
        return common_pb2.ResponseHeader(
            cluster_id=self._cluster_id,
            node_id=self._node_id,
            term=self._term,
            revision=self._revision,
        )

    def etcd_header(self, revision: int) -> etcd_pb.ResponseHeader:
        """The header of an etcd response, at the revision that its reply was given at."""
        cluster_id, member_id = self._etcd_ids
        return etcd_pb.ResponseHeader(
            cluster_id=cluster_id, member_id=member_id, revision=revision, raft_term=self._term
        )

    def with_header(self, message: Message) -> bytes:
        """The bytes of a coord.v1 response whose header is not filled in, with it."""
        return self._header + message.SerializeToString()

    def encode(self, kind: int, command: Any, reply: Any, lookup: Lookup) -> bytes:
        """The response bytes for a request of this kind that was answered with `reply`.

        `reply` must not be Rejected: that is an error status, not a response."""
        if kind in ETCD_KINDS:
            message = etcd.response(reply, self.etcd_header(reply.revision))
            data: bytes = message.SerializeToString()
            return data
        return self._header + _BUILDERS[kind](command, reply, lookup).SerializeToString()

    def encode_range(self, reply: KvRangeReply) -> bytes:
        """The response bytes of an etcd Range."""
        message = etcd.range_response(reply, self.etcd_header(reply.revision))
        data: bytes = message.SerializeToString()
        return data

    def range_parts(self, reply: KvRangeReply) -> Iterator[bytes]:
        """The response bytes of an etcd Range, in parts to be joined: each takes a few ms."""
        first, rest = reply.kvs[:PART_KEYS], reply.kvs[PART_KEYS:]
        yield self.encode_range(reply._replace(kvs=first))
        for start in range(0, len(rest), PART_KEYS):
            kvs = [etcd.key_value(kv) for kv in rest[start : start + PART_KEYS]]
            yield etcd_pb.RangeResponse(kvs=kvs).SerializeToString()


# ---- sessions


def _session_opened(command: Any, reply: SessionOpened, lookup: Lookup) -> Message:
    return session_pb2.OpenSessionResponse(session_id=reply.session_id, ttl_ms=reply.ttl_ms)


def _session_kept(command: Any, reply: SessionKept, lookup: Lookup) -> Message:
    return session_pb2.KeepAliveResponse(ttl_ms=reply.ttl_ms)


# ---- tasks


def _submitted(command: Any, reply: Submitted, lookup: Lookup) -> Message:
    message = task_pb2.SubmitResponse()
    add = message.tasks.add
    for task_id, revision, existed in reply.tasks:
        if existed:
            add(task_id=task_id, revision=revision, existed=True)
        else:
            add(task_id=task_id, revision=revision)
    return message


def _claimed(command: Any, reply: Claimed, lookup: Lookup) -> Message:
    # A repeated claim is answered with the first reply; what was lost meanwhile is left out.
    find = lookup.claimed_task
    message = task_pb2.ClaimResponse()
    add = message.tasks.add
    for task_id, token, attempt, lease_ttl_ms in reply.tasks:
        task = find(task_id, token)
        if task is not None:
            claimed = add(
                task_id=task_id,
                queue=task.queue,
                type=task.type,
                payload=task.payload,
                fencing_token=token,
                attempt=attempt,
                max_attempts=lookup.attempts_allowed(task),
                lease_ttl_ms=lease_ttl_ms,
            )
            if _has_more(task):
                _show_more(task, claimed)
    return message


def _has_more(task: Task) -> bool:
    """Few tasks use these fields, and every field that is set takes its time."""
    options = task.options
    return bool(
        task.priority
        or task.checkpoint
        or task.labels
        or task.lost_leases
        or options.attempt_timeout_ms
        or options.progress_timeout_ms
    )


def _show_more(task: Task, claimed: task_pb2.ClaimedTask) -> None:
    claimed.priority = task.priority
    claimed.checkpoint = task.checkpoint
    claimed.lost_leases = task.lost_leases
    claimed.attempt_timeout_ms = task.options.attempt_timeout_ms
    claimed.progress_timeout_ms = task.options.progress_timeout_ms
    if task.labels:
        claimed.labels.update(dict(task.labels))


def item_error(rejected: Rejected) -> common_pb2.ItemError:
    """A refusal as part of a response."""
    return common_pb2.ItemError(
        reason=rejected.reason.value,
        message=rejected.message,
        metadata=dict(rejected.metadata),
    )


def _outcomes(response: Any) -> _Builder:
    def build(command: Any, reply: ItemOutcomes, lookup: Lookup) -> Message:
        message = response()
        add = message.results.add
        for state, revision, rejected in reply.items:
            if rejected is None:
                add(state=state, revision=revision)
            else:
                add(state=state, revision=revision, error=item_error(rejected))
        answer: Message = message
        return answer

    return build


def _task_changed(response: Any) -> _Builder:
    def build(command: Any, reply: TaskChanged, lookup: Lookup) -> Message:
        message: Message = response(state=reply.state)
        return message

    return build


def _redriven(command: Any, reply: Redriven, lookup: Lookup) -> Message:
    return task_pb2.RedriveResponse(redriven=reply.redriven)


# ---- locks


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


def _queue_deleted(command: Any, reply: QueueDeleted, lookup: Lookup) -> Message:
    return task_pb2.DeleteQueueResponse(deleted=reply.deleted, remaining=reply.remaining)


def _lock_reply(command: Any, reply: LockReply, lookup: Lookup) -> Message:
    if reply.acquired:
        return lock_pb2.AcquireLockResponse(acquired=True, fencing_token=reply.fencing_token)
    return lock_pb2.AcquireLockResponse(lock=lock_info(lookup.lock(command.name)))


def _lock_refreshed(command: Any, reply: Done, lookup: Lookup) -> Message:
    return lock_pb2.RefreshLockResponse(ttl_ms=lookup.lock_ttl_ms(command.name))


def _empty(response: Any) -> _Builder:
    """A response that is its header and nothing else."""
    message: Message = response()
    return lambda command, reply, lookup: message


_Builder = Callable[[Any, Any, Lookup], Message]

_BUILDERS: Final[dict[int, _Builder]] = {
    K.OPEN_SESSION: _session_opened,
    K.KEEP_ALIVE: _session_kept,
    K.CLOSE_SESSION: _empty(session_pb2.CloseSessionResponse),
    K.SUBMIT_TASKS: _submitted,
    K.CLAIM_TASKS: _claimed,
    K.HEARTBEAT_TASKS: _outcomes(task_pb2.HeartbeatResponse),
    K.COMPLETE_TASKS: _outcomes(task_pb2.CompleteResponse),
    K.FAIL_TASKS: _outcomes(task_pb2.FailResponse),
    K.RELEASE_TASKS: _outcomes(task_pb2.ReleaseResponse),
    K.CANCEL_TASK: _task_changed(task_pb2.CancelTaskResponse),
    K.RETRY_TASK: _task_changed(task_pb2.RetryTaskResponse),
    K.REDRIVE_QUEUE: _redriven,
    K.PAUSE_QUEUE: _empty(task_pb2.PauseQueueResponse),
    K.SET_QUEUE: _empty(task_pb2.SetQueueResponse),
    K.DELETE_QUEUE: _queue_deleted,
    # The service answers with the quota as it reads it afterwards.
    K.SET_QUOTA: _empty(cluster_pb2.QuotaResponse),
    K.ACQUIRE_LOCK: _lock_reply,
    K.RELEASE_LOCK: _empty(lock_pb2.ReleaseLockResponse),
    K.REFRESH_LOCK: _lock_refreshed,
    # Logged by the server itself: nobody reads the answer, so the smallest one will do.
    K.CANCEL_LOCK_WAIT: _empty(lock_pb2.ReleaseLockResponse),
    # The service answers with the level as it reads it afterwards.
    K.RAISE_LEVEL: _empty(cluster_pb2.LevelResponse),
}
