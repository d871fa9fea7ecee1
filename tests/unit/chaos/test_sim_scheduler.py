"""The scheduler of a simulated node: outcomes, turns and timers, as an event loop has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.sim.clock import NodeClock, SimClock
from chaos.sim.scheduler import NodeScheduler, SimOutcome


class Node:
    """A node whose clock runs at twice the rate of the simulated one."""

    def __init__(self) -> None:
        self.sim = SimClock()
        self.clock = NodeClock(self.sim, offset_s=100.0, rate=2.0)
        self.raised: list[Exception] = []
        self.scheduler = NodeScheduler(self)

    def local_now(self) -> float:
        return self.clock.now()

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.sim.after(self.clock.real(delay_s), action)

    def guard(self, action: Callable[[], object]) -> Any:
        try:
            return action()
        except Exception as error:
            self.raised.append(error)
            return None


def test_turns_come_in_order_and_never_at_once() -> None:
    node, seen = Node(), list[int]()
    for number in range(3):
        node.scheduler.call_soon(lambda number=number: seen.append(number))  # type: ignore[misc]
    assert seen == []
    node.sim.run_until(0.0)
    assert seen == [0, 1, 2]


def test_timers_go_by_the_clock_of_the_node_and_can_be_cancelled() -> None:
    node, seen = Node(), list[tuple[str, float]]()
    at = node.scheduler.call_at
    at(104.0, lambda: seen.append(("late", node.sim.now)))
    at(102.0, lambda: seen.append(("early", node.sim.now)))
    at(50.0, lambda: seen.append(("passed", node.sim.now)))
    at(103.0, lambda: seen.append(("cancelled", node.sim.now))).cancel()
    node.sim.run_until(5.0)
    assert seen == [("passed", 0.0), ("early", 1.0), ("late", 2.0)]


def test_what_a_callback_raises_goes_to_the_guard_of_the_node() -> None:
    node = Node()
    node.scheduler.call_soon(lambda: 1 / 0)
    node.sim.run_until(1.0)
    assert [type(error) for error in node.raised] == [ZeroDivisionError]


def test_an_outcome_ends_once_and_tells_in_a_later_turn() -> None:
    node, told = Node(), list[SimOutcome]()
    outcome = node.scheduler.create_future()
    outcome.add_done_callback(told.append)
    outcome.set_result(7)
    assert (outcome.done(), outcome.cancelled(), told) == (True, False, [])
    assert (outcome.result(), outcome.exception()) == (7, None)
    node.sim.run_until(0.0)
    assert told == [outcome]
    outcome.add_done_callback(told.append)
    node.sim.run_until(0.0)
    assert told == [outcome, outcome]
    with pytest.raises(RuntimeError, match="told twice"):
        outcome.set_result(8)


def test_an_outcome_can_be_an_error_or_be_given_up() -> None:
    node = Node()
    failed = node.scheduler.create_future()
    failed.set_exception(KeyError("k"))
    assert isinstance(failed.exception(), KeyError)
    with pytest.raises(KeyError):
        failed.result()
    failed.cancel()
    assert not failed.cancelled()
    given_up = node.scheduler.create_future()
    given_up.cancel()
    assert (given_up.done(), given_up.cancelled()) == (True, True)
