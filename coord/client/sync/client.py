"""The client for code without an event loop: the same names, blocking.

    with Client("127.0.0.1:7400") as client:
        client.tasks.submit("emails", b"...")

One background thread runs the async client's event loop; any number of threads may call. What the
calls do, take and raise is described at their async twins in `coord.client`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from coord.client import client as _client
from coord.client import cluster as _cluster
from coord.client import kv as _kv
from coord.client import sessions as _sessions
from coord.client.kv import Compare, Key, Op, SortBy
from coord.client.sync.locks import LockGrant, Locks, LostSignal
from coord.client.sync.loop import BlockingLoop
from coord.client.tasks import queues as _queues
from coord.client.tasks import tasks as _tasks
from coord.client.transport.stale import Stale
from coord.client.types import (
    ClaimedTask,
    ClusterStatus,
    DeleteResult,
    FeatureLevel,
    HeartbeatItem,
    ItemResult,
    KeyValue,
    LeaderTransfer,
    Member,
    NodeDigest,
    NodeStatus,
    QueueInfo,
    Quota,
    RangeResult,
    RetentionPolicy,
    SessionInfo,
    SubmittedTask,
    Task,
    TaskExplanation,
    TaskHandle,
    TaskSpec,
    TaskState,
    TxnResult,
)

__all__ = ["Client", "LockGrant", "LostSignal"]


class Tasks:
    """See `coord.client.tasks.tasks.Tasks`."""

    def __init__(self, loop: BlockingLoop, inner: _tasks.Tasks) -> None:
        self._loop = loop
        self._inner = inner

    def submit(
        self,
        queue: str,
        payload: bytes = b"",
        *,
        priority: int = 0,
        idempotency_key: str = "",
        type: str = "",  # noqa: A002 - the field's name everywhere
        delay_ms: int = 0,
        not_before_unix_ms: int = 0,
        max_attempts: int = 0,
        backoff_initial_ms: int = 0,
        backoff_max_ms: int = 0,
        backoff_multiplier_permille: int = 0,
        attempt_timeout_ms: int = 0,
        progress_timeout_ms: int = 0,
        total_timeout_ms: int = 0,
        retention_ms: int = 0,
        labels: Mapping[str, str] | None = None,
        max_lost_leases: int = 0,
        timeout_ms: int | None = None,
    ) -> SubmittedTask:
        return self._loop.run(
            self._inner.submit(
                queue,
                payload,
                priority=priority,
                idempotency_key=idempotency_key,
                type=type,
                delay_ms=delay_ms,
                not_before_unix_ms=not_before_unix_ms,
                max_attempts=max_attempts,
                backoff_initial_ms=backoff_initial_ms,
                backoff_max_ms=backoff_max_ms,
                backoff_multiplier_permille=backoff_multiplier_permille,
                attempt_timeout_ms=attempt_timeout_ms,
                progress_timeout_ms=progress_timeout_ms,
                total_timeout_ms=total_timeout_ms,
                retention_ms=retention_ms,
                labels=labels,
                max_lost_leases=max_lost_leases,
                timeout_ms=timeout_ms,
            )
        )

    def submit_many(
        self, tasks: Sequence[TaskSpec], *, timeout_ms: int | None = None
    ) -> builtins.list[SubmittedTask]:
        return self._loop.run(self._inner.submit_many(tasks, timeout_ms=timeout_ms))

    def claim(
        self,
        queues: Sequence[str],
        *,
        max_tasks: int = 1,
        lease_ttl_ms: int = 15000,
        wait_ms: int = 0,
        worker: str = "",
        timeout_ms: int | None = None,
    ) -> builtins.list[ClaimedTask]:
        return self._loop.run(
            self._inner.claim(
                queues,
                max_tasks=max_tasks,
                lease_ttl_ms=lease_ttl_ms,
                wait_ms=wait_ms,
                worker=worker,
                timeout_ms=timeout_ms,
            )
        )

    def heartbeat(
        self, items: Sequence[HeartbeatItem], *, timeout_ms: int | None = None
    ) -> builtins.list[ItemResult]:
        return self._loop.run(self._inner.heartbeat(items, timeout_ms=timeout_ms))

    def complete(
        self, task: ClaimedTask | TaskHandle, result: bytes = b"", *, timeout_ms: int | None = None
    ) -> ItemResult:
        return self._loop.run(self._inner.complete(task, result, timeout_ms=timeout_ms))

    def complete_many(
        self,
        items: Sequence[tuple[ClaimedTask | TaskHandle, bytes]],
        *,
        timeout_ms: int | None = None,
    ) -> builtins.list[ItemResult]:
        return self._loop.run(self._inner.complete_many(items, timeout_ms=timeout_ms))

    def fail(
        self,
        task: ClaimedTask | TaskHandle,
        error: str,
        *,
        retryable: bool = True,
        retry_after_ms: int | None = None,
        timeout_ms: int | None = None,
    ) -> ItemResult:
        return self._loop.run(
            self._inner.fail(
                task,
                error,
                retryable=retryable,
                retry_after_ms=retry_after_ms,
                timeout_ms=timeout_ms,
            )
        )

    def release(
        self,
        task: ClaimedTask | TaskHandle,
        *,
        delay_ms: int = 0,
        reason: str = "",
        timeout_ms: int | None = None,
    ) -> ItemResult:
        return self._loop.run(
            self._inner.release(task, delay_ms=delay_ms, reason=reason, timeout_ms=timeout_ms)
        )

    def get(
        self,
        task_id: str,
        *,
        omit_payload: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> Task:
        return self._loop.run(
            self._inner.get(task_id, omit_payload=omit_payload, stale=stale, timeout_ms=timeout_ms)
        )

    def list(
        self,
        queue: str = "",
        states: Sequence[TaskState] = (),
        limit: int = 100,
        after: str = "",
        *,
        omit_payload: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[Task]:
        return self._loop.run(
            self._inner.list(
                queue,
                states,
                limit,
                after,
                omit_payload=omit_payload,
                stale=stale,
                timeout_ms=timeout_ms,
            )
        )

    def wait(
        self, task_ids: Sequence[str], *, omit_payload: bool = False, timeout_ms: int | None = None
    ) -> builtins.list[Task]:
        return self._loop.run(
            self._inner.wait(task_ids, omit_payload=omit_payload, timeout_ms=timeout_ms)
        )

    def result(self, task_id: str, timeout_ms: int | None = None) -> bytes:
        return self._loop.run(self._inner.result(task_id, timeout_ms))

    def cancel(self, task_id: str, reason: str = "", *, timeout_ms: int | None = None) -> TaskState:
        return self._loop.run(self._inner.cancel(task_id, reason, timeout_ms=timeout_ms))

    def retry(self, task_id: str, *, timeout_ms: int | None = None) -> TaskState:
        return self._loop.run(self._inner.retry(task_id, timeout_ms=timeout_ms))

    def redrive(self, queue: str, limit: int = 1000, *, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.redrive(queue, limit, timeout_ms=timeout_ms))

    def explain(
        self, task_id: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> TaskExplanation:
        return self._loop.run(self._inner.explain(task_id, stale=stale, timeout_ms=timeout_ms))


class Queues:
    """See `coord.client.tasks.queues.Queues`."""

    def __init__(self, loop: BlockingLoop, inner: _queues.Queues) -> None:
        self._loop = loop
        self._inner = inner

    def list(
        self, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> builtins.list[QueueInfo]:
        return self._loop.run(self._inner.list(stale=stale, timeout_ms=timeout_ms))

    def get(
        self, queue: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> QueueInfo:
        return self._loop.run(self._inner.get(queue, stale=stale, timeout_ms=timeout_ms))

    def pause(self, queue: str, *, timeout_ms: int | None = None) -> None:
        return self._loop.run(self._inner.pause(queue, timeout_ms=timeout_ms))

    def configure(
        self,
        queue: str,
        *,
        quota_tasks: int | None = None,
        quota_bytes: int | None = None,
        policy: RetentionPolicy | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        return self._loop.run(
            self._inner.configure(
                queue,
                quota_tasks=quota_tasks,
                quota_bytes=quota_bytes,
                policy=policy,
                timeout_ms=timeout_ms,
            )
        )

    def delete(self, queue: str, *, force: bool = False, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.delete(queue, force=force, timeout_ms=timeout_ms))

    def resume(self, queue: str, *, timeout_ms: int | None = None) -> None:
        return self._loop.run(self._inner.resume(queue, timeout_ms=timeout_ms))


class Kv:
    """See `coord.client.kv.Kv`."""

    def __init__(self, loop: BlockingLoop, inner: _kv.Kv) -> None:
        self._loop = loop
        self._inner = inner

    def get(
        self,
        key: Key,
        *,
        revision: int = 0,
        serializable: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> KeyValue | None:
        return self._loop.run(
            self._inner.get(
                key,
                revision=revision,
                serializable=serializable,
                stale=stale,
                timeout_ms=timeout_ms,
            )
        )

    def get_prefix(
        self,
        prefix: Key,
        *,
        limit: int = 0,
        revision: int = 0,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[KeyValue]:
        return self._loop.run(
            self._inner.get_prefix(
                prefix, limit=limit, revision=revision, stale=stale, timeout_ms=timeout_ms
            )
        )

    def range(
        self,
        key: Key,
        range_end: Key = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        sort_by: SortBy = "key",
        descending: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> RangeResult:
        return self._loop.run(
            self._inner.range(
                key,
                range_end,
                limit=limit,
                revision=revision,
                sort_by=sort_by,
                descending=descending,
                keys_only=keys_only,
                count_only=count_only,
                serializable=serializable,
                stale=stale,
                timeout_ms=timeout_ms,
            )
        )

    def put(self, key: Key, value: Key, *, lease: int = 0, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.put(key, value, lease=lease, timeout_ms=timeout_ms))

    def delete(self, key: Key, *, timeout_ms: int | None = None) -> bool:
        return self._loop.run(self._inner.delete(key, timeout_ms=timeout_ms))

    def delete_prefix(self, prefix: Key, *, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.delete_prefix(prefix, timeout_ms=timeout_ms))

    def delete_range(
        self,
        key: Key,
        range_end: Key = b"",
        *,
        prev_kv: bool = False,
        timeout_ms: int | None = None,
    ) -> DeleteResult:
        return self._loop.run(
            self._inner.delete_range(key, range_end, prev_kv=prev_kv, timeout_ms=timeout_ms)
        )

    def txn(
        self,
        compare: Sequence[Compare] = (),
        success: Sequence[Op] = (),
        failure: Sequence[Op] = (),
        *,
        timeout_ms: int | None = None,
    ) -> TxnResult:
        return self._loop.run(self._inner.txn(compare, success, failure, timeout_ms=timeout_ms))

    def compare_and_set(
        self, key: Key, expected_mod_revision: int, value: Key, *, timeout_ms: int | None = None
    ) -> bool:
        return self._loop.run(
            self._inner.compare_and_set(key, expected_mod_revision, value, timeout_ms=timeout_ms)
        )

    def compact(self, revision: int, *, timeout_ms: int | None = None) -> None:
        return self._loop.run(self._inner.compact(revision, timeout_ms=timeout_ms))


class Sessions:
    """See `coord.client.sessions.Sessions`."""

    def __init__(self, loop: BlockingLoop, inner: _sessions.Sessions) -> None:
        self._loop = loop
        self._inner = inner

    def list(
        self,
        kind: str = "",
        limit: int = 1000,
        after: int = 0,
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[SessionInfo]:
        return self._loop.run(
            self._inner.list(kind, limit, after, stale=stale, timeout_ms=timeout_ms)
        )

    def keep_alive(self, session_id: int, *, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.keep_alive(session_id, timeout_ms=timeout_ms))

    def close(self, session_id: int, *, timeout_ms: int | None = None) -> None:
        return self._loop.run(self._inner.close(session_id, timeout_ms=timeout_ms))


class Cluster:
    """See `coord.client.cluster.Cluster`."""

    def __init__(self, loop: BlockingLoop, inner: _cluster.Cluster) -> None:
        self._loop = loop
        self._inner = inner

    def status(self, *, timeout_ms: int | None = None) -> ClusterStatus:
        return self._loop.run(self._inner.status(timeout_ms=timeout_ms))

    def node_status(self, address: str, *, timeout_ms: int | None = None) -> NodeStatus:
        return self._loop.run(self._inner.node_status(address, timeout_ms=timeout_ms))

    def digests(self, *, timeout_ms: int | None = None) -> builtins.list[NodeDigest]:
        return self._loop.run(self._inner.digests(timeout_ms=timeout_ms))

    def transfer_leader(self, target: str = "", *, timeout_ms: int | None = None) -> LeaderTransfer:
        return self._loop.run(self._inner.transfer_leader(target, timeout_ms=timeout_ms))

    def members(self, *, timeout_ms: int | None = None) -> builtins.list[Member]:
        return self._loop.run(self._inner.members(timeout_ms=timeout_ms))

    def add_member(
        self, node_id: str, address: str, peer_address: str, *, timeout_ms: int | None = None
    ) -> builtins.list[Member]:
        return self._loop.run(
            self._inner.add_member(node_id, address, peer_address, timeout_ms=timeout_ms)
        )

    def promote_member(
        self, node_id: str, *, timeout_ms: int | None = None
    ) -> builtins.list[Member]:
        return self._loop.run(self._inner.promote_member(node_id, timeout_ms=timeout_ms))

    def remove_member(
        self, node_id: str, *, timeout_ms: int | None = None
    ) -> builtins.list[Member]:
        return self._loop.run(self._inner.remove_member(node_id, timeout_ms=timeout_ms))

    def level(self, *, timeout_ms: int | None = None) -> FeatureLevel:
        return self._loop.run(self._inner.level(timeout_ms=timeout_ms))

    def raise_level(self, level: int = 0, *, timeout_ms: int | None = None) -> FeatureLevel:
        return self._loop.run(self._inner.raise_level(level, timeout_ms=timeout_ms))

    def quota(self, *, timeout_ms: int | None = None) -> Quota:
        return self._loop.run(self._inner.quota(timeout_ms=timeout_ms))

    def set_quota(self, limit_bytes: int, *, timeout_ms: int | None = None) -> Quota:
        return self._loop.run(self._inner.set_quota(limit_bytes, timeout_ms=timeout_ms))


class Client:
    """See `coord.client.Client`; use it as `with Client(...)`."""

    def __init__(
        self,
        endpoints: str | Iterable[str] | None = None,
        *,
        name: str = "",
        session_ttl_ms: int = 15_000,
        timeout_ms: int = 10_000,
        kind: str = "client",
        labels: Mapping[str, str] | None = None,
        queues: Sequence[str] = (),
        slots: int = 0,
        use_session: bool = True,
        end_session: bool = True,
    ) -> None:
        self._inner = _client.Client(
            endpoints,
            name=name,
            session_ttl_ms=session_ttl_ms,
            timeout_ms=timeout_ms,
            kind=kind,
            labels=labels,
            queues=queues,
            slots=slots,
            use_session=use_session,
            end_session=end_session,
        )
        self._loop = loop = BlockingLoop()
        self.tasks = Tasks(loop, self._inner.tasks)
        self.queues = Queues(loop, self._inner.queues)
        self.locks = Locks(loop, self._inner.locks)
        self.kv = Kv(loop, self._inner.kv)
        self.sessions = Sessions(loop, self._inner.sessions)
        self.cluster = Cluster(loop, self._inner.cluster)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._inner.endpoints

    @property
    def session_id(self) -> int:
        return self._inner.session_id

    def open_session(self, *, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.open_session(timeout_ms=timeout_ms))

    def report_stuck(self, task_ids: Sequence[str]) -> None:
        self._loop.run(self._report_stuck(task_ids))

    async def _report_stuck(self, task_ids: Sequence[str]) -> None:
        self._inner.report_stuck(task_ids)

    def on_session_lost(self, callback: Callable[[int], object]) -> Callable[[], None]:
        """The callback runs on the client's own thread and must not block."""
        return self._inner.on_session_lost(callback)

    def close(self) -> None:
        self._loop.close(self._inner.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
