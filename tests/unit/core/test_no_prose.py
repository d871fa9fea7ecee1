"""From level 2 on no sentence is stored, and readers are told the same as before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coord.codec.envelope import encode_envelope, to_batch
from coord.core.base.refusal import Reason, Rejected
from coord.core.batch import Batch, Reply
from coord.core.domains import REGISTRY, text_of
from coord.core.machine import Machine, before_level_2
from coord.core.tasks.commands import ItemOutcomes
from coord.core.tasks.explain import explain_task
from coord.core.tasks.queries import list_tasks
from tests.compat.varied_load import Load, Made

ENTRIES = 500


def rejections(reply: Reply) -> Iterator[Rejected]:
    if isinstance(reply, Rejected):
        yield reply
    elif isinstance(reply, ItemOutcomes):
        yield from (one.rejected for one in reply.items if one.rejected is not None)


class CountingLoad(Load):
    """Without quotas of bytes: a sentence takes some, so the levels differ there."""

    def set_queue(self) -> Made:
        kind, request = super().set_queue()
        request.quota_bytes = 0
        return kind, request


class Twins:
    """Two machines that are given the same entries, one at level 1 and one at level 2."""

    def __init__(self, seed: int) -> None:
        self.load, later = CountingLoad(seed, 1), CountingLoad(seed, 2)
        self.before, self.after = Machine(), Machine()
        self.replies: list[tuple[Reply, Reply]] = []
        for _ in range(ENTRIES):
            batch = self.batch(self.load)
            other = self.batch(later)
            told = self.before.apply(batch).replies
            self.load.learn(told)
            told_after = self.after.apply(other).replies
            later.learn(told_after)
            self.replies += zip(told, told_after, strict=True)

    @staticmethod
    def batch(load: Load) -> Batch:
        return to_batch(encode_envelope(*load.next_entry()))


@pytest.fixture(scope="module", params=[1, 2])
def twins(request: pytest.FixtureRequest) -> Twins:
    return Twins(request.param)


def test_both_levels_were_compared(twins: Twins) -> None:
    assert (twins.before.state.level, twins.after.state.level) == (1, 2)
    reasons = {one.reason for _, reply in twins.replies for one in rejections(reply)}
    assert reasons >= {
        *(Reason.TASK_NOT_FOUND, Reason.TASK_FINISHED, Reason.TASK_NOT_FINISHED),
        *(Reason.STALE_FENCING_TOKEN, Reason.LOCK_NOT_HELD, Reason.INVALID_ARGUMENT),
        *(Reason.QUEUE_NOT_FOUND, Reason.QUEUE_NOT_EMPTY, Reason.IDEMPOTENCY_CONFLICT),
        *(Reason.REVISION_IN_FUTURE, Reason.LEASE_NOT_FOUND, Reason.SESSION_NOT_FOUND),
    }


def test_callers_are_told_the_same(twins: Twins) -> None:
    for before, after in twins.replies[1:]:  # the first one raised the level
        assert before == before_level_2(after, REGISTRY.wording)
        for was, now in zip(rejections(before), rejections(after), strict=True):
            assert text_of(was) == was.message == text_of(now)


def test_kept_replies_hold_no_sentence(twins: Twins) -> None:
    kept = [reply for reply, _, _ in twins.after.state.replies.values()]
    found = [one for reply in kept for one in rejections(reply)]
    assert found
    assert {one.message for one in found} == {""}
    assert any(
        one.message
        for reply, _, _ in twins.before.state.replies.values()
        for one in rejections(reply)
    )


def test_tasks_hold_the_cause_and_show_the_same_error(twins: Twins) -> None:
    before, after = twins.before.state, twins.after.state
    shown = [list_tasks(state, limit=1_000) for state in (before, after)]
    assert shown[0] == shown[1]
    with_cause = [task for task in after.tasks.values() if task.cause is not None]
    assert with_cause
    assert {task.last_error for task in with_cause} == {""}
    users = {task.last_error for task in after.tasks.values()}
    assert users <= {"", "no \u2603", "not wanted"}
    for task in with_cause:
        assert explain_task(before, task.task_id) == explain_task(after, task.task_id)


def test_a_restored_state_is_the_same(twins: Twins) -> None:
    view: Any = twins.after.freeze()
    rows = []
    while (some := view.next_rows(500)) is not None:
        rows += some
    view.close()
    assert Machine.from_rows(rows).digest() == twins.after.digest()
