"""A domain that the product does not have, in simulated clusters under faults: the simulator covers
it without an edit of the product."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from chaos.sim.plan import make_plan
from chaos.sim.runner import silent_nodes
from chaos.sim.service import Done, Outcome, Service, SimBuild
from chaos.sim.world import World
from coord.codec.envelope import EnvelopeItem
from coord.core.base.build import COMPILED
from coord.core.base.request import Done as Accepted
from coord.core.domains import DOMAINS
from tests.support.toy_domain import (
    COUNT_KIND,
    COUNTERS,
    WITH_COUNTERS,
    Count,
    counters_of,
    decode_with_counters,
    encode_count,
)

pytestmark = pytest.mark.skipif(COMPILED, reason="the compiled core takes its own commands only")

BUILD = SimBuild(WITH_COUNTERS, decode_with_counters)
EVERY_S = 0.05
TTL_MS = 400


@dataclass
class Counting:
    """Clients that count at every node in turn, while the faults come."""

    world: World
    asked: int = 0
    counted: int = 0
    unknown: int = 0  # also those that nobody answered
    seen: set[str] = field(default_factory=set)  # counters that were there at some time

    def begin(self) -> None:
        self.world.clock.after(EVERY_S, self._next)

    def _next(self) -> None:
        world = self.world
        if world.clock.now < world.plan.storm_s:
            self.asked += 1
            self.unknown += 1
            self._ask(Count("kept", 1), self._counted)
            self._ask(Count(f"passing-{self.asked}", 1, TTL_MS), lambda outcome: None)
            world.clock.after(EVERY_S, self._next)
        self.seen.update(counters_of(world.invariants.machine.state))

    def _ask(self, command: Count, done: Done) -> None:
        ids = self.world.plan.all_ids
        item = EnvelopeItem(COUNT_KIND, "", 0, 0, 0, encode_count(command))

        def write(service: Service, answer: Done) -> None:
            service.write(item, answer, owner="counting")

        leader = self.world.leader()
        at = leader.node_id if leader is not None else ids[self.asked % len(ids)]
        self.world.ask(at, write, done)

    def _counted(self, outcome: Outcome) -> None:
        if outcome.kind == "unknown":
            return
        self.unknown -= 1
        self.counted += isinstance(outcome.reply, Accepted)


@pytest.mark.parametrize("seed", range(3))
def test_nodes_agree_on_it_through_crashes_and_snapshots(seed: int) -> None:
    world = World(make_plan(seed, profile="snapshots"), BUILD)
    counting = Counting(world)
    counting.begin()
    with silent_nodes():
        result = world.run()
    assert result.failure is None, result.failure
    assert result.restores > 0
    assert len({node.digest() for node in world.nodes.values()}) == 1
    counters = counters_of(world.invariants.machine.state)
    assert list(counters) == ["kept"], "the others have expired"
    assert sum(name != "kept" for name in counting.seen) > 20
    assert counting.counted > 20
    assert counting.counted <= counters["kept"].value <= counting.counted + counting.unknown


def test_a_restored_node_that_forgets_its_timers_is_found() -> None:
    forgetful = replace(COUNTERS, rebuild=lambda ctx, counters: None)
    build = SimBuild((*DOMAINS, forgetful), decode_with_counters)
    failures = []
    for seed in range(3):
        world = World(make_plan(seed, profile="snapshots"), build)
        Counting(world).begin()
        with silent_nodes():
            failures.append(world.run().failure)
    assert any(failure and "answered entry" in failure for failure in failures), failures
