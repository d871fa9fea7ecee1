"""Refusals about tasks and queues in words; see `coord.core.base.sentences`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coord.core.base.refusal import Reason
from coord.core.base.sentences import Case, Earlier, Sentence, Values, without
from coord.core.tasks.refusals import REDRIVES


def _task_not_found(values: Values) -> str:
    task_id = values["task_id"]
    if "forgotten" not in values:
        return f"task {task_id!a} is not known: it never existed, or its retention is over"
    how = (
        f"the policy of queue {values['queue']!a} had it forgotten early"
        if values["forgotten"] == "early"
        else "its retention is over"
    )
    return f"task {task_id} completed, and {how}; its idempotency key is still known"


def _task_not_claimed(values: Values) -> str:
    task_id, state, token = values["task_id"], values["state"], values["token"]
    return f"task {task_id} is {state} and was never claimed with token {token}"


def _task_finished(values: Values) -> str:
    return f"task {values['task_id']} is {values['state']} already"


def _task_not_finished(values: Values) -> str:
    task_id, state = values["task_id"], values["state"]
    return f"task {task_id} is {state}; only a dead or cancelled one is retried"


def _queue_not_found(values: Values) -> str:
    return f"queue {values['queue']!a} is not known: its first submit makes it"


def _queue_not_empty(values: Values) -> str:
    return (
        f"queue {values['queue']!a} has {values['unfinished']} unfinished tasks: let them end, or "
        "delete it with force, which cancels them"
    )


def _queue_being_deleted(values: Values) -> str:
    return f"queue {values['queue']!a} is being deleted: repeat the delete until it is done"


def _queue_being_redriven(values: Values) -> str:
    return f"queue {values['queue']!a} is still being redriven: ask again when that is done"


def _quota_exceeded(values: Values) -> str:
    used, limit, what = values["used"], values["limit"], values["quota"]
    return (
        f"queue {values['queue']!a} has {used} of {limit} {what} that its quota allows; nothing "
        "was submitted: let its tasks be worked off, or raise the quota"
    )


def _idempotency_conflict(values: Values) -> str:
    task_id, place = values["task_id"], values["field"].removesuffix(".idempotency_key")
    whose = f"task {task_id}" if task_id else "another task of this request"
    return (
        f"{place}: idempotency key {values['key']!a} is that of {whose}, which has other content; "
        "nothing was submitted"
    )


SENTENCES: Final[Mapping[Case, Sentence]] = {
    Reason.TASK_NOT_FOUND: _task_not_found,
    Reason.TASK_NOT_CLAIMED: _task_not_claimed,
    Reason.TASK_FINISHED: _task_finished,
    Reason.TASK_NOT_FINISHED: _task_not_finished,
    Reason.QUEUE_NOT_FOUND: _queue_not_found,
    Reason.QUEUE_NOT_EMPTY: _queue_not_empty,
    Reason.QUEUE_BEING_DELETED: _queue_being_deleted,
    (Reason.LIMIT_EXCEEDED, REDRIVES): _queue_being_redriven,
    Reason.QUOTA_EXCEEDED: _quota_exceeded,
    Reason.IDEMPOTENCY_CONFLICT: _idempotency_conflict,
}

EARLIER: Final[Mapping[Case, Earlier]] = {
    (Reason.LIMIT_EXCEEDED, REDRIVES): without("limit", "of"),
    Reason.TASK_NOT_CLAIMED: without("task_id", "token"),
    Reason.TASK_FINISHED: without("task_id"),
    Reason.TASK_NOT_FINISHED: without("task_id"),
    Reason.IDEMPOTENCY_CONFLICT: without("key"),
}
