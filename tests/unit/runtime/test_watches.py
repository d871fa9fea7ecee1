"""Waiting in memory: the claim queue, the watches and the ticker."""

from __future__ import annotations

import asyncio

import pytest

from coord.core.base.request import Event, EventKind
from coord.replication.local import LocalReplicator
from coord.runtime.claim_queue import ClaimQueue
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.leader_view import LeaderView
from coord.runtime.parking import park
from coord.runtime.state_machine import ReplicatedStateMachine
from coord.runtime.ticker import Ticker
from coord.runtime.watches import Watches, subject
from tests.support.waiting import eventually

Q = ("q",)


class Desk:
    def __init__(self) -> None:
        self.ready = {"q": 0, "r": 0}
        self.claim_queue = ClaimQueue[asyncio.Future[bool]](
            lambda queue: self.ready[queue], asyncio.get_running_loop()
        )

    async def park(
        self, queues: tuple[str, ...] = Q, *, timeout_s: float = 60, first: bool = False
    ) -> asyncio.Task[bool]:
        task = asyncio.create_task(park(self.claim_queue, queues, 1, timeout_s, first=first))
        await asyncio.sleep(0)
        return task


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_one_task_lets_one_claim_through_in_order() -> None:
    d = Desk()
    claims = [await d.park() for _ in range(3)]
    d.ready["q"] = 1
    d.claim_queue.look(Q)
    d.claim_queue.look(Q)
    await settle()
    assert [claim.done() for claim in claims] == [True, False, False]
    d.ready["q"] = 0  # it took the task
    d.claim_queue.leave(Q, 1)
    await settle()
    assert not claims[1].done()
    for claim in claims[1:]:
        claim.cancel()
    await asyncio.gather(*claims, return_exceptions=True)
    assert d.claim_queue.parked == 0


async def test_who_leaves_without_taking_lets_the_next_go() -> None:
    d = Desk()
    d.ready["q"] = 1
    assert d.claim_queue.try_enter(Q, 1)
    assert not d.claim_queue.try_enter(Q, 1)
    waiting = await d.park()
    d.claim_queue.leave(Q, 1)  # refused: the task is still there
    assert await waiting


async def test_newcomers_do_not_overtake() -> None:
    d = Desk()
    waiting = await d.park()
    d.ready["q"] = 5
    assert not d.claim_queue.try_enter(Q, 1)
    d.claim_queue.look(Q)
    assert await waiting
    assert d.claim_queue.try_enter(Q, 1)


async def test_a_claim_that_came_back_empty_goes_in_front() -> None:
    d = Desk()
    second = await d.park()
    first = await d.park(first=True)
    d.ready["q"] = 1
    d.claim_queue.look(Q)
    await settle()
    assert (first.done(), second.done()) == (True, False)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


async def test_a_claim_on_two_queues_leaves_both_lines() -> None:
    d = Desk()
    claim = await d.park(("q", "r"))
    assert d.claim_queue.parked == 2
    d.ready["r"] = 1
    d.claim_queue.look(("r",))
    assert await claim
    assert d.claim_queue.parked == 0


async def test_time_is_over() -> None:
    d = Desk()
    assert not await park(d.claim_queue, Q, 1, 0.01)
    assert d.claim_queue.parked == 0


async def test_cancelled_in_the_moment_of_being_let_through() -> None:
    d = Desk()
    first, second = await d.park(), await d.park()
    d.ready["q"] = 1
    d.claim_queue.look(Q)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second


async def test_all_parked_claims_can_be_ended() -> None:
    d = Desk()
    claims = [await d.park(), await d.park(("q", "r"))]
    d.claim_queue.end_all(KeyError("gone"))
    for claim in claims:
        with pytest.raises(KeyError):
            await claim
    assert d.claim_queue.parked == 0


async def test_only_watched_events_wake() -> None:
    waiters = Watches()
    with waiters.watch([subject(EventKind.TASK_FINISHED, "t1")]) as watch:
        waiters.on_applied([Event(EventKind.TASK_FINISHED, "t2", 1)])
        assert not await watch.wait(0)
        waiters.on_applied([Event(EventKind.TASK_FINISHED, "t1", 2)])
        assert await watch.wait(0)
        assert not await watch.wait(0.01)
        waiters.end_waits(KeyError("gone"))
        with pytest.raises(KeyError):
            await watch.wait(60)
    assert len(waiters) == 0


class Ticking:
    """A ticker over a deadline that a tick takes away."""

    def __init__(self, deadline_ms: int | None) -> None:
        self.deadline_ms = deadline_ms
        self.ticks: list[float] = []
        self.clock = ClusterClock()
        self.ticker = Ticker(
            self.clock,
            lambda until_ms: self.deadline_ms,
            self._tick,
            asyncio.get_running_loop(),
        )

    def _tick(self) -> None:
        self.ticks.append(asyncio.get_running_loop().time())
        self.deadline_ms = None

    async def ticked(self) -> None:
        await eventually(lambda: bool(self.ticks))


async def test_ticks_when_something_is_due() -> None:
    ticking = Ticking(30)
    begun = asyncio.get_running_loop().time()
    ticking.clock.start()
    ticking.ticker.lead()
    await ticking.ticked()
    assert ticking.ticks[0] - begun >= 0.025
    await asyncio.sleep(0.03)
    assert len(ticking.ticks) == 1


async def test_a_time_to_ask_again_writes_nothing() -> None:
    """Leases that were renewed: nothing is due when the first of their old deadlines comes."""
    clock, asked, ticks = ClusterClock(), list[int](), list[int]()

    def next_deadline_ms(until_ms: int) -> int:
        asked.append(until_ms)
        return until_ms + 30 if len(asked) < 5 else until_ms

    ticker = Ticker(
        clock, next_deadline_ms, lambda: ticks.append(len(asked)), asyncio.get_running_loop()
    )
    clock.start()
    ticker.lead()
    await eventually(lambda: bool(ticks))
    ticker.rest()
    assert ticks[0] >= 5


async def test_an_earlier_deadline_moves_the_tick() -> None:
    ticking = Ticking(60_000)
    ticking.clock.start()
    ticking.ticker.lead()
    ticking.deadline_ms = 10
    ticking.ticker.look()
    await ticking.ticked()


async def test_time_that_stands_still_is_probed() -> None:
    """Else nothing would end any more once writes are taken again and nobody calls."""
    ticking = Ticking(20)
    ticking.clock.start()
    ticking.clock.stop()
    ticking.ticker.lead()
    await ticking.ticked()


async def test_only_the_leader_ticks() -> None:
    ticking = Ticking(0)
    ticking.ticker.look()
    ticking.clock.start()
    ticking.ticker.lead()
    ticking.ticker.rest()
    await asyncio.sleep(0.02)
    assert ticking.ticks == []


async def test_very_many_claims_end_in_slices() -> None:
    """Whose wait is over goes on in the next turn of the event loop: not ten thousand in one."""
    d = Desk()
    claims = [asyncio.create_task(park(d.claim_queue, Q, 1, 60)) for _ in range(1_000)]
    await settle()
    d.claim_queue.end_all(KeyError("gone"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < sum(claim.done() for claim in claims) < 200
    await asyncio.wait(claims)
    assert all(isinstance(claim.exception(), KeyError) for claim in claims)
    late = [asyncio.create_task(park(d.claim_queue, Q, 1, 0.001)) for _ in range(1_000)]
    await asyncio.wait(late)
    assert not any(claim.result() for claim in late)
    assert d.claim_queue.parked == 0


async def test_very_many_calls_that_wait_for_a_leader_go_on_in_slices() -> None:
    replicator = LocalReplicator("n1", ReplicatedStateMachine(ClusterClock()))
    leadership = LeaderView(replicator)
    waiting = [asyncio.create_task(leadership.wait_for_change(60)) for _ in range(1_000)]
    await settle()
    leadership.refresh()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < sum(one.done() for one in waiting) < 200
    await asyncio.wait(waiting)
    began = asyncio.get_running_loop().time()
    await leadership.wait_for_change(0.01)
    assert asyncio.get_running_loop().time() - began >= 0.009


async def test_very_many_watches_are_woken_in_slices_and_in_order() -> None:
    waiters = Watches()
    woken: list[int] = []

    async def wait(number: int) -> None:
        with waiters.watch([subject(EventKind.TASK_FINISHED, "t1")]) as watch:
            assert await watch.wait(60)
            assert watch.names == ("t1",)
            woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(1_000)]
    await settle()
    waiters.on_applied([Event(EventKind.TASK_FINISHED, "t1", 1)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(woken) < 200
    await asyncio.wait(tasks)
    assert woken == list(range(1_000))
    assert len(waiters) == 0
