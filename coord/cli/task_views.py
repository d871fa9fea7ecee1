"""How a task is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from coord.cli.output import Column, Lines, bytes_cell, bytes_json
from coord.client.types import Task, TaskExplanation, TaskState
from coord.terminal.text import duration, gist

STATES = ("scheduled", "ready", "claimed", "completed", "dead", "cancelled")


def state_name(state: TaskState) -> str:
    """completed, dead, ..., as in every output."""
    return state.name.lower()


def task_json(task: Task) -> dict[str, Any]:
    """Every property of a task under a stable key."""
    return {
        "task_id": task.task_id,
        "queue": task.queue,
        "type": task.type,
        "state": state_name(task.state),
        "priority": task.priority,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "lost_leases": task.lost_leases,
        "payload_dropped": task.payload_dropped,
        "worker": task.worker,
        "session_id": task.session_id,
        "fencing_token": task.fencing_token,
        "lease_remaining_ms": task.lease_remaining_ms,
        "ready_in_ms": task.ready_in_ms,
        "progress_permille": task.progress_permille,
        "idempotency_key": task.idempotency_key,
        "labels": dict(task.labels),
        **bytes_json("payload", task.payload),
        **bytes_json("checkpoint", task.checkpoint),
        **bytes_json("result", task.result),
        "last_error": task.last_error,
        "create_revision": task.create_revision,
        "mod_revision": task.mod_revision,
        "submitted_unix_ms": task.submitted_unix_ms,
        "finished_unix_ms": task.finished_unix_ms,
    }


def task_facts(task: Task) -> dict[str, object]:
    """The same for people: only what is to be said about this task."""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(task.labels.items()))
    claimed = state_name(task.state) == "claimed"
    return {
        "task": task.task_id,
        "queue": task.queue,
        "type": task.type,
        "state": state_name(task.state),
        "priority": task.priority,
        "attempt": f"{task.attempt} of {task.max_attempts}",
        "lost leases": task.lost_leases or "",
        "ready in": duration(task.ready_in_ms) if task.ready_in_ms else "",
        "worker": task.worker if claimed else "",
        "fencing token": task.fencing_token if claimed else "",
        "lease ends in": duration(task.lease_remaining_ms) if claimed else "",
        "progress": f"{task.progress_permille / 10:g} %" if task.progress_permille else "",
        "idempotency key": task.idempotency_key,
        "labels": labels,
        "payload": "(not kept after completion)"
        if task.payload_dropped
        else bytes_cell(task.payload),
        "checkpoint": bytes_cell(task.checkpoint),
        "result": bytes_cell(task.result),
        "last error": Lines(task.last_error),
        "submitted": moment(task.submitted_unix_ms),
        "finished": moment(task.finished_unix_ms),
    }


def task_row(task: Task) -> tuple[object, ...]:
    return (
        task.task_id,
        task.queue,
        task.type,
        state_name(task.state),
        task.priority,
        f"{task.attempt}/{task.max_attempts}",
        task.worker,
        moment(task.submitted_unix_ms),
        gist(task.last_error),
    )


ROW = (
    "task",
    Column("queue", wraps=True),
    Column("type", rank=3, wraps=True),
    "state",
    Column("priority", rank=6),
    Column("attempt", rank=2),
    Column("worker", rank=4, wraps=True),
    Column("submitted", rank=5),
    Column("last error", rank=1, wraps=True),
)


def explanation_json(task_id: str, found: TaskExplanation, task: Task | None) -> dict[str, Any]:
    """`task`: given when it ended without a result."""
    ended = (
        {}
        if task is None
        else {
            "attempt": task.attempt,
            "max_attempts": task.max_attempts,
            "lost_leases": task.lost_leases,
            "last_error": task.last_error,
            "advice": advice(task),
        }
    )
    return {
        "task_id": task_id,
        "state": state_name(found.state),
        "summary": found.summary,
        "reasons": list(found.reasons),
        "ahead": found.ahead,
        "ready_in_ms": found.ready_in_ms,
        "workers": found.workers,
        **ended,
    }


def explanation_facts(found: TaskExplanation, task: Task | None) -> dict[str, object]:
    """The same for people."""
    facts: dict[str, object] = {
        "state": state_name(found.state),
        "reasons": ", ".join(found.reasons),
        "ahead": found.ahead or "",
        "ready in": duration(found.ready_in_ms) if found.ready_in_ms else "",
        "workers": found.workers,
    }
    if task is not None:
        facts |= {
            "attempts": f"{task.attempt} of {task.max_attempts}",
            "lost leases": task.lost_leases or "",
            "last error": Lines(task.last_error),
            "finished": moment(task.finished_unix_ms),
            "what to do": Lines(advice(task)),
        }
    return facts


def advice(task: Task) -> str:
    """What brings back a task that ended without a result."""
    once = f"'coord task retry {task.task_id}' tries it again with fresh attempts"
    if task.state is not TaskState.DEAD:
        return once
    return f"{once};\n'coord task redrive {task.queue}' does so for all dead tasks of its queue"


def moment(unix_ms: int) -> str:
    """A wall-clock time in UTC; nothing for 0."""
    if not unix_ms:
        return ""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
