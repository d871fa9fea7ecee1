"""How callers share what a node has: room, turns, and turns of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from coord.rpc.streams.answer_room import Account, AnswerRoom, NoRoomError
from coord.rpc.streams.outgoing import Outgoing
from coord.runtime.fair_queue import TURN, FairQueue
from coord.runtime.shares import Shares
from coord.runtime.sliced_calls import SlicedCalls
from coord.runtime.slices import cancel_all

LONG_S = 1e9


def fill(shares: Shares, owner: str) -> int:
    """How often the owner can take one more."""
    taken = 0
    while shares.may_take(owner, 1):
        shares.take(owner, 1)
        taken += 1
    return taken


def test_a_flood_leaves_room_for_others() -> None:
    shares = Shares(1_000)
    assert fill(shares, "flood") == 500
    assert fill(shares, "second") == 250
    assert all(shares.may_take(f"other {n}", 1) for n in range(100))
    shares.give_back("flood", 500)
    assert (shares.of("flood"), shares.used, shares.owners) == (0, 250, 1)


def test_the_node_itself_takes_all_there_is() -> None:
    shares = Shares(10)
    assert fill(shares, "") == 10
    assert not shares.may_take("anybody", 1)


def test_owners_take_turns() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(lambda thing: thing[0])
    queue.extend(("flood", n) for n in range(10_000))
    queue.append(("other", 0))
    taken = [queue.pop() for _ in range(TURN + 1)]
    assert taken[-1] == ("other", 0)
    assert taken[:-1] == [("flood", n) for n in range(TURN)]
    queue.put_back(taken)
    assert queue.first() == taken[0]
    rest = [queue.pop() for _ in range(len(queue))]
    assert [n for owner, n in rest if owner == "flood"] == list(range(10_000))
    with pytest.raises(IndexError):
        queue.pop()
    with pytest.raises(IndexError):
        queue.first()


async def test_many_are_woken_in_slices_and_in_order() -> None:
    done: list[int] = []
    calls: SlicedCalls[int] = SlicedCalls(asyncio.get_running_loop().call_soon, done.append, 10)
    for number in range(35):
        calls.add(number)
    assert len(done) == 10
    turns = 0
    while len(done) < 35:
        before = len(done)
        await asyncio.sleep(0)
        assert len(done) - before <= 10
        turns += 1
    assert (done, len(calls)) == (list(range(35)), 0)
    assert turns >= 3


async def test_many_tasks_are_cancelled_in_slices() -> None:
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(1_000)]
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancel_all(tasks))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(task.cancelling() for task in tasks) < 200
    await ending
    assert all(task.cancelled() for task in tasks)


async def test_answers_wait_for_room_in_order() -> None:
    room = AnswerRoom(100, 50)
    order: list[str] = []

    async def reserve(owner: str, size: int, name: str) -> None:
        await room.reserve(owner, size, LONG_S)
        order.append(name)

    await reserve("a", 40, "first")
    waiting = [asyncio.create_task(reserve("a", 20, name)) for name in ("second", "third")]
    await asyncio.sleep(0)
    await reserve("b", 30, "another owner")
    assert order == ["first", "another owner"]
    room.give_back("a", 40)
    await asyncio.gather(*waiting)
    assert order == ["first", "another owner", "second", "third"]
    assert (room.bytes_held, room.waiting) == (70, 0)


async def test_an_answer_larger_than_the_room_is_made_when_nothing_else_is() -> None:
    room = AnswerRoom(100, 50)
    await room.reserve("a", 1_000, LONG_S)
    waiting = asyncio.create_task(room.reserve("b", 1, LONG_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give_back("a", 1_000)
    await waiting
    assert room.bytes_held == 1


async def test_who_waits_too_long_or_goes_gives_its_place_up() -> None:
    room = AnswerRoom(100, 100, max_waiting=2)
    now = asyncio.get_running_loop().time
    await room.reserve("a", 90, LONG_S)
    with pytest.raises(NoRoomError):
        await room.reserve("b", 20, now() + 0.01)
    gone = asyncio.create_task(room.reserve("b", 20, LONG_S))
    waiting = asyncio.create_task(room.reserve("c", 10, LONG_S))
    await asyncio.sleep(0)
    assert waiting.done()  # there is room for that one
    another = asyncio.create_task(room.reserve("d", 20, LONG_S))
    await asyncio.sleep(0)
    with pytest.raises(NoRoomError):  # beyond the line
        await room.reserve("e", 20, LONG_S)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    room.give_back("a", 90)
    await another
    assert (room.bytes_held, room.waiting) == (30, 0)


async def test_a_call_cancelled_when_it_is_let_in_holds_nothing() -> None:
    room = AnswerRoom(100, 100)
    await room.reserve("a", 100, LONG_S)
    waiting = asyncio.create_task(room.reserve("b", 50, LONG_S))
    await asyncio.sleep(0)
    room.give_back("a", 100)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert room.bytes_held == 0


async def test_what_a_stream_never_writes_is_not_held_for_ever() -> None:
    room = AnswerRoom()
    taken = asyncio.Event()

    async def write(_: bytes) -> None:
        await taken.wait()

    outgoing = Outgoing(write, Account(room, "a"))
    outgoing.put(bytes(100))
    outgoing.put(bytes(50))
    await asyncio.sleep(0)
    assert room.bytes_held == 150
    taken.set()
    await outgoing.flushed()
    assert room.bytes_held == 0
    taken.clear()
    outgoing.put(bytes(100))
    outgoing.put(bytes(2_000_000))
    await asyncio.sleep(0)
    taken.set()
    await outgoing.close()
    assert room.bytes_held == 0
