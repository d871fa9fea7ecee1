"""What stands between clients and replication on a simulated node, as coord.rpc does on a real one.

It runs the node's own driver: proposer, ticker, level keeper and claim queue, on the simulated
clock. What is its own: it takes requests of simulated clients and answers them, reads behind a
barrier, and lets the checks see every entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chaos.sim.claiming import Claiming
from chaos.sim.plan import SimPlan
from chaos.sim.scheduler import NodeScheduler, SimOutcome
from coord.codec.commands import Decode, decode, request_id
from coord.codec.envelope import BatchCache, EnvelopeItem
from coord.codec.kinds import CommandKind
from coord.codec.principal import principal_in
from coord.core.batch import Applied
from coord.core.cost import cost_us
from coord.core.domain import Domain
from coord.core.domains import DOMAINS
from coord.core.kv.commands import KvRange, KvRangeReply
from coord.core.machine import Machine
from coord.core.tasks.commands import ClaimTasks
from coord.replication.port import (
    DigestSource,
    Member,
    NotLeaderError,
    ReplicationError,
    SnapshotSource,
)
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.driver import Driver, DriverLog
from coord.runtime.errors import CallError
from coord.runtime.proposer import ProposerLimits
from coord.runtime.state_machine import ReplicatedStateMachine

CALL_S = 0.7  # after which a client has given a call up


@dataclass(frozen=True, slots=True)
class SimBuild:
    """What the build of the nodes knows: the domains of the state machine, and their commands."""

    domains: tuple[Domain, ...] = DOMAINS
    decode: Decode = decode

    def machine(self) -> Machine:
        """A state machine without state."""
        return Machine(domains=self.domains)


THE_PRODUCT = SimBuild()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node answered. kind: "ok" (with the reply), "elsewhere" (nothing was done; `reply`
    is the id of the leader, or None), "unknown" (it may yet happen)."""

    kind: str
    reply: Any = None


Done = Callable[[Outcome], None]


class ServicePort(DriverLog, Protocol):
    """What the service asks of its node."""

    scheduler: NodeScheduler

    @property
    def node_id(self) -> str: ...
    @property
    def membership_now(self) -> Mapping[str, Member]:
        """The members as far as it knows."""
        ...

    def local_now(self) -> float: ...
    def wall_ms(self) -> int: ...
    def leads(self) -> bool:
        """Whether this node believes to lead."""
        ...

    def leader_hint(self) -> str | None: ...
    def barrier(self, done: Callable[[bool], None]) -> None:
        """done(True) when all that was acknowledged before the call is applied here."""
        ...

    def flush(self) -> None: ...
    def machine_applied(self, index: int, term: int, data: bytes, applied: Applied) -> None: ...
    def machine_froze(self) -> None:
        """A snapshot of the state as it is now is being taken."""
        ...

    def machine_restored(self) -> None: ...


class ObservedHost:
    """The real host of the state machine, watched."""

    def __init__(
        self, port: ServicePort, clock: ClusterClock, cache: BatchCache, build: SimBuild
    ) -> None:
        self._port = port
        self.inner = ReplicatedStateMachine(clock, cache, build.domains, build.decode)

    def apply(self, index: int, term: int, data: bytes) -> Applied:
        applied = self.inner.apply(index, term, data)
        self._port.machine_applied(index, term, data, applied)
        return applied

    def begin_snapshot(self) -> SnapshotSource:
        self._port.machine_froze()
        return self.inner.begin_snapshot()

    def begin_digest(self) -> DigestSource:
        return self.inner.begin_digest()

    def restore(self, chunks: Iterable[bytes]) -> None:
        self.load(chunks)()

    def load(self, chunks: Iterable[bytes]) -> Callable[[], None]:
        put_in_place = self.inner.load(chunks)

        def loaded() -> None:
            put_in_place()
            self._port.machine_restored()

        return loaded

    def digest(self) -> str:
        return self.inner.machine.digest()


class _LeaderView:
    """What the node knew of who leads when that changed the last time."""

    def __init__(self) -> None:
        self.is_leader = False
        self.leader_id: str | None = None
        self.members: Mapping[str, Member] = {}


class Service:
    """One run of one node's service."""

    def __init__(self, port: ServicePort, plan: SimPlan, build: SimBuild) -> None:
        self._port = port
        self._build = build
        cache = BatchCache()
        self.clock = ClusterClock(
            lambda: int(port.local_now() * 1_000_000_000), lambda: port.wall_ms() * 1_000_000
        )
        self.host = ObservedHost(port, self.clock, cache, build)
        self.scheduler = port.scheduler
        self._leadership = _LeaderView()
        limits = ProposerLimits(
            max_waiting=plan.max_waiting,
            max_entry_requests=plan.max_items,
            pipeline=plan.pipeline,
        )
        self.driver: Driver[SimOutcome] = Driver(
            port,
            self.host.inner,
            self.clock,
            cache,
            self._leadership,
            self.scheduler,
            limits,
            plan.level,
        )
        self.host.inner.on_applied(self.driver.on_applied)
        self.host.inner.on_restored(self.driver.on_restored)

    def leadership_changed(self) -> None:
        """Role, term, leader or members are others than before."""
        port, known = self._port, self._leadership
        known.is_leader, known.leader_id = port.leads(), port.leader_hint()
        known.members = port.membership_now
        self.driver.on_leader_change(known)

    def write(self, item: EnvelopeItem, done: Done, *, owner: str = "", hold_ms: int = 0) -> None:
        """Log a command and answer with its reply. `owner`: who asks."""
        if not self._port.leads():
            done(self._elsewhere())
            return

        def ended(outcome: SimOutcome) -> None:
            if not outcome.cancelled():  # else nobody waits for the answer any more
                error = outcome.exception()
                done(Outcome("ok", outcome.result()) if error is None else self._failed(error))

        try:
            self._submit(item, owner, hold_ms).add_done_callback(ended)
        except CallError as error:
            done(self._failed(error))

    def claim(self, item: EnvelopeItem, wait_s: float, done: Done, *, owner: str = "") -> None:
        """A claim is only logged when there is something to claim; it waits for that so long."""
        if not self._port.leads():
            done(self._elsewhere())
            return
        command = self._build.decode(item.kind, item.raw)
        assert isinstance(command, ClaimTasks)

        def submit(ended: Callable[[SimOutcome], None]) -> None:
            try:
                outcome = self._submit(item, owner, 0)
            except CallError as error:
                outcome = self.scheduler.create_future()
                outcome.set_exception(error)
            outcome.add_done_callback(ended)

        def answer(reply: Any) -> None:
            failed = isinstance(reply, BaseException)
            done(self._failed(reply) if failed else Outcome("ok", reply))

        claims, scheduler = self.driver.claims, self.scheduler
        Claiming(claims, scheduler, command, wait_s, submit, answer).begin()

    def _submit(self, item: EnvelopeItem, owner: str, hold_ms: int) -> SimOutcome:
        command = self._build.decode(item.kind, item.raw)
        gone_at = self.scheduler.time() + CALL_S
        outcome = self.driver.proposer.submit(
            item.kind,
            item.raw,
            command,
            principal=principal_in(item.principal),
            request_id=request_id(item.session_id, item.sequence, item.acked_below),
            owner=owner,
            expires_at=gone_at,
            hold_ms=hold_ms,
            cost_us=cost_us(self.host.inner.state, command, len(item.raw)),
        )
        self.scheduler.call_at(gone_at, outcome.cancel)
        return outcome

    def get(self, key: bytes, done: Done) -> None:
        """The value of a key (None: there is none), linearizable."""
        if not self._port.leads():
            done(self._elsewhere())
            return

        def ready(allowed: bool) -> None:
            done(Outcome("ok", self.value(key)) if allowed else self._elsewhere())

        self._port.barrier(ready)
        self._port.flush()

    def value(self, key: bytes) -> bytes | None:
        """The applied value of a key."""
        state = self.host.inner.state
        found = state.kv.range(KvRange(key), state.revision)
        return found.kvs[0].value if isinstance(found, KvRangeReply) and found.kvs else None

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, NotLeaderError):
            return Outcome("elsewhere", error.leader_id)
        if not isinstance(error, CallError | ReplicationError):
            raise error  # a bug, as in a real node
        return self._elsewhere() if error.definite else Outcome("unknown")

    def _elsewhere(self) -> Outcome:
        return Outcome("elsewhere", self._port.leader_hint())


def item_of(
    kind: CommandKind, raw: bytes, session_id: int = 0, sequence: int = 0, acked_below: int = 0
) -> EnvelopeItem:
    """One request as a client sends it."""
    return EnvelopeItem(int(kind), "", session_id, sequence, acked_below, raw)
