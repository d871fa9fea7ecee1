"""Tasks and queues as their messages."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

from coord.core.base.limits import LIMITS
from coord.core.tasks.commands import TaskSpec
from coord.core.tasks.queries import QueueInfo, TaskInfo
from coord.pb import task_pb2 as pb

# The core calls the fields of a task as the messages do.
_SHOWN: Final = tuple(one.name for one in pb.TaskSpec.DESCRIPTOR.fields if one.name != "payload")
_shown_of: Final = attrgetter(*_SHOWN)

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
    shown: Any = dict(zip(_SHOWN, _shown_of(spec), strict=True))
    return pb.TaskSpec(payload=b"" if omit_payload else spec.payload, **shown)


def queue_info(info: QueueInfo) -> pb.QueueInfo:
    """A queue and its figures."""
    return pb.QueueInfo(**info._asdict())
