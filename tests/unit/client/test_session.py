"""The session's life, and the window of its sequences."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from coord.client import (
    Client,
    CoordError,
    LockNotAcquiredError,
    NoLeaderError,
    OutcomeUnknownError,
    SessionExpiredError,
    UnavailableError,
)
from coord.client.lost import LostEvent
from coord.client.session import WINDOW, Session
from coord.client.sync import client as sync
from coord.client.transport.errors import BusyError
from coord.client.transport.methods import (
    ACQUIRE,
    KEEP_ALIVE,
    OPEN_SESSION,
    PUT,
    REFRESH,
    RELEASE_LOCK,
)
from coord.client.transport.retry import Deadline
from coord.core.base.limits import LIMITS
from tests.support.client import FakeNode, fake_cluster, hang, lose_reply, never_applied, refuse
from tests.support.waiting import eventually


def client_of(node: FakeNode, session_ttl_ms: int = 15_000, timeout_ms: int = 5_000) -> Client:
    return Client(node.address, session_ttl_ms=session_ttl_ms, timeout_ms=timeout_ms)


async def test_one_session_is_opened_on_first_need_and_closed_at_the_end() -> None:
    async with fake_cluster() as (node,):
        async with client_of(node) as client:
            assert client.session_id == 0
            await client.kv.get("k")
            assert node.count(OPEN_SESSION) == 0
            await asyncio.gather(*(client.kv.put("k", "v") for _ in range(20)))
            assert node.count(OPEN_SESSION) == 1
            assert list(node.store.sessions) == [client.session_id]
        assert node.store.sessions == {}


async def test_opening_twice_by_accident_opens_one_session() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        node.next_calls(OPEN_SESSION, lose_reply)
        await client.open_session()
        assert list(node.store.sessions) == [client.session_id]


async def test_a_session_can_be_left_to_run_out() -> None:
    async with fake_cluster() as (node,):
        async with Client(node.address, end_session=False) as client:
            session_id = await client.open_session()
        assert list(node.store.sessions) == [session_id]


async def test_keep_alives_come_by_themselves() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=150) as client:
        await client.open_session()
        await eventually(lambda: node.count(KEEP_ALIVE) >= 3)


async def test_a_lost_session_is_noticed_told_and_replaced() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=150) as client:
        lost: list[int] = []
        client.on_session_lost(lost.append)
        remove = client.on_session_lost(lambda _: lost.append(-1))
        remove()
        remove()
        first = await client.open_session()
        node.store.sessions.clear()
        await eventually(lambda: lost == [first])
        assert client.session_id == 0
        await client.kv.put("k", "v")
        assert client.session_id not in (0, first)


async def test_a_write_that_finds_its_session_gone_is_made_under_a_new_one() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        first = await client.open_session()
        node.store.sessions.clear()
        await client.kv.put("k", "v")
        await client.tasks.submit("q")
        assert client.session_id != first
        assert node.store.count(PUT) == 1


async def test_a_session_that_ends_after_a_lost_reply_leaves_the_outcome_unknown() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.open_session()

        async def lose_reply_and_session(fake: FakeNode, request: object, context: object) -> None:
            fake.store.sessions.clear()
            await never_applied(fake, request, context)

        node.next_calls(PUT, lose_reply_and_session)
        with pytest.raises(OutcomeUnknownError):
            await client.kv.put("k", "v")


async def test_no_session_in_time_tells_why() -> None:
    async with fake_cluster() as (node,), client_of(node, timeout_ms=300) as client:
        no_leader = refuse(grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
        node.next_calls(OPEN_SESSION, *[no_leader] * 100)
        with pytest.raises(NoLeaderError, match="within 100 ms") as caught:
            await client.kv.put("k", "v", timeout_ms=100)
    assert (caught.value.reason, caught.value.definite) == ("NO_LEADER", True)


async def test_a_session_of_unknown_outcome_is_no_write_of_unknown_outcome() -> None:
    async with fake_cluster() as (node,), client_of(node, timeout_ms=300) as client:
        lost = refuse(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
        node.next_calls(OPEN_SESSION, *[lost] * 100)
        with pytest.raises(UnavailableError, match="no session could be opened") as caught:
            await client.kv.put("k", "v", timeout_ms=100)
    assert caught.value.definite


async def test_acked_below_follows_the_oldest_call_under_way() -> None:
    session = Session(1, 60_000, time.monotonic())
    deadline = Deadline(1_000)
    first, second = await session.begin(deadline), await session.begin(deadline)
    assert (first.sequence, second.sequence) == (1, 2)
    assert (first.header().acked_below, second.header().acked_below) == (1, 1)
    with first:
        pass
    third = await session.begin(deadline)
    assert third.header().acked_below == 2
    session.settle(2)
    assert session.acked_below() == 3
    assert third.metadata()[2] == ("coord-acked-below", "3")
    session.end()


async def test_patient_calls_give_way_when_the_window_is_full() -> None:
    session = Session(1, 60_000, time.monotonic())
    deadline = Deadline(50)
    await session.begin(deadline, patient=True)
    for _ in range(WINDOW - 1):
        session.settle((await session.begin(deadline)).sequence)
    assert session.acked_below() == 1
    following = await session.begin(deadline)
    assert session.acked_below() == following.sequence
    session.end()


async def test_a_full_window_holds_writes_back() -> None:
    session = Session(1, 60_000, time.monotonic())
    oldest = await session.begin(Deadline(50))
    for _ in range(WINDOW - 1):
        session.settle((await session.begin(Deadline(50))).sequence)
    with pytest.raises(BusyError):
        await session.begin(Deadline(50))
    blocked = asyncio.ensure_future(session.begin(Deadline(5_000)))
    await asyncio.sleep(0)
    session.settle(oldest.sequence)
    assert (await blocked).sequence == WINDOW + 1
    session.end()


# ---- locks, which end with the session


async def test_a_lock_is_held_in_a_block() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        async with client.locks.lock("l") as grant:
            assert node.store.locks["l"][2] == grant.fencing_token
            assert not grant.lost.is_set()
            assert await client.locks.acquire("l") is None
            with pytest.raises(LockNotAcquiredError):
                async with client.locks.lock("l", wait_ms=0):
                    pass
        assert node.store.locks == {}
        assert grant.lost.is_set()


async def test_a_lock_is_released_when_its_block_is_cancelled() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        inside = asyncio.Event()

        async def hold() -> None:
            async with client.locks.lock("l"):
                inside.set()
                await asyncio.Event().wait()

        node.next_calls(RELEASE_LOCK, lose_reply)
        holder = asyncio.ensure_future(hold())
        # Not when the node has it: the answer may be on its way, and then no block is cancelled.
        await asyncio.wait_for(inside.wait(), 10)
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert node.store.locks == {}


async def test_a_cancelled_acquire_leaves_no_lock_behind() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        node.next_calls(ACQUIRE, hang)
        acquire = asyncio.ensure_future(client.locks.acquire("l", wait_ms=60_000))
        await eventually(lambda: "l" in node.store.locks)
        acquire.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acquire
        await eventually(lambda: node.store.locks == {})


async def test_locks_are_lost_with_the_session() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=150) as client:
        grant = await client.locks.acquire("l")
        assert grant is not None
        node.store.sessions.clear()
        async with asyncio.timeout(5):
            await grant.lost.wait()
        with pytest.raises(SessionExpiredError):
            await client.locks.release(grant)
        with pytest.raises(SessionExpiredError):
            await client.locks.refresh(grant)


async def test_locks_are_in_doubt_when_the_session_was_not_confirmed_for_its_ttl() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=200) as client:
        grant = await client.locks.acquire("l")
        assert grant is not None
        await node.stop()
        async with asyncio.timeout(5):
            await grant.lost.wait()
        assert client.session_id != 0  # it may still be alive: nobody said it is not


async def test_a_block_survives_the_loss_of_its_lock() -> None:
    async with fake_cluster() as (node,), client_of(node) as client, client.locks.lock("l"):
        node.store.locks.clear()


async def test_a_lock_with_a_ttl_is_refreshed_and_a_refusal_is_noticed() -> None:
    async with (
        fake_cluster() as (node,),
        client_of(node) as client,
        client.locks.lock("l", ttl_ms=1_200) as grant,
    ):
        await eventually(lambda: node.count(REFRESH) >= 2)
        node.store.locks.clear()
        async with asyncio.timeout(5):
            await grant.lost.wait()


async def test_a_lock_with_a_ttl_that_nobody_refreshes_is_lost() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        grant = await client.locks.acquire("l", ttl_ms=100)
        assert grant is not None
        async with asyncio.timeout(5):
            await grant.lost.wait()


async def test_an_acquire_under_an_expired_session_is_made_under_a_new_one() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        first = await client.open_session()
        node.store.sessions.clear()
        grant = await client.locks.acquire("l")
        assert grant is not None
        assert grant.session_id not in {0, first}


async def test_a_claim_under_an_expired_session_is_made_under_a_new_one() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        first = await client.open_session()
        await client.tasks.submit("q", b"x")
        node.store.sessions.clear()
        (task,) = await client.tasks.claim(["q"])
        assert task.session_id not in {0, first}


async def test_holders_are_told_apart_and_named_after_the_client() -> None:
    async with fake_cluster() as (node,), Client(node.address, name="é" * 200) as client:
        first = await client.locks.acquire("a")
        second = await client.locks.acquire("b")
        assert first is not None
        assert second is not None
        assert (first.holder, second.holder) == ("é" * 120 + "#1", "é" * 120 + "#2")
        assert len(first.holder.encode()) <= 256
        assert await client.locks.acquire("a") is None, "it is another holder"


async def test_a_blocked_loop_knows_at_once_that_a_lock_is_lost() -> None:
    """As after SIGSTOP: no timer of the event loop has run yet."""
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=300) as client:
        grant = await client.locks.acquire("l")
        with_ttl = await client.locks.acquire("m", ttl_ms=250)
        assert grant is not None
        assert with_ttl is not None
        assert not grant.lost.is_set()
        assert not with_ttl.lost.is_set()
        time.sleep(0.35)  # noqa: ASYNC251 - blocking the loop is what is tried
        assert grant.lost.is_set()
        assert with_ttl.lost.is_set()
        assert await asyncio.wait_for(grant.lost.wait(), 1)
        # Told is told, also when the session turns out to be alive: both are given up.
        await eventually(lambda: node.store.locks == {})
        assert client.session_id != 0
        assert grant.lost.is_set()


async def test_a_lock_told_lost_by_the_clock_stays_lost_when_the_session_is_confirmed() -> None:
    session = Session(1, 50, time.monotonic() - 1)
    event = LostEvent(lambda: session.alive_until_s)
    session.watch(event)
    assert event.is_set()
    session.alive(time.monotonic())
    assert session.alive_until_s > time.monotonic()
    assert event.is_set()
    assert await asyncio.wait_for(event.wait(), 1)
    session.end()


async def test_a_lock_in_doubt_is_given_up_once_the_cluster_is_back() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=300) as client:
        grant = await client.locks.acquire("l")
        assert grant is not None
        node.mute = True
        async with asyncio.timeout(5):
            await grant.lost.wait()
        assert "l" in node.store.locks
        node.mute = False
        await eventually(lambda: node.store.locks == {})
        assert client.session_id == grant.session_id, "the session lives on"


async def test_leaving_a_lost_lock_is_immediate() -> None:
    async with fake_cluster() as (node,), client_of(node, session_ttl_ms=200) as client:
        async with client.locks.lock("l") as grant:
            node.mute = True
            async with asyncio.timeout(5):
                await grant.lost.wait()
            left_at_s = time.monotonic()
        assert time.monotonic() - left_at_s < 0.5
        node.mute = False


@pytest.mark.parametrize("lost", [True, False])
async def test_the_exception_of_a_block_is_what_comes_out(lost: bool) -> None:
    async with (
        fake_cluster() as (node,),
        client_of(node, session_ttl_ms=200, timeout_ms=300) as client,
    ):

        async def block() -> None:
            async with client.locks.lock("l") as grant:
                node.mute = True
                if lost:
                    async with asyncio.timeout(5):
                        await grant.lost.wait()
                raise LookupError("own")

        with pytest.raises(LookupError, match="own"):
            await block()
        node.mute = False


async def test_the_exception_of_a_blocking_block_is_what_comes_out() -> None:
    async with fake_cluster() as (node,):

        def block() -> None:
            with (
                sync.Client(node.address, timeout_ms=300, session_ttl_ms=60_000) as client,
                client.locks.lock("l"),
            ):
                node.next_calls(RELEASE_LOCK, hang)
                raise LookupError("own")

        with pytest.raises(LookupError, match="own"):
            await asyncio.to_thread(block)


async def test_a_release_without_an_answer_at_the_end_of_a_block_is_made_up_for() -> None:
    async with (
        fake_cluster() as (node,),
        client_of(node, session_ttl_ms=60_000, timeout_ms=200) as client,
    ):
        with pytest.raises(CoordError):
            async with client.locks.lock("l"):
                node.next_calls(RELEASE_LOCK, unanswered)
        await eventually(lambda: node.store.locks == {})


async def unanswered(_node: FakeNode, _request: object, _context: object) -> None:
    """Neither carry it out nor answer."""
    await asyncio.sleep(3_600)


def test_a_client_never_fills_the_room_for_replies() -> None:
    """What it holds is less than half of what the cluster keeps, so acknowledgements that travel
    with later requests are always in time."""
    assert LIMITS.max_replies_per_session >= 2 * WINDOW
