"""What a replica starts with, and what it asks of the world around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coord.journal import Admission, PeerRun, SnapshotMeta
from coord.replication.messages import Message
from coord.replication.storage.writes import Entry, WriteOp

VOTES_ALREADY = Admission()


class ReplicaPorts(Protocol):
    """What a replica asks of the world."""

    def now(self) -> float:
        """Seconds; never goes back."""
        ...

    def real_now(self) -> float:
        """Seconds; never goes back, and goes on while this node is stopped, as `now` may not."""
        ...

    def wall_ms(self) -> int:
        """Wall-clock time, only noted in snapshots."""
        ...

    def send(self, peer_id: str, message: Message) -> bool:
        """Queue a message; False if it was not taken."""
        ...

    def write(self, sequence: int, operation: WriteOp) -> None:
        """Make durable, in order; `Replica.synced(sequence)` reports it."""
        ...

    def applied(self, index: int, term: int, result: object) -> None:
        """An entry was applied, with this result."""
        ...

    def applied_by_snapshot(self, index: int) -> None:
        """All entries up to `index` were applied at once, without results."""
        ...

    def changed(self) -> None:
        """Role, term or leader has changed."""
        ...

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        """Talk to these nodes (id -> peer address) from now on, and to no others."""
        ...

    def failed(self, error: BaseException) -> None:
        """The replica must stop (reported outside of any call into it)."""
        ...


@dataclass(frozen=True, slots=True)
class Boot:
    """What a replica starts with. `boot_id` grows with each run of the node; the state machine has
    been restored from `snapshot` already. `peer_runs`: the last that was seen of each peer."""

    boot_id: int
    entries: Sequence[Entry]
    reset: bool
    commit_index: int
    term: int
    voted_for: str | None
    snapshot: SnapshotMeta | None
    admission: Admission = VOTES_ALREADY
    peer_runs: Mapping[str, PeerRun] = field(default_factory=dict)
