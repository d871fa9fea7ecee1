"""What stands between clients and replication on a simulated node, as coord.rpc does on a real one:
it gathers requests into entries, stamps them with cluster time, reads behind a barrier, and lets
time pass when nobody writes. The state machine, its host and its clock are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from coord.codec.envelope import EnvelopeItem, encode_envelope
from coord.codec.kinds import CommandKind
from coord.core.batch import Applied
from coord.core.kv.commands import KvRange, KvRangeReply
from coord.core.tasks.commands import Claimed
from coord.core.tasks.queries import claimable
from coord.pb import cluster_pb2
from coord.replication.port import DigestSource, SnapshotSource
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.state_machine import ReplicatedStateMachine

MAX_IN_FLIGHT = 40  # entries
MAX_ENTRY_BYTES = 4 * 1024 * 1024  # of requests, but always one at least
TICK_GAP_S = 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node answered. kind: "ok" (with the reply), "elsewhere" (nothing was done; `reply`
    is the id of the leader, or None), "unknown" (it may yet happen)."""

    kind: str
    reply: Any = None


Done = Callable[[Outcome], None]


class ServicePort(Protocol):
    """What the service asks of its node."""

    @property
    def node_id(self) -> str: ...
    def leads(self) -> bool:
        """Whether this node believes to lead."""
        ...

    def leader_hint(self) -> str | None: ...
    def local_now(self) -> float: ...
    def propose(self, data: bytes, done: Callable[[Applied | None], None]) -> bool:
        """Append an entry; False: certainly not. done(None): its fate is not known."""
        ...

    def barrier(self, done: Callable[[bool], None]) -> None:
        """done(True) when all that was acknowledged before the call is applied here."""
        ...

    def flush(self) -> None: ...
    def stamped(self, data: bytes) -> None:
        """An entry was made now."""
        ...

    def machine_applied(self, index: int, term: int, data: bytes, applied: Applied) -> None: ...
    def machine_froze(self) -> None:
        """A snapshot of the state as it is now is being taken."""
        ...

    def machine_restored(self) -> None: ...


class ObservedHost:
    """The real host of the state machine, watched."""

    def __init__(self, port: ServicePort, clock: ClusterClock) -> None:
        self._port = port
        self._clock = clock
        self.inner = ReplicatedStateMachine(clock)

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


class Service:
    """One run of one node's service."""

    def __init__(
        self, port: ServicePort, wall_ms: Callable[[], int], max_items: int, level: int
    ) -> None:
        self._port = port
        self._wall_ms = wall_ms
        self._max_items = max_items  # of requests in one entry
        self._level = level  # to which a leader raises the cluster
        self._raising = False
        self.clock = ClusterClock(
            lambda: int(port.local_now() * 1_000_000_000), lambda: wall_ms() * 1_000_000
        )
        self.host = ObservedHost(port, self.clock)
        self._waiting: list[tuple[EnvelopeItem, Done]] = []
        self._in_flight = 0
        self._leading = False
        self._ticked_at = -1.0

    def role_changed(self, leads: bool) -> None:
        """Leadership was won or lost."""
        self._leading = leads
        self._raising = False
        if leads:
            self.clock.start()
        else:
            self.clock.stop()
            waiting, self._waiting = self._waiting, []
            for _, done in waiting:
                done(self._elsewhere())

    def tick(self) -> None:
        """Write an empty entry when something is due and nobody writes."""
        if not self._leading:
            return
        self._raise_level()
        deadline_ms = self.host.inner.next_deadline_ms(self.clock.now_ms())
        now = self._port.local_now()
        if deadline_ms is None or now - self._ticked_at < TICK_GAP_S:
            return
        if deadline_ms <= self.clock.now_ms():
            self._ticked_at = now
            self._propose([])
            self._port.flush()

    def _raise_level(self) -> None:
        if self.host.inner.state.level >= self._level or self._raising:
            return
        self._raising = True

        def ended(_: Outcome) -> None:
            self._raising = False

        raw = cluster_pb2.RaiseLevelRequest(level=self._level).SerializeToString()
        self.write(item_of(CommandKind.RAISE_LEVEL, raw), ended)

    def write(self, item: EnvelopeItem, done: Done) -> None:
        """Log a command and answer with its reply."""
        if not self._port.leads():
            done(self._elsewhere())
            return
        self._waiting.append((item, done))
        self._pump()

    def claim(self, item: EnvelopeItem, queue: str, done: Done) -> None:
        """A claim is only logged when there is something to claim."""
        if self._port.leads() and not claimable(self.host.inner.state, (queue,)):
            done(Outcome("ok", Claimed(())))
        else:
            self.write(item, done)

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

    def _pump(self) -> None:
        while self._waiting and self._in_flight < MAX_IN_FLIGHT:
            group = self._next_group()
            if not self._propose(group):
                for _, done in group:
                    done(self._elsewhere())
        self._port.flush()

    def _next_group(self) -> list[tuple[EnvelopeItem, Done]]:
        count, size = 0, 0
        for item, _ in self._waiting[: self._max_items]:
            size += len(item.raw)
            if count and size > MAX_ENTRY_BYTES:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _propose(self, group: list[tuple[EnvelopeItem, Done]]) -> bool:
        items = [item for item, _ in group]
        data = encode_envelope(self.clock.now_ms(), self._wall_ms(), items)

        def applied(result: Applied | None) -> None:
            self._in_flight -= 1
            for position, (_, done) in enumerate(group):
                done(
                    Outcome("unknown")
                    if result is None
                    else Outcome("ok", result.replies[position])
                )
            if self._leading:
                self._pump()

        self._port.stamped(data)
        self._in_flight += 1
        taken = self._port.propose(data, applied)
        if not taken:
            self._in_flight -= 1
        return taken

    def _elsewhere(self) -> Outcome:
        return Outcome("elsewhere", self._port.leader_hint())


def item_of(
    kind: CommandKind, raw: bytes, session_id: int = 0, sequence: int = 0, acked_below: int = 0
) -> EnvelopeItem:
    """One request as a client sends it."""
    return EnvelopeItem(int(kind), "", session_id, sequence, acked_below, raw)
