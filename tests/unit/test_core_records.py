"""Task ids, the rank of a task in its queue, and replies as rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.core import replies as r
from coord.core.reasons import Reason
from coord.core.records import rank_key, serial_of, serial_of_rank, task_id_of
from coord.core.reply_rows import decode_reply, encode_reply

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


KV = r.KeyValue(b"k", b"v", 1, 2, 2, 0)
REPLIES: list[r.Reply] = [
    r.Rejected(Reason.STALE_FENCING_TOKEN, "stale", (("current", "4"),)),
    r.Done(7),
    r.SessionOpened(1, 1000, 1),
    r.SessionKept(1000),
    r.Submitted((("t1", 1, False), ("t2", 2, True))),
    r.Submitted(()),
    r.Claimed((("t1", 5, 1, 1000),)),
    r.ItemOutcomes((r.ItemOutcome(3, 8), r.ItemOutcome(0, 0, r.Rejected(Reason.TOO_LARGE, "")))),
    r.TaskChanged(6, 9),
    r.Redriven(3, 12),
    r.LockReply(True, 4, False, 0, 4),
    r.KvPutReply(KV, 3),
    r.KvPutReply(None, 3),
    r.LevelRaised(1),
    r.QueueDeleted(2, 1, 9),
    r.KvDeleteReply(1, (KV,), 4),
    r.KvTxnReply(True, (r.KvRangeReply((KV,), False, 1, 4), r.KvTxnReply(False, (), 4)), 4),
]


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_reply_survives_as_row(reply: r.Reply) -> None:
    row = encode_reply(reply)
    assert type(row) is tuple
    again = decode_reply(row)
    assert again == reply
    assert repr(again) == repr(reply)


def test_every_reply_can_be_a_row() -> None:
    assert {type(reply) for reply in REPLIES} == set(r.Reply.__args__)
