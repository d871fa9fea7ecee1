"""Changes of the membership in a simulated run: nodes are added, promoted and removed by whoever
leads, in the middle of everything else. Spare nodes wait to be added; a node that was removed is a
spare one again, with its old disk or with a new one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from chaos.sim.base_node import SimNode, member_of
from chaos.sim.hardened import HardenedNode
from chaos.sim.plan import LEADER, Fault
from chaos.sim.stage import Stage
from coord.replication.membership import Membership
from coord.replication.port import AddLearner, MembershipChange, Promote, Remove

MIN_VOTERS_TO_LOSE_A_DISK = 3


class MemberFaults:
    """See the module. `renew` gives a node that is down a new, empty disk."""

    def __init__(self, world: Stage, renew: Callable[[SimNode], None]) -> None:
        self._world = world
        self._renew = renew
        self._rng = Random(f"members/{world.plan.seed}")

    def add_node(self, fault: Fault) -> None:
        """The named node, or the first spare one, becomes a learner and starts."""
        leader = self._leader()
        if leader is None:
            return
        present = leader.membership
        spare = [node_id for node_id in self._world.plan.all_ids if not present.find(node_id)]
        if not spare:
            return
        chosen = fault.nodes[0] if fault.nodes[0] in spare else spare[0]
        if self._change(leader, AddLearner(member_of(chosen))):
            self._bring_in(chosen, present)

    def promote(self, fault: Fault) -> None:
        """The first learner votes."""
        leader = self._leader()
        if leader is not None:
            present = leader.membership
            learners = [i for i in present.ids if i not in present.voters]
            if learners:
                self._change(leader, Promote(learners[0]))

    def remove_node(self, fault: Fault) -> None:
        """The named node goes; a leader hands over first."""
        leader = self._leader()
        if leader is None:
            return
        if fault.nodes[0] in (LEADER, leader.node_id):
            leader.transfer()
        elif leader.membership.find(fault.nodes[0]) is not None:
            self._change(leader, Remove(fault.nodes[0]))

    def may_lose_disk(self, node_id: str) -> bool:
        """Whether the voters stay more than what was lost; no change may be under way."""
        leader = self._leader()
        if leader is None or leader.membership.index > leader.commit_index:
            return False
        voters = leader.membership.voters
        return node_id in voters and len(voters) >= MIN_VOTERS_TO_LOSE_A_DISK

    def _leader(self) -> HardenedNode | None:
        leader = self._world.leader()
        return leader if isinstance(leader, HardenedNode) else None

    def _change(self, leader: HardenedNode, change: MembershipChange) -> bool:
        begun, why = leader.change_members(change)
        if leader.alive:
            self._world.guard(self._world.invariants.changes, leader)
        self._world.note(f"{leader.node_id} {'begins' if begun else 'refuses'} {change} {why}")
        return begun

    def _bring_in(self, node_id: str, present: Membership) -> None:
        world = self._world
        node = world.nodes[node_id]
        if not isinstance(node, HardenedNode):
            return
        if not node.alive and node.run and self._rng.random() < 0.6:
            self._renew(node)
        node.seeds = tuple(sorted({*present.ids, node_id}))
        world.clock.after(self._rng.uniform(0, 0.2), lambda: world.start(node))
