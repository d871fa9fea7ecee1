"""The parts of the simulated world: clocks, network, disk."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from chaos.sim.clock import NodeClock, SimClock
from chaos.sim.disk import SimDisk
from chaos.sim.links import SimNetwork


def test_events_come_in_order_of_time_then_of_making() -> None:
    clock, seen = SimClock(), []
    for name, delay in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        clock.after(delay, lambda name=name: seen.append((name, clock.now)))  # type: ignore[misc]
    clock.run_until(1.5)
    assert seen == [("first", 1.0), ("second", 1.0)]
    assert clock.now == 1.5
    clock.at(0.5, lambda: seen.append(("passed", clock.now)))
    clock.run_until(3.0)
    assert seen[2:] == [("passed", 1.5), ("late", 2.0)]


def test_a_node_clock_runs_at_its_rate_and_never_goes_back() -> None:
    clock = SimClock()
    node = NodeClock(clock, offset_s=100.0, rate=2.0)
    clock.run_until(1.0)
    assert node.now() == pytest.approx(102.0)
    node.set_rate(0.5)
    assert node.now() == pytest.approx(102.0)
    clock.run_until(3.0)
    assert node.now() == pytest.approx(103.0)
    assert node.real(1.0) == pytest.approx(2.0)


class Wires:
    """A network of two, and what came out of it."""

    def __init__(self, *, late: float = 0.0, twice: float = 0.0) -> None:
        self.clock = SimClock()
        self.got: list[Any] = []
        self.changes: list[tuple[str, str, bool]] = []
        self.alive = {"n1", "n2"}
        self.network = SimNetwork(
            self.clock,
            Random(1),
            ("n1", "n2"),
            lambda a, b, message: self.got.append(message["m"]),
            lambda a, b: self.changes.append((a, b, True)),
            lambda a, b: self.changes.append((a, b, False)),
            lambda node: node in self.alive,
            lambda a, b: True,
            distance=1.0,
            late=late,
            twice=twice,
            use_list=True,
        )
        self.network.node_up("n1")
        self.clock.run_until(1.0)

    def send(self, *messages: int) -> None:
        for m in messages:
            assert self.network.send("n1", "n2", {"m": m})


def test_a_connection_keeps_its_order() -> None:
    wires = Wires()
    wires.send(*range(50))
    wires.clock.run_until(2.0)
    assert wires.got == list(range(50))


def test_a_connection_that_breaks_loses_what_it_held_and_comes_back() -> None:
    wires = Wires()
    wires.send(1, 2)
    wires.network.break_link("n1", "n2", cut=False)
    assert wires.changes[-1] == ("n1", "n2", False)
    assert not wires.network.send("n1", "n2", {"m": 3})
    wires.clock.run_until(2.0)
    assert wires.changes[-1] == ("n1", "n2", True)
    wires.send(4)
    wires.clock.run_until(3.0)
    assert wires.got == [4]


def test_a_cut_stays_until_it_is_healed() -> None:
    wires = Wires()
    wires.network.break_link("n1", "n2", cut=True)
    wires.clock.run_until(5.0)
    assert not wires.network.send("n1", "n2", {"m": 1})
    assert wires.network.send("n2", "n1", {"m": 2})  # one way
    wires.network.heal()
    wires.clock.run_until(6.0)
    wires.send(3)


def test_what_a_broken_connection_held_can_come_late() -> None:
    wires = Wires(late=1.0)
    wires.send(1)
    wires.network.break_link("n1", "n2", cut=False)
    wires.clock.run_until(9.0)
    assert wires.got == [1]


def test_messages_can_come_twice() -> None:
    wires = Wires(twice=1.0)
    wires.send(1, 2)
    wires.clock.run_until(9.0)
    assert sorted(wires.got) == [1, 1, 2, 2]


def test_nothing_reaches_a_node_that_is_down() -> None:
    wires = Wires()
    wires.send(1)
    wires.alive.discard("n2")
    wires.clock.run_until(2.0)
    assert wires.got == []


def test_a_disk_knows_what_a_power_cut_would_change() -> None:
    disk = SimDisk()
    disk.mkdir("/d")
    file = disk.open_append("/d/f", create=True)
    assert disk.at_stake("/d") == ["/d/f"]
    disk.fsync_dir("/d")
    assert disk.at_stake("/d") == []
    file.write(b"abc")
    assert disk.at_stake("/d") == ["/d/f"]
    assert disk.durable("/d/f") == b""
    file.fdatasync()
    assert disk.at_stake("/d") == []
    assert disk.durable("/d/f") == b"abc"
    assert disk.durable("/d/g") is None
    assert disk.at_stake("/nowhere") == []


def test_a_memory_map_is_written_back_by_the_system() -> None:
    disk = SimDisk()
    disk.mkdir("/d")
    disk.open_append("/d/f", create=True)
    disk.write_at("/d/f", 2, b"xy")
    assert disk.get("/d/f") == b"\0\0xy"
    disk.write_back()
    disk.crash(Random(0))
    assert disk.get("/d/f") == b"\0\0xy"
