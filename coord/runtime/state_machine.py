"""The state machine as replication drives it: bytes in, effects out.

Applying an entry: decode, apply, move the cluster clock, wake who waits. Everything runs on the
event loop, in log order, on every node alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from coord.codec.commands import Decode, decode
from coord.codec.envelope import BatchCache, to_batch
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.base.request import Event
from coord.core.base.table import ViewGivenUpError
from coord.core.batch import Applied
from coord.core.digest import Digester
from coord.core.domain import Domain
from coord.core.domains import DOMAINS
from coord.core.machine import Machine
from coord.core.state import State
from coord.replication.port import DigestGivenUpError, DigestSource, SnapshotSource
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.gc import building

_FIRST_SCHEME: Final = "coord-0.1.0"

AppliedCallback = Callable[[Iterable[Event]], None]


class StateDigest:
    """A `DigestSource`. Builds that follow the same rules keep the same state in the same rows, so
    the scheme is the level; that of level 0 is the name that the first release gave it."""

    def __init__(self, digester: Digester, level: int) -> None:
        self._digester = digester
        self._level = level

    @property
    def scheme(self) -> str:
        """See `DigestSource.scheme`."""
        return f"coord-level-{self._level}" if self._level else _FIRST_SCHEME

    def next_slice(self) -> str | None:
        """See `DigestSource.next_slice`."""
        try:
            return next(self._digester)
        except ViewGivenUpError as error:
            raise DigestGivenUpError(str(error)) from error

    def close(self) -> None:
        """See `DigestSource.close`."""
        self._digester.close()


class ReplicatedStateMachine:
    """Implements `coord.replication.port.StateMachine` and `LoadsAside` around a `Machine`.

    `domains` and `decode_command` are the product's but in tests."""

    def __init__(
        self,
        clock: ClusterClock,
        cache: BatchCache | None = None,
        domains: tuple[Domain, ...] = DOMAINS,
        decode_command: Decode = decode,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._domains = domains
        self._decode = decode_command
        self._on_applied: list[AppliedCallback] = []
        self._on_restored: list[Callable[[], None]] = []
        self.machine = Machine(domains=domains)

    @property
    def state(self) -> State:
        """The applied state. Read it; a restore replaces it."""
        return self.machine.state

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """Cluster time at which an empty entry would change something, if that is not after
        `until_ms`. Otherwise a time after `until_ms` at which to ask again; None if never."""
        return self.machine.next_deadline_ms(until_ms)

    def on_applied(self, callback: AppliedCallback) -> None:
        """Call back with the events of every applied entry. Must not raise."""
        self._on_applied.append(callback)

    def on_restored(self, callback: Callable[[], None]) -> None:
        """Call back after the whole state was replaced. Must not raise."""
        self._on_restored.append(callback)

    def apply(self, index: int, term: int, data: bytes) -> Applied:
        """See `StateMachine.apply`. Raises what must stop the node: an entry of a newer version,
        a damaged one, a broken invariant."""
        batch = to_batch(data, self._cache, self._decode)
        applied = self.machine.apply(batch)
        self._clock.on_applied(self.machine.now_ms)
        for callback in self._on_applied:
            callback(applied.events)
        return applied

    def begin_snapshot(self) -> SnapshotSource:
        """See `StateMachine.begin_snapshot`."""
        return SnapshotEncoder(self.machine.freeze())

    def begin_digest(self) -> DigestSource:
        """See `StateMachine.begin_digest`."""
        return StateDigest(self.machine.digest_slices(), self.state.level)

    def restore(self, chunks: Iterable[bytes]) -> None:
        """See `StateMachine.restore`. Raises SnapshotDamagedError or SnapshotFormatError."""
        self.load(chunks)()

    def load(self, chunks: Iterable[bytes]) -> Callable[[], None]:
        """See `LoadsAside.load`. Raises SnapshotDamagedError or SnapshotFormatError."""
        with building():
            machine = Machine.from_rows(decode_snapshot(chunks), domains=self._domains)

        def put_in_place() -> None:
            self.machine = machine
            self._clock.restored(machine.now_ms)
            for callback in self._on_restored:
                callback()

        return put_in_place
