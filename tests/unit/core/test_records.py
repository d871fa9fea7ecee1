"""Task ids, the rank of a task in its queue, and replies as rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done
from coord.core.batch import Reply
from coord.core.cluster.commands import LevelRaised
from coord.core.kv.commands import KeyValue, KvDeleteReply, KvPutReply, KvRangeReply, KvTxnReply
from coord.core.locks.commands import LockReply
from coord.core.reply_rows import decode_reply, encode_reply
from coord.core.sessions.commands import SessionKept, SessionOpened
from coord.core.tasks.commands import (
    Claimed,
    ItemOutcome,
    ItemOutcomes,
    QueueDeleted,
    Redriven,
    Submitted,
    TaskChanged,
)
from coord.core.tasks.records import rank_key, serial_of, serial_of_rank, task_id_of

SERIALS = st.integers(1, 2**63)
PRIORITIES = st.integers(-(2**31), 2**31 - 1)


@given(SERIALS)
def test_task_id_names_its_serial(serial: int) -> None:
    assert serial_of(task_id_of(serial)) == serial


@pytest.mark.parametrize(
    "text", ["", "t", "7", "t0", "t07", "T7", "t-7", "t7 ", "t7x", "t1_0", "t٣", "t" + "9" * 21]
)
def test_what_is_not_a_task_id(text: str) -> None:
    assert serial_of(text) == 0


@given(st.lists(st.tuples(PRIORITIES, SERIALS)))
def test_rank_orders_by_priority_then_submission(tasks: list[tuple[int, int]]) -> None:
    ranked = sorted(rank_key(serial, priority) for priority, serial in tasks)
    expected = sorted(tasks, key=lambda task: (-task[0], task[1]))
    assert [serial_of_rank(key) for key in ranked] == [serial for _, serial in expected]


KV = KeyValue(b"k", b"v", 1, 2, 2, 0)
REPLIES: list[Reply] = [
    Rejected(Reason.STALE_FENCING_TOKEN, "stale", (("current", "4"),)),
    Done(7),
    SessionOpened(1, 1000, 1),
    SessionKept(1000),
    Submitted((("t1", 1, False), ("t2", 2, True))),
    Submitted(()),
    Claimed((("t1", 5, 1, 1000),)),
    ItemOutcomes((ItemOutcome(3, 8), ItemOutcome(0, 0, Rejected(Reason.TOO_LARGE, "")))),
    TaskChanged(6, 9),
    Redriven(3, 12),
    LockReply(True, 4, False, 0, 4),
    KvPutReply(KV, 3),
    KvPutReply(None, 3),
    LevelRaised(1),
    QueueDeleted(2, 1, 9),
    KvDeleteReply(1, (KV,), 4),
    KvTxnReply(True, (KvRangeReply((KV,), False, 1, 4), KvTxnReply(False, (), 4)), 4),
]


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_reply_survives_as_row(reply: Reply) -> None:
    row = encode_reply(reply)
    assert type(row) is tuple
    again = decode_reply(row)
    assert again == reply
    assert repr(again) == repr(reply)


def test_every_reply_can_be_a_row() -> None:
    assert {type(reply) for reply in REPLIES} == set(Reply.__args__)
