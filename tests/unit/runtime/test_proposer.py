"""Natural batching: what rides in which entry, and how each request ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from coord.codec.envelope import BatchCache, decode_envelope
from coord.codec.kinds import CommandKind
from coord.core.base.principal import Principal
from coord.core.base.request import RequestId
from coord.core.batch import Applied, Command, Reply
from coord.core.kv.commands import KvCompact, KvDelete, KvPut, KvRange, KvTxn
from coord.core.sessions.commands import KeepAlive, OpenSession, SessionKept
from coord.core.tasks.commands import ClaimTasks, CompleteItem, CompleteTasks, SubmitTasks, TaskSpec
from coord.pb import session_pb2
from coord.replication.port import (
    BusyError,
    NotLeaderError,
    OutcomeUnknownError,
    WriteBlockedError,
)
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.errors import CallError
from coord.runtime.proposer import Proposer, ProposerLimits
from tests.support.waiting import eventually


class FakeReplicator:
    """Takes proposals and ends them when told."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, asyncio.Future[object]]] = []
        self.refuse_with: Exception | None = None
        self.write_block_reason: str | None = None
        self.growth_block_reason: str | None = None

    def propose(self, data: bytes) -> asyncio.Future[object]:
        if self.refuse_with is not None:
            raise self.refuse_with
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.entries.append((data, future))
        return future

    def sizes(self) -> list[int]:
        return [len(decode_envelope(data).items) for data, _ in self.entries]

    def apply(self, number: int) -> None:
        data, future = self.entries[number]
        replies: list[Reply] = [SessionKept(number) for _ in decode_envelope(data).items]
        future.set_result(Applied(replies, [], 1))


Submit = Callable[..., "asyncio.Future[Reply]"]
LoopProposer = Proposer["asyncio.Future[Reply]"]


def make(**limits: Any) -> tuple[LoopProposer, FakeReplicator, Submit]:
    replicator: Any = FakeReplicator()
    defaults = {"pipeline": 1} | limits
    proposer: LoopProposer = Proposer(
        replicator,
        ClusterClock(),
        BatchCache(),
        asyncio.get_running_loop(),
        ProposerLimits(**defaults),
    )

    def submit(session_id: int = 7, **options: Any) -> asyncio.Future[Reply]:
        raw = session_pb2.KeepAliveRequest(session_id=session_id).SerializeToString()
        return proposer.submit(CommandKind.KEEP_ALIVE, raw, KeepAlive(session_id), **options)

    return proposer, replicator, submit


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_gathers_meanwhile_rides_together() -> None:
    _, replicator, submit = make()
    first = submit()
    await turn()
    rest = [submit() for _ in range(5)]
    await turn()
    assert replicator.sizes() == [1]
    replicator.apply(0)
    await turn()
    assert replicator.sizes() == [1, 5]
    replicator.apply(1)
    assert await first == SessionKept(0)
    assert await asyncio.gather(*rest) == [SessionKept(1)] * 5


async def test_calls_of_one_moment_share_the_first_entry() -> None:
    _, replicator, submit = make()
    for _ in range(4):
        submit()
    await turn()
    assert replicator.sizes() == [4]


async def test_who_waits_behind_entries_that_nobody_can_keep_is_told_at_once() -> None:
    proposer, replicator, submit = make(pipeline=2)
    proposed = []
    for _ in range(2):
        proposed.append(submit())
        await turn()
    waiting = submit()
    await turn()
    assert not waiting.done()
    replicator.write_block_reason = "DISK_FULL"
    late = submit()
    for refused in (waiting, late):
        with pytest.raises(WriteBlockedError, match="DISK_FULL"):
            await refused
    assert not any(future.done() for future in proposed), "what became of these is not known"
    replicator.write_block_reason = None
    replicator.apply(0)
    again = submit()
    await turn()
    replicator.apply(2)
    assert await again == SessionKept(2)
    assert proposer.waiting == 0


async def test_while_the_log_is_too_large_only_what_adds_nothing_is_taken() -> None:
    proposer, replicator, submit = make()
    replicator.growth_block_reason = "LOG_TOO_LARGE"
    put, delete = KvPut(b"k", b"v"), KvDelete(b"k")
    adding: list[Command] = [
        put,
        SubmitTasks([TaskSpec("q", b"")]),
        KvTxn([], [delete], [put]),
        KvTxn([], [KvTxn([], [put], [])], []),
    ]
    for command in adding:
        with pytest.raises(CallError, match="the log is too large") as refused:
            proposer.submit(0, b"", command)
        assert (refused.value.reason, refused.value.definite) == ("LOG_TOO_LARGE", True)
    assert proposer.waiting == 0
    other: list[Command] = [
        delete,
        KvTxn([], [delete, KvRange(b"k")], [KvTxn([], [delete], [])]),
        KvCompact(1),
        OpenSession(1_000, b"n"),
        CompleteTasks([CompleteItem("t1", 1, b"x")]),
        ClaimTasks(("q",), 1, 500),
    ]
    for command in other:
        proposer.submit(0, b"", command)
    submit()
    await turn()
    assert replicator.sizes() == [len(other) + 1]
    replicator.growth_block_reason = None
    proposer.submit(0, b"", put)


async def test_the_pipeline_is_bounded() -> None:
    proposer, replicator, submit = make(pipeline=2)
    for _ in range(4):
        submit()
        await turn()
    assert replicator.sizes() == [1, 1]
    assert (proposer.in_flight, proposer.waiting) == (2, 2)
    replicator.apply(0)
    await turn()
    assert replicator.sizes() == [1, 1, 2]


async def test_entries_are_bounded_by_count_and_bytes() -> None:
    _, replicator, submit = make(pipeline=10, max_entry_requests=3)
    for _ in range(7):
        submit()
    await turn()
    assert replicator.sizes() == [3, 3, 1]
    _, replicator, submit = make(pipeline=10, max_entry_bytes=1)
    for _ in range(2):
        submit()
    await turn()
    assert replicator.sizes() == [1, 1]


async def test_entries_are_bounded_by_what_applying_them_takes() -> None:
    _, replicator, submit = make(pipeline=10, max_entry_cost_us=40_000)
    for cost_us in (20_000, 20_000, 1, 50_000, 39_999, 1, 50):
        submit(cost_us=cost_us)
    await turn()
    assert replicator.sizes() == [2, 1, 1, 2, 1]


async def test_an_entry_carries_the_raw_bytes_and_the_identity() -> None:
    _, replicator, submit = make()
    submit(9, principal=Principal("user", "me"), request_id=RequestId(9, 4, 2))
    await turn()
    (item,) = decode_envelope(replicator.entries[0][0]).items
    raw = session_pb2.KeepAliveRequest(session_id=9).SerializeToString()
    assert item == (CommandKind.KEEP_ALIVE, "user:me", 9, 4, 2, raw)


async def test_back_pressure() -> None:
    _, _, submit = make(max_waiting=2)
    submit()
    await turn()
    submit()
    submit()
    with pytest.raises(CallError) as refused:
        submit()
    assert (refused.value.reason, refused.value.metadata) == ("BUSY", {"retry_after_ms": "100"})
    assert refused.value.definite


async def test_who_gave_up_before_is_not_logged() -> None:
    _, replicator, submit = make()
    submit()
    await turn()
    gone = submit(8)
    late = submit(9, expires_at=asyncio.get_running_loop().time() - 1)
    kept = submit(10)
    gone.cancel()
    replicator.apply(0)
    await turn()
    (item,) = decode_envelope(replicator.entries[1][0]).items
    assert session_pb2.KeepAliveRequest.FromString(item.raw).session_id == 10
    with pytest.raises(CallError) as refused:
        await late
    assert (refused.value.reason, refused.value.definite) == ("DEADLINE", True)
    assert not kept.done()


async def test_held_requests_share_one_entry() -> None:
    _, replicator, submit = make()
    futures = [submit(hold_ms=30) for _ in range(10)]
    await turn()
    assert replicator.sizes() == []
    await eventually(lambda: bool(replicator.entries))
    assert replicator.sizes() == [10]
    replicator.apply(0)
    assert await asyncio.gather(*futures) == [SessionKept(0)] * 10


async def test_held_requests_ride_with_the_next_entry() -> None:
    proposer, replicator, submit = make()
    submit(hold_ms=60_000)
    submit()
    await turn()
    assert replicator.sizes() == [2]
    assert proposer.waiting == 0


async def test_the_shortest_hold_decides() -> None:
    _, replicator, submit = make()
    submit(hold_ms=60_000)
    submit(hold_ms=10)
    await eventually(lambda: bool(replicator.entries))
    assert replicator.sizes() == [2]


async def test_an_empty_entry_moves_time() -> None:
    proposer, replicator, _ = make()
    proposer.propose_empty()
    proposer.propose_empty()
    await turn()
    assert replicator.sizes() == [0]


@pytest.mark.parametrize("error", [NotLeaderError("n2"), WriteBlockedError("DISK_FULL")])
async def test_a_refused_proposal_is_definite(error: Exception) -> None:
    proposer, replicator, submit = make()
    replicator.refuse_with = error
    future = submit()
    with pytest.raises(type(error)):
        await future
    assert proposer.in_flight == 0


async def test_a_busy_log_is_tried_again() -> None:
    proposer, replicator, submit = make()
    replicator.refuse_with = BusyError(10)
    future = submit()
    await turn()
    assert proposer.waiting == 1
    replicator.refuse_with = None
    await eventually(lambda: bool(replicator.entries))
    replicator.apply(0)
    assert await future == SessionKept(0)


async def test_an_unknown_outcome_reaches_every_caller() -> None:
    _, replicator, submit = make()
    futures = [submit(), submit()]
    await turn()
    replicator.entries[0][1].set_exception(OutcomeUnknownError("leadership lost"))
    for future in futures:
        with pytest.raises(OutcomeUnknownError):
            await future


async def test_what_waits_can_be_ended_without_being_logged() -> None:
    proposer, replicator, submit = make()
    logged = submit()
    await turn()
    queued, held = submit(), submit(hold_ms=60_000)
    proposer.fail_waiting(NotLeaderError(None))
    for future in (queued, held):
        with pytest.raises(NotLeaderError):
            await future
    assert not logged.done()
    replicator.apply(0)
    assert await logged == SessionKept(0)
    await turn()
    assert len(replicator.entries) == 1


async def test_time_stands_still_while_writes_are_refused() -> None:
    """Nobody can renew a lease then, so none may run out."""
    replicator: Any = FakeReplicator()
    time_ns = 0
    clock = ClusterClock(lambda: time_ns, lambda: 0)
    clock.start()
    proposer: LoopProposer = Proposer(
        replicator, clock, BatchCache(), asyncio.get_running_loop(), ProposerLimits(pipeline=3)
    )

    def stamps() -> list[int]:
        return [decode_envelope(data).now_ms for data, _ in replicator.entries]

    time_ns = 5_000_000
    replicator.refuse_with = WriteBlockedError("DISK_FULL")
    proposer.propose_empty()
    await turn()
    time_ns = 60_000_000_000
    replicator.refuse_with = None
    proposer.propose_empty()
    await turn()
    time_ns += 7_000_000
    proposer.propose_empty()
    await turn()
    assert stamps() == [0, 7]


async def test_each_caller_gets_the_reply_of_its_own_request() -> None:
    _, replicator, submit = make()
    waiting = [submit(session_id) for session_id in (1, 2, 3)]
    await turn()
    ((_, future),) = replicator.entries
    future.set_result(Applied([SessionKept(ttl_ms) for ttl_ms in (10, 20, 30)], [], 1))
    assert await asyncio.gather(*waiting) == [SessionKept(10), SessionKept(20), SessionKept(30)]


async def test_a_proposal_that_is_given_up_is_of_unknown_outcome() -> None:
    """It is in the log of a leader, and may be committed yet."""
    _, replicator, submit = make()
    waiting = submit()
    await turn()
    ((_, future),) = replicator.entries
    future.cancel()
    with pytest.raises(OutcomeUnknownError) as raised:
        await waiting
    assert not raised.value.definite


async def test_a_flood_of_one_connection_leaves_room_for_others() -> None:
    _, replicator, submit = make(max_waiting=100)
    submit()
    await turn()  # the pipeline is full
    for _ in range(50):
        submit(owner="flood")
    with pytest.raises(CallError, match="too many requests"):
        submit(owner="flood")
    other = submit(owner="other")
    replicator.apply(0)
    await turn()
    assert len(replicator.entries) == 2
    replicator.apply(1)
    await turn()
    assert other.done()


async def test_bytes_are_shared_as_requests_are() -> None:
    proposer, _, submit = make(max_waiting_bytes=10_000)
    submit()
    await turn()
    raw = bytes(1_000)

    def large(owner: str) -> None:
        proposer.submit(CommandKind.KEEP_ALIVE, raw, KeepAlive(1), owner=owner)

    for _ in range(5):
        large("flood")
    with pytest.raises(CallError, match="too many requests"):
        large("flood")
    large("other")


async def test_others_do_not_wait_behind_a_flood() -> None:
    _, replicator, submit = make(max_entry_requests=64)
    submit()
    await turn()
    for _ in range(1_000):
        submit(owner="flood")
    other = submit(owner="other")
    for number in range(2):
        replicator.apply(number)
        await turn()
    assert other.done()


async def test_what_waits_alone_behind_a_pipeline_is_told_when_it_gets_blocked_later() -> None:
    _, replicator, submit = make()
    stuck = submit()
    await turn()
    waiting = submit()
    await turn()
    assert not waiting.done()
    replicator.write_block_reason = "DISK_FULL"
    with pytest.raises(WriteBlockedError, match="DISK_FULL"):
        await asyncio.wait_for(waiting, 5)
    assert not stuck.done()
    stuck.cancel()


async def test_very_many_are_answered_in_slices() -> None:
    """Each goes on in the next turn of the event loop: in one turn they would hold up the node."""
    _, replicator, submit = make()
    submit()
    await turn()
    many = [submit(owner=f"{n % 7}") for n in range(2_000)]
    replicator.apply(0)
    await turn()
    replicator.apply(1)
    await asyncio.sleep(0)
    assert 0 < sum(one.done() for one in many) <= 300
    await eventually(lambda: all(one.done() for one in many))
