"""Tasks and queues as their messages."""

from __future__ import annotations

from typing import Any, Final

from coord.core.base.limits import LIMITS
from coord.core.tasks.commands import TaskSpec
from coord.core.tasks.queries import QueueInfo, TaskInfo
from coord.pb import task_pb2 as pb

# What one task takes in an answer at most: payload, checkpoint and result, and all its texts.
MAX_TASK_BYTES: Final = 3 * LIMITS.max_payload_bytes + 128 * 1024


def task_info(info: TaskInfo, *, omit_payload: bool) -> pb.TaskInfo:
    """A task. Without its payload and checkpoint if these are not wanted."""
    state: Any = int(info.state)
    return pb.TaskInfo(
        task_id=info.task_id,
        spec=_spec(info.spec, omit_payload=omit_payload),
        state=state,
        attempt=info.attempt,
        create_revision=info.create_revision,
        mod_revision=info.mod_revision,
        fencing_token=info.fencing_token,
        session_id=info.session_id,
        worker=info.worker,
        lease_remaining_ms=info.lease_remaining_ms,
        checkpoint=b"" if omit_payload else info.checkpoint,
        progress_permille=info.progress_permille,
        result=info.result,
        last_error=info.last_error,
        ready_in_ms=info.ready_in_ms,
        submitted_unix_ms=info.submitted_unix_ms,
        finished_unix_ms=info.finished_unix_ms,
        lost_leases=info.lost_leases,
        payload_dropped=info.payload_dropped,
    )


def _spec(spec: TaskSpec, *, omit_payload: bool) -> pb.TaskSpec:
    return pb.TaskSpec(
        queue=spec.queue,
        payload=b"" if omit_payload else spec.payload,
        priority=spec.priority,
        idempotency_key=spec.idempotency_key,
        type=spec.type,
        delay_ms=spec.delay_ms,
        not_before_unix_ms=spec.not_before_unix_ms,
        max_attempts=spec.max_attempts,
        backoff_initial_ms=spec.backoff_initial_ms,
        backoff_max_ms=spec.backoff_max_ms,
        backoff_multiplier_permille=spec.backoff_multiplier_permille,
        attempt_timeout_ms=spec.attempt_timeout_ms,
        progress_timeout_ms=spec.progress_timeout_ms,
        total_timeout_ms=spec.total_timeout_ms,
        retention_ms=spec.retention_ms,
        labels=spec.labels,
        max_lost_leases=spec.max_lost_leases,
    )


def queue_info(info: QueueInfo) -> pb.QueueInfo:
    """A queue and its figures."""
    return pb.QueueInfo(**info._asdict())
