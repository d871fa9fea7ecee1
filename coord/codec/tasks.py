"""Tasks and queues: requests to commands, replies to responses."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from coord.codec.kinds import CommandKind, Decoder
from coord.codec.lookup import Lookup, ReplyBuilder, header_only
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.domains import shown_metadata, text_of
from coord.core.tasks.commands import (
    CancelTask,
    Claimed,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    DeleteQueue,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    ItemOutcomes,
    PauseQueue,
    QueueDeleted,
    Redriven,
    RedriveQueue,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    Submitted,
    TaskChanged,
    TaskSpec,
)
from coord.core.tasks.records import Task
from coord.pb import common_pb2, task_pb2

_DELETED_AT_ONCE: Final = 500  # tasks of a queue: some 5 ms of work

K = CommandKind


def _spec(m: task_pb2.TaskSpec) -> TaskSpec:
    labels = m.labels
    return TaskSpec(
        m.queue,
        m.payload,
        m.priority,
        m.idempotency_key,
        m.type,
        m.delay_ms,
        m.not_before_unix_ms,
        m.max_attempts,
        m.backoff_initial_ms,
        m.backoff_max_ms,
        m.backoff_multiplier_permille,
        m.attempt_timeout_ms,
        m.progress_timeout_ms,
        m.total_timeout_ms,
        m.retention_ms,
        {key: labels[key] for key in labels} if labels else {},  # far faster than dict(labels)
        m.max_lost_leases,
    )


def _submit(m: task_pb2.SubmitRequest) -> SubmitTasks:
    return SubmitTasks([_spec(task) for task in m.tasks])


def _claim(m: task_pb2.ClaimRequest) -> ClaimTasks:
    return ClaimTasks(tuple(m.queues), m.max_tasks, m.lease_ttl_ms, m.worker)


def _heartbeat_item(m: task_pb2.HeartbeatItem) -> HeartbeatItem:
    return HeartbeatItem(
        m.task_id,
        m.fencing_token,
        m.checkpoint if m.HasField("checkpoint") else None,
        m.progress_permille if m.HasField("progress_permille") else None,
    )


def _heartbeat(m: task_pb2.HeartbeatRequest) -> HeartbeatTasks:
    return HeartbeatTasks([_heartbeat_item(item) for item in m.items])


def _complete(m: task_pb2.CompleteRequest) -> CompleteTasks:
    item_of = CompleteItem
    return CompleteTasks(
        [item_of(item.task_id, item.fencing_token, item.result) for item in m.items]
    )


def _fail_item(m: task_pb2.FailItem) -> FailItem:
    return FailItem(
        m.task_id,
        m.fencing_token,
        m.error,
        m.retryable,
        m.retry_after_ms if m.HasField("retry_after_ms") else None,
    )


def _fail(m: task_pb2.FailRequest) -> FailTasks:
    return FailTasks([_fail_item(item) for item in m.items])


def _release(m: task_pb2.ReleaseRequest) -> ReleaseTasks:
    item_of = ReleaseItem
    return ReleaseTasks(
        [item_of(item.task_id, item.fencing_token, item.delay_ms, item.reason) for item in m.items]
    )


def _cancel(m: task_pb2.CancelTaskRequest) -> CancelTask:
    return CancelTask(m.task_id, m.reason)


def _retry(m: task_pb2.RetryTaskRequest) -> RetryTask:
    return RetryTask(m.task_id)


def _redrive(m: task_pb2.RedriveRequest) -> RedriveQueue:
    return RedriveQueue(m.queue, m.limit or LIMITS.max_list_items)


def _pause(m: task_pb2.PauseQueueRequest) -> PauseQueue:
    return PauseQueue(m.queue, m.paused)


def _set_queue(m: task_pb2.SetQueueRequest) -> SetQueue:
    return SetQueue(
        m.queue,
        m.quota_tasks if m.HasField("quota_tasks") else None,
        m.quota_bytes if m.HasField("quota_bytes") else None,
        m.policy,
    )


def _delete_queue(m: task_pb2.DeleteQueueRequest) -> DeleteQueue:
    return DeleteQueue(m.queue, m.force, m.limit or _DELETED_AT_ONCE)


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
        message=text_of(rejected),
        metadata=shown_metadata(rejected),
    )


def _outcomes(response: Any) -> ReplyBuilder:
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


def _task_changed(response: Any) -> ReplyBuilder:
    def build(command: Any, reply: TaskChanged, lookup: Lookup) -> Message:
        message: Message = response(state=reply.state)
        return message

    return build


def _redriven(command: Any, reply: Redriven, lookup: Lookup) -> Message:
    return task_pb2.RedriveResponse(redriven=reply.redriven)


def _queue_deleted(command: Any, reply: QueueDeleted, lookup: Lookup) -> Message:
    return task_pb2.DeleteQueueResponse(deleted=reply.deleted, remaining=reply.remaining)


DECODERS: Final[dict[CommandKind, Decoder]] = {
    K.SUBMIT_TASKS: _submit,
    K.CLAIM_TASKS: _claim,
    K.HEARTBEAT_TASKS: _heartbeat,
    K.COMPLETE_TASKS: _complete,
    K.FAIL_TASKS: _fail,
    K.RELEASE_TASKS: _release,
    K.CANCEL_TASK: _cancel,
    K.RETRY_TASK: _retry,
    K.REDRIVE_QUEUE: _redrive,
    K.PAUSE_QUEUE: _pause,
    K.SET_QUEUE: _set_queue,
    K.DELETE_QUEUE: _delete_queue,
}
ENCODERS: Final[dict[CommandKind, ReplyBuilder]] = {
    K.SUBMIT_TASKS: _submitted,
    K.CLAIM_TASKS: _claimed,
    K.HEARTBEAT_TASKS: _outcomes(task_pb2.HeartbeatResponse),
    K.COMPLETE_TASKS: _outcomes(task_pb2.CompleteResponse),
    K.FAIL_TASKS: _outcomes(task_pb2.FailResponse),
    K.RELEASE_TASKS: _outcomes(task_pb2.ReleaseResponse),
    K.CANCEL_TASK: _task_changed(task_pb2.CancelTaskResponse),
    K.RETRY_TASK: _task_changed(task_pb2.RetryTaskResponse),
    K.REDRIVE_QUEUE: _redriven,
    K.PAUSE_QUEUE: header_only(task_pb2.PauseQueueResponse),
    K.SET_QUEUE: header_only(task_pb2.SetQueueResponse),
    K.DELETE_QUEUE: _queue_deleted,
}
