"""One simulated run: nodes, network, clients and faults on one virtual clock, from one plan.

A run has a stormy part, in which the plan's faults come while clients work, and a calm part, in
which everything is healed; then the cluster has to make progress within a bound, come to rest, and
agree. Every callback goes through the checks, and the first broken promise ends the run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chaos.sim.ages import Ages
from chaos.sim.base_node import SimNode
from chaos.sim.bounds import Bounds
from chaos.sim.clients import PATIENCE_S, SimClient
from chaos.sim.clock import SimClock
from chaos.sim.faults import FaultInjector
from chaos.sim.hardened import HardenedNode
from chaos.sim.invariants import Invariants, Violation
from chaos.sim.links import SimNetwork
from chaos.sim.plan import HARDENED, SimPlan
from chaos.sim.promises import Promises, history_digest
from chaos.sim.service import THE_PRODUCT, Done, Outcome, Service, SimBuild
from coord.core.batch import Applied
from coord.journal import DiskFullError, StorageDamagedError, SyncFailedError
from coord.replication.errors import RemovedFromClusterError
from coord.replication.port import Member

PROGRESS_S = 4.0  # after everything is healed: by then a write must have been acknowledged
REST_S = 1.5  # before the end of the run clients begin nothing new
LOSS = 0.004  # of requests and of replies between clients and nodes
REFUSAL = (StorageDamagedError,)


@dataclass(slots=True)
class SimResult:
    """What a run amounted to. `failure` None: nothing was found."""

    plan: SimPlan
    failure: str | None = None
    simulated_s: float = 0.0
    operations: int = 0
    acknowledged: int = 0
    entries: int = 0
    terms: int = 0
    messages: int = 0
    restores: int = 0
    down: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()  # published engine only: the defects that were seen at work
    history: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """SHA-256 of the history."""
        return history_digest(self.history)


class World:
    """One run. `run` gives the result; it never raises for what the run finds."""

    def __init__(self, plan: SimPlan, build: SimBuild = THE_PRODUCT) -> None:
        self.plan = plan
        self.build = build
        self.clock = SimClock()
        self.invariants = Invariants(build)
        self.bounds = Bounds()
        self.ages = Ages()
        self.promises = Promises()
        self.result = SimResult(plan)
        self.nodes: dict[str, SimNode] = {
            node_id: self._make_node(node_id) for node_id in plan.all_ids
        }
        self.network = SimNetwork(
            self.clock,
            Random(f"network/{plan.seed}"),
            plan.all_ids,
            lambda a, b, message: self.nodes[b].deliver(a, message),
            lambda a, b: self.nodes[a].connected(b),
            lambda a, b: self.nodes[a].disconnected(b),
            lambda node_id: self.nodes[node_id].alive,
            lambda a, b: self.nodes[a].knows(b),
            distance=plan.distance,
            late=plan.late,
            twice=plan.twice,
            use_list=plan.engine == HARDENED,
        )
        self.clients = [
            SimClient(number, plan, self.clock, self, self.promises)
            for number in range(plan.clients)
        ]
        self.faults = FaultInjector(self)
        self._rng = Random(f"clients/{plan.seed}")
        self._failure: Exception | None = None

    def _make_node(self, node_id: str) -> SimNode:
        if self.plan.engine == HARDENED:
            return HardenedNode(node_id, self.plan, self.clock, self, self.build)
        from chaos.sim.stock import StockNode

        return StockNode(node_id, self.plan, self.clock, self, self.build)

    def run(self) -> SimResult:
        """The whole run."""
        try:
            self._run()
        except Violation as violation:
            self.result.failure = str(violation)
            self.note(f"VIOLATION {violation}")
        result = self.result
        result.simulated_s = self.clock.now
        result.history = self.promises.lines()
        result.operations = sum(event.type == "invoke" for event in self.promises.events)
        result.acknowledged = sum(event.type == "ok" for event in self.promises.events)
        result.entries = self.invariants.highest_applied
        result.terms = max(self.invariants.leaders, default=0)
        result.messages = self.network.sent
        result.witnesses = tuple(sorted(set().union(*(n.witnesses for n in self.nodes.values()))))
        result.down = tuple(sorted(self.faults.rotten))
        return result

    def _run(self) -> None:
        plan = self.plan
        for node_id in plan.node_ids:
            self.start(self.nodes[node_id])
        self.faults.schedule(plan.faults)
        self._run_until(plan.storm_s)
        self.faults.end()
        self._run_until(plan.storm_s + PROGRESS_S)
        if self.promises.written_at <= plan.storm_s:
            raise Violation(f"no write was acknowledged within {PROGRESS_S} s after the healing")
        self._run_until(plan.storm_s + plan.calm_s - REST_S)
        for client in self.clients:
            client.stopped = True
        end = plan.storm_s + plan.calm_s + PATIENCE_S
        while self.clock.now < end and not self._converged():
            self._run_until(self.clock.now + 0.1)
        self._check_end()

    def _run_until(self, end: float) -> None:
        while self.clock.now < end:
            self.clock.run_until(min(end, self.clock.now + 0.25))
            if self._failure is not None:
                raise Violation(str(self._failure)) from self._failure
            self.watch()

    def watch(self) -> None:
        """The checks that need a look at all nodes."""
        running = [node for node in self.nodes.values() if node.alive]
        self.invariants.logs(running)
        for node in self.nodes.values():
            self._watch_vote(node)
            self.ages.look(node, self.clock.now)
            self.bounds.look(node)
            if node.alive and node.takes_part():
                self.faults.node_takes_part(node)

    def _watch_vote(self, node: SimNode) -> None:
        if self.plan.disk_votes and node.node_id not in self.faults.rotten:
            self.invariants.disk_vote(node)

    def _converged(self) -> bool:
        """Whether all nodes that can run have the same log and have applied it."""
        nodes = self._members()
        if not nodes or not all(node.alive for node in nodes):
            return False
        quiet = not any(client.busy for client in self.clients)
        places = {(n.log()[-1][1], n.commit_index, n.applied_index) for n in nodes}
        return quiet and len(places) == 1 and len(set(places.pop())) == 1

    def _members(self) -> list[SimNode]:
        """The members, as whoever leads sees them, whose disks are not damaged."""
        leader = self.leader()
        ids = leader.members if leader is not None else ()
        return [self.nodes[node_id] for node_id in ids if node_id not in self.faults.rotten]

    def _check_end(self) -> None:
        """All nodes that can run agree, and have all that was promised."""
        nodes = self._members()
        leaders = [node.node_id for node in nodes if node.alive and node.leads()]
        if len(leaders) != 1:
            raise Violation(f"leaders at the end: {leaders}")
        if not self._converged():
            applied = {n.node_id: n.applied_index if n.alive else "down" for n in nodes}
            raise Violation(f"the nodes have not converged: applied {applied}")
        for node in nodes:
            self.invariants.finish(node)
        self.promises.check_state(self.invariants.machine.state)
        self.bounds.check_state(self.invariants.machine.state)
        self.promises.check_history()

    # Nodes

    def start(self, node: SimNode) -> None:
        """Start a node that is down, unless its disk is known to be damaged."""
        if node.alive or node.node_id in self.faults.rotten:
            return
        self.note(f"{node.node_id} starts")
        self._watch_vote(node)
        node.start()
        if node.alive:
            self.network.node_up(node.node_id)

    def kill(self, node: SimNode, *, power_loss: bool) -> None:
        """A node that is up dies."""
        self.note(f"{node.node_id} dies{', with the power' if power_loss else ''}")
        node.kill(power_loss=power_loss)
        self.network.node_down(node.node_id)

    def leader(self) -> SimNode | None:
        """Whoever leads in the latest term."""
        leading = [node for node in self.nodes.values() if node.alive and node.leads()]
        return max(leading, key=lambda node: node.term, default=None)

    # ClientPort

    def ask(self, node_id: str, action: Callable[[Service, Done], None], done: Done) -> None:
        rng = self._rng
        if rng.random() < LOSS:
            return

        def reply(outcome: Outcome) -> None:
            if rng.random() >= LOSS:
                self.clock.after(0.0002 + 0.002 * rng.random(), lambda: self.guard(done, outcome))

        def arrive() -> None:
            node = self.nodes[node_id]
            if node.alive:
                node.request(lambda service: action(service, reply))
            else:
                reply(Outcome("elsewhere"))

        self.clock.after(0.0002 + 0.002 * rng.random(), arrive)

    # NodeWatcher

    def node_sends(self, node: SimNode, peer_id: str, message: dict[str, Any]) -> bool:
        kind = message["type"]
        if kind in ("vote", "response_vote"):
            self.guard(self.invariants.votes_for, node.node_id, message["term"], peer_id)
        elif kind in ("vote_request", "request_vote"):
            self.guard(self.invariants.votes_for, node.node_id, message["term"], node.node_id)
        self.guard(self.bounds.sends, node, message)
        return self.network.send(node.node_id, peer_id, message)

    def node_changed(self, node: SimNode) -> None:
        leads = node.leads()
        self.note(f"{node.node_id} {'leads' if leads else 'follows'} in term {node.term}")
        if leads:
            self.guard(self.invariants.leader, node)

    def node_stamped(self, node: SimNode, data: bytes) -> None:
        self.invariants.stamped(data, self.clock.now)
        self.bounds.stamped(data)

    def node_applied(
        self, node: SimNode, index: int, term: int, data: bytes, applied: Applied
    ) -> None:
        self.guard(self.invariants.apply, node, index, term, data, applied)
        self.guard(self.bounds.applied, node, self.clock.steps, data)

    def node_acknowledges(self, node: SimNode, index: int, term: int) -> None:
        voters = [self.nodes[node_id] for node_id in node.voters]
        self.guard(self.invariants.acknowledge, index, term, voters)
        self.ages.acknowledged(index, self.clock.now)

    def node_froze(self, node: SimNode, index: int) -> None:
        self.guard(self.invariants.state, node, index)

    def node_restored(self, node: SimNode, index: int) -> None:
        self.result.restores += 1
        self.guard(self.invariants.state, node, index)

    def node_recovered(self, node: SimNode, at_stake: list[str]) -> None:
        self.guard(self.invariants.recovered, node, at_stake)

    def node_reconfigured(
        self, node: SimNode, index: int, term: int, members: tuple[Member, ...]
    ) -> None:
        self.guard(self.invariants.reconfigured, node, index, term, members)

    def node_peers_changed(self, node: SimNode) -> None:
        self.network.node_knows_others(node.node_id)

    def node_crashed(self, node: SimNode, *, power_loss: bool) -> None:
        self.kill(node, power_loss=power_loss)
        self.faults.restart_later(node)

    def node_failed(self, node: SimNode, error: Exception) -> None:
        self.kill(node, power_loss=False)
        if isinstance(error, RemovedFromClusterError) and self.invariants.removed(node.node_id):
            self.note(f"{node.node_id} stopped itself: {error}")
            self.faults.restart_later(node)  # it may be a member again, or meant to be one
        elif isinstance(error, SyncFailedError) and self.faults.may_fail_sync(node):
            self.note(f"{node.node_id} stopped itself: {error}")
            self.faults.restart_later(node)
        else:
            self._fail(error, f"{node.node_id} stopped itself: {error!r}")

    def node_refused(self, node: SimNode, error: Exception) -> None:
        self.kill(node, power_loss=False)
        if isinstance(error, DiskFullError | SyncFailedError) and self.faults.may_fail_sync(node):
            self.faults.restart_later(node)
        else:
            self._fail(error, f"{node.node_id} does not start: {error!r}")

    def guard(self, check: Callable[..., None], *arguments: Any) -> None:
        """Note the first broken promise; the run ends soon after."""
        try:
            check(*arguments)
        except Violation as violation:
            self._failure = self._failure or violation

    def _fail(self, error: Exception, text: str) -> None:
        self.note(text)
        if self._failure is None:
            self._failure = Violation(text)
            self._failure.__cause__ = error

    def note(self, text: str) -> None:
        """A line for people who read a failing run."""
        self.result.notes.append(f"{self.clock.now:9.4f} {text}")


def simulate(plan: SimPlan) -> SimResult:
    """Run a plan."""
    with _collected_afterwards():
        if plan.engine == HARDENED:
            return World(plan).run()
        from chaos.sim.stock_files import library_on_simulation

        with library_on_simulation():
            return World(plan).run()


@contextmanager
def _collected_afterwards() -> Iterator[None]:
    """A world is full of cycles, and nodes that load snapshots freeze what there is, as in a
    process of their own: collect it all at the end, at once."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.collect()
        if enabled:
            gc.enable()
