"""Simulated nodes compare their states: a corrupted one is stopped, a healthy one never."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from chaos.sim.base_node import SimNode
from chaos.sim.hardened import HardenedNode
from chaos.sim.invariants import Violation
from chaos.sim.plan import make_plan
from chaos.sim.world import World
from coord.replication.errors import DivergenceError

CORRUPTED_AT_S = 2.0
FOUND_WITHIN_S = 4.0


class Unwatched(World):
    """A world whose own checks say nothing, so that those of the nodes have to."""

    def __init__(self, seed: int, nodes: int = 3) -> None:
        super().__init__(make_plan(seed, nodes=nodes, profile="kills"))
        self.stopped: dict[str, Exception] = {}
        for node in self.nodes.values():
            self.start(node)

    def guard(self, check: Any, *arguments: Any) -> None:
        with contextlib.suppress(Violation):
            check(*arguments)

    def node_failed(self, node: SimNode, error: Exception) -> None:
        self.stopped[node.node_id] = error
        self.kill(node, power_loss=False)

    def run_for(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + seconds)

    def acknowledged(self) -> int:
        return sum(event.type == "ok" for event in self.promises.events)

    def checked(self) -> dict[str, int]:
        return {
            node_id: node.replica.state_check.checked_index
            for node_id, node in self.nodes.items()
            if isinstance(node, HardenedNode) and node.replica is not None
        }

    def corrupt(self, node_id: str) -> None:
        """A change that no entry of the log made."""
        service = self.nodes[node_id].service
        assert service is not None
        service.host.inner.state.ctx.next_revision()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_a_corrupted_node_stops_itself_and_the_others_go_on(seed: int, victim: str) -> None:
    world = Unwatched(seed)
    world.run_for(CORRUPTED_AT_S)
    before = world.checked()
    assert all(before.values()), before
    leader = world.leader()
    assert leader is not None
    followers = [node_id for node_id in world.nodes if node_id != leader.node_id]
    hurt = leader.node_id if victim == "leader" else followers[seed % 2]
    world.corrupt(hurt)
    world.run_for(FOUND_WITHIN_S)
    assert list(world.stopped) == [hurt]
    assert isinstance(world.stopped[hurt], DivergenceError)
    assert "is not that of the majority" in str(world.stopped[hurt])
    acknowledged = world.acknowledged()
    world.run_for(2.0)
    assert world.acknowledged() > acknowledged
    after = world.checked()
    assert len(after) == 2
    assert min(after.values()) > max(before.values())


def test_two_of_five_stop() -> None:
    world = Unwatched(1, nodes=5)
    world.run_for(CORRUPTED_AT_S)
    world.corrupt("n1")
    world.corrupt("n4")
    world.run_for(FOUND_WITHIN_S)
    assert sorted(world.stopped) == ["n1", "n4"]
    assert len(world.checked()) == 3


def test_without_a_majority_nobody_stops_and_both_complain() -> None:
    world = Unwatched(2)
    world.run_for(CORRUPTED_AT_S)
    leader = world.leader()
    assert leader is not None
    away, hurt = [node_id for node_id in world.nodes if node_id != leader.node_id]
    world.kill(world.nodes[away], power_loss=False)
    world.corrupt(hurt)
    world.run_for(FOUND_WITHIN_S)
    assert not world.stopped
    for node_id in (leader.node_id, hurt):
        node = world.nodes[node_id]
        assert isinstance(node, HardenedNode)
        assert node.replica is not None
        assert "none is shared by a majority" in node.replica.state_check.problem
    world.start(world.nodes[away])
    world.run_for(FOUND_WITHIN_S)
    assert list(world.stopped) == [hurt]


def test_nodes_compare_in_stormy_runs_too() -> None:
    world = World(make_plan(5, profile="everything"))
    assert world.run().failure is None
    highest = world.invariants.highest_applied
    for node in world.nodes.values():
        assert isinstance(node, HardenedNode)
        assert node.replica is not None
        assert node.replica.state_check.checked_index > highest / 2
