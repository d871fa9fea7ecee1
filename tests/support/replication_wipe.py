"""Simulated nodes that lose their whole disk, beside the other faults of a run."""

from __future__ import annotations

from random import Random

from chaos.sim.base_node import SimNode
from chaos.sim.hardened import HardenedNode
from chaos.sim.plan import SimPlan
from chaos.sim.world import SimResult, World


class WipingWorld(World):
    """A run in which nodes lose their disks, one after the other: the next only when all nodes
    are up and vote. `wiped` counts."""

    def __init__(self, plan: SimPlan, every_s: float = 0.4) -> None:
        super().__init__(plan)
        self.wiped = 0
        self._wipe_rng = Random(f"wipes/{plan.seed}")
        self._every_s = every_s

    def run(self) -> SimResult:
        self._schedule()
        return super().run()

    def _schedule(self) -> None:
        self.clock.after(self._wipe_rng.uniform(0.05, 2 * self._every_s), self._maybe_wipe)

    def _maybe_wipe(self) -> None:
        if self.clock.now >= self.plan.storm_s:
            return
        self._schedule()
        nodes = [node for node in self.nodes.values() if isinstance(node, HardenedNode)]
        if not all(node.replica is not None and node.replica.admission.votes for node in nodes):
            return
        leader = self.leader()
        others = [node for node in nodes if node is not leader]
        if leader is None or self._wipe_rng.random() < 0.5:
            self._wipe(self._wipe_rng.choice(nodes))
        else:
            self._wipe_rng.shuffle(others)
            self._pincer(leader, others)

    def _pincer(self, leader: SimNode, others: list[HardenedNode]) -> None:
        """All but the leader and as few as can be fall behind; then the leader dies and one of
        those few loses its disk, so that what only they had is at stake."""
        behind = {node.node_id for node in others[: len(others) // 2]}
        self.network.heal()
        for a, b in self.network.pairs():
            if (a in behind) != (b in behind):
                self.network.break_link(a, b, cut=True)

        def strike() -> None:
            nodes = self.nodes.values()
            if all(node.alive and node.takes_part() for node in nodes):
                self.kill(leader, power_loss=True)
                self._wipe(others[-1])
                self.network.heal()
                self.clock.after(self._wipe_rng.choice((0.3, 1.5)), lambda: self.start(leader))

        self.clock.after(0.3, strike)

    def _wipe(self, node: HardenedNode) -> None:
        self.wiped += 1
        self.note(f"{node.node_id} loses its disk")
        self.kill(node, power_loss=True)
        self.faults.renew(node)
        self.clock.after(self._wipe_rng.choice((0.01, 0.1, 0.5)), lambda: self.start(node))
