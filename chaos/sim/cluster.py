"""A whole simulated cluster under load and faults, from one seed.

A run has a stormy part, in which nodes are killed, lose power, are cut off and slowed down while
clients propose and read, and a calm part, in which everything is healed and the cluster has to
converge and make progress within a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from chaos.sim.checks import Checks, Violation
from chaos.sim.clock import SimClock
from chaos.sim.network import SimNetwork
from chaos.sim.node import SimNode
from coord.replication.messages import Message
from coord.replication.port import ReplicationError, Role
from coord.replication.replica import Replica
from coord.replication.settings import ReplicaSettings

COMMAND_BYTES = 100


@dataclass(frozen=True, slots=True)
class SimPlan:
    """What one run does. Times in simulated seconds."""

    seed: int
    nodes: int = 3
    storm_s: float = 20.0
    calm_s: float = 20.0
    batch_bytes: int = 600
    snapshot_entries: int = 1_000_000
    keep_entries: int = 5
    power_loss: bool = True
    proposals_per_s: float = 60.0
    faults: tuple[str, ...] = (
        "cut",
        "disk_full",
        "isolate",
        "one_way",
        "reset",
        "kill",
        "kill_leader",
        "power_cut",
        "slow",
        "slow_disk",
        "transfer",
    )


@dataclass(slots=True)
class SimResult:
    """What a run amounted to. `failure` None: nothing was found."""

    seed: int
    failure: str | None = None
    acknowledged: int = 0
    reads: int = 0
    terms: int = 0
    messages: int = 0
    faults: int = 0
    installs: int = 0
    history: list[str] = field(default_factory=list)


class SimCluster:
    """One run. `run` gives the result; it never raises for what the run finds."""

    def __init__(self, plan: SimPlan) -> None:
        self.plan = plan
        self.rng = Random(plan.seed)
        self.clock = SimClock()
        self.checks = Checks()
        self.result = SimResult(plan.seed)
        self.settings = ReplicaSettings(
            batch_bytes=plan.batch_bytes,
            max_in_flight_bytes=plan.batch_bytes * 4,
            snapshot_entries=plan.snapshot_entries,
            keep_entries=plan.keep_entries,
            snapshot_chunk_bytes=700,
        )
        ids = [f"n{i + 1}" for i in range(plan.nodes)]
        self.nodes = {
            node_id: SimNode(node_id, ids, self.clock, self.rng, self.settings, self)
            for node_id in ids
        }
        self.network = SimNetwork(
            self.clock,
            self.rng,
            ids,
            self._deliver,
            lambda a, b: self.nodes[a].call(lambda replica: replica.connected(b)),
            lambda a, b: self.nodes[a].call(lambda replica: replica.disconnected(b)),
            lambda node_id: self.nodes[node_id].alive,
        )
        self._failure: BaseException | None = None
        self._proposed: dict[str, dict[int, tuple[int, bytes]]] = {node_id: {} for node_id in ids}
        self._storming = True
        self._commands = 0
        self._acknowledged_at = 0.0

    def run(self) -> SimResult:
        """The whole run."""
        try:
            for node in self.nodes.values():
                self._start(node)
            self._schedule_client()
            self._schedule_fault()
            self._run_until(self.plan.storm_s)
            self._storming = False
            self._heal()
            self._run_until(self.plan.storm_s + self.plan.calm_s)
            self._check_converged()
        except Violation as violation:
            self.result.failure = str(violation)
        result = self.result
        result.acknowledged = len(self.checks.acknowledged)
        result.reads = self.checks.reads
        result.terms = max(self.checks.leaders, default=0)
        result.messages = self.network.sent
        return result

    def _run_until(self, end: float) -> None:
        while self.clock.now < end:
            self.clock.run_until(min(end, self.clock.now + 0.1))
            if self._failure is not None:
                raise Violation(str(self._failure)) from self._failure

    # SimObserver

    def node_applied(self, node: SimNode, index: int, term: int, result: object) -> None:
        assert isinstance(result, tuple)
        command: bytes = result[1]
        self._guard(
            lambda: self.checks.apply(node.node_id, index, term, command, node.machine.digest)
        )
        if self._proposed[node.node_id].pop(index, None) == (term, command):
            self.checks.acknowledge(index, command)
            self._acknowledged_at = self.clock.now

    def node_caught_up(self, node: SimNode, index: int) -> None:
        self.result.installs += 1
        self._guard(lambda: self.checks.state(node.node_id, index, node.machine.digest))

    def node_changed(self, node: SimNode) -> None:
        replica = node.replica
        if replica is None:
            return
        engine = replica.engine
        self._note(f"{node.node_id} {engine.role} term={engine.term} leader={engine.leader_id}")
        if engine.role is Role.LEADER:
            self._guard(lambda: self.checks.leader(node.node_id, engine.term))

    def node_sends(self, node: SimNode, peer_id: str, message: Message) -> bool:
        if message["type"] == "vote":
            self._guard(lambda: self.checks.vote(node.node_id, message["term"], peer_id))
        elif message["type"] == "vote_request":
            self._guard(lambda: self.checks.vote(node.node_id, message["term"], node.node_id))
        return self.network.send(node.node_id, peer_id, message)

    def node_failed(self, node: SimNode, error: BaseException) -> None:
        self._failure = self._failure or error
        self._note(f"{node.node_id} failed: {error!r}")

    def node_crashed(self, node: SimNode) -> None:
        self._kill(node, power_loss=True)
        self._restart_later(node)

    # Nodes

    def _start(self, node: SimNode) -> None:
        if not node.alive:
            self._note(f"{node.node_id} starts")
            node.start()
            if node.alive:
                self.network.node_up(node.node_id)

    def _kill(self, node: SimNode, *, power_loss: bool) -> None:
        self._note(f"{node.node_id} dies, power_loss={power_loss}")
        node.kill(power_loss=power_loss)
        self._proposed[node.node_id].clear()
        self.network.node_down(node.node_id)

    def _deliver(self, source: str, target: str, message: Any) -> None:
        self.nodes[target].call(lambda replica: replica.receive(source, message))

    # Clients

    def _schedule_client(self) -> None:
        delay = self.rng.expovariate(self.plan.proposals_per_s)
        self.clock.after(delay, self._client)

    def _client(self) -> None:
        self._schedule_client()
        for node in self._leaders():
            node.call(partial(self._use, node))

    def _use(self, node: SimNode, replica: Replica) -> None:
        for _ in range(self.rng.choice((1, 1, 2, 4, 15))):
            self._commands += 1
            command = b"%d:" % self._commands
            command += bytes(COMMAND_BYTES - len(command))
            try:
                index, term = replica.propose(command)
            except ReplicationError:
                return
            self._proposed[node.node_id][index] = (term, command)
        if self.rng.random() < 0.3:
            before = self.checks.highest_acknowledged
            node_id = node.node_id

            def done(index: int | None) -> None:
                if index is not None:
                    self._guard(lambda: self.checks.read(node_id, index, before))

            replica.read(done)
        if self.rng.random() < 0.8:
            replica.flush()

    # Faults

    def _schedule_fault(self) -> None:
        """Half of them come hard on the heels of the one before."""
        delay = self.rng.choice((self.rng.uniform(0.001, 0.06), self.rng.uniform(0.05, 1.2)))
        self.clock.after(delay, self._fault)

    def _fault(self) -> None:
        if not self._storming:
            return
        self._schedule_fault()
        self.result.faults += 1
        if self.rng.random() < 0.35:
            self._heal_links()
            return
        name = self.rng.choice(self.plan.faults)
        getattr(self, f"_fault_{name}")()

    def _random_node(self) -> SimNode:
        return self.nodes[self.rng.choice(sorted(self.nodes))]

    def _fault_cut(self) -> None:
        a, b = self.rng.choice(self.network.pairs())
        self._note(f"cut {a} {b}")
        self.network.break_link(a, b, cut=True)
        self.network.break_link(b, a, cut=True)

    def _fault_one_way(self) -> None:
        a, b = self.rng.choice(self.network.pairs())
        self._note(f"cut one way {a} -> {b}")
        self.network.break_link(a, b, cut=True)

    def _fault_reset(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            a, b = self.rng.choice(self.network.pairs())
            self._note(f"reset {a} -> {b}")
            self.network.break_link(a, b, cut=False)

    def _fault_isolate(self) -> None:
        victim = self._random_node().node_id
        self._note(f"isolate {victim}")
        for a, b in self.network.pairs():
            if victim in (a, b):
                self.network.break_link(a, b, cut=True)

    def _fault_slow(self) -> None:
        a, b = self.rng.choice(self.network.pairs())
        self.network.slow_down(a, b, self.rng.uniform(5, 60))

    def _fault_kill(self) -> None:
        self._kill_somehow(self._random_node())

    def _fault_kill_leader(self) -> None:
        """And often someone else with it, so that what only two had is at stake."""
        for node in self._leaders():
            self._kill_somehow(node)
            if self.rng.random() < 0.5:
                self._kill_somehow(self._random_node())

    def _fault_power_cut(self) -> None:
        """Several nodes lose power in the same moment."""
        if not self.plan.power_loss:
            return
        for node in self.nodes.values():
            if node.alive and self.rng.random() < 0.8:
                self._kill(node, power_loss=True)
                self._restart_later(node)

    def _fault_disk_full(self) -> None:
        self._random_node().disk.free_bytes = self.rng.randint(0, 3_000)

    def _fault_slow_disk(self) -> None:
        self._random_node().sync_delay_s = self.rng.choice((0.001, 0.01, 0.05, 0.3))

    def _kill_somehow(self, node: SimNode) -> None:
        if not node.alive:
            return
        if self.plan.power_loss and self.rng.random() < 0.3:
            node.disk.crash_after(self.rng.randint(0, 12))
            return
        self._kill(node, power_loss=self.plan.power_loss and self.rng.random() < 0.5)
        self._restart_later(node)

    def _restart_later(self, node: SimNode) -> None:
        low, high = self.rng.choice(((0.001, 0.02), (0.05, 1.0), (1.0, 3.0)))
        self.clock.after(self.rng.uniform(low, high), lambda: self._start(node))

    def _leaders(self) -> list[SimNode]:
        return [
            n for n in self.nodes.values() if n.replica and n.replica.engine.role is Role.LEADER
        ]

    def _fault_transfer(self) -> None:
        for node in self._leaders():
            node.call(_transfer)

    # The end

    def _heal_links(self) -> None:
        self._note("heal")
        for a, b in self.network.pairs():
            self.network.heal(a, b)
        for node in self.nodes.values():
            node.disk.free_bytes = None

    def _heal(self) -> None:
        self._heal_links()
        for node in self.nodes.values():
            node.sync_delay_s = 0.001
            self._start(node)

    def _check_converged(self) -> None:
        """All nodes agree, and something was acknowledged in the calm part."""
        replicas = {n.node_id: n.replica for n in self.nodes.values()}
        applied = {i: r.engine.applied_index if r else 0 for i, r in replicas.items()}
        leaders = [i for i, r in replicas.items() if r and r.engine.role is Role.LEADER]
        if len(leaders) != 1:
            raise Violation(f"leaders at the end: {leaders}")
        if max(applied.values()) - min(applied.values()) > self.plan.proposals_per_s:
            raise Violation(f"nodes have not converged: applied {applied}")
        complete = [n for n in self.nodes.values() if applied[n.node_id] == max(applied.values())]
        for node in complete:
            self.checks.finish(node.node_id, node.machine.commands)
        if self.clock.now - self._acknowledged_at > 2.0:
            raise Violation(f"nothing was acknowledged after {self._acknowledged_at:.3f}")

    def _guard(self, check: Any) -> None:
        try:
            check()
        except Violation as violation:
            self._failure = self._failure or violation
            self._note(f"VIOLATION {violation}")

    def _note(self, text: str) -> None:
        self.result.history.append(f"{self.clock.now:9.4f} {text}")


def _transfer(replica: Replica) -> None:
    try:
        replica.transfer(None, lambda _: None)
    except ReplicationError:
        return
