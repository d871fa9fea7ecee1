"""What a leader keeps about its followers, for one term."""

from __future__ import annotations

from dataclasses import dataclass, field

from coord.replication.message_filter import PeerFlow
from coord.replication.snapshots import SnapshotSender
from coord.replication.staleness import Vouching
from coord.replication.thrifty import Pace


@dataclass(slots=True)
class Leadership:
    """One term of leading; also made for the first messages of a term just won."""

    term: int
    vouching: Vouching
    pace: Pace
    boots: dict[str, int] = field(default_factory=dict)  # the run of each peer heard last
    flows: dict[str, PeerFlow] = field(default_factory=dict)
    heard_at: dict[str, float] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)  # whose disk is full, by what they said last
    sent_at: dict[str, float] = field(default_factory=dict)
    snapshots: dict[str, SnapshotSender] = field(default_factory=dict)
    wants_snapshot: set[str] = field(default_factory=set)

    def flow(self, peer_id: str) -> PeerFlow:
        return self.flows.setdefault(peer_id, PeerFlow())

    def last_sent(self) -> dict[str, int]:
        """The number of the last append to each peer that was sent any."""
        return {peer_id: flow.last_sent for peer_id, flow in self.flows.items()}

    def disconnected(self, peer_id: str) -> None:
        """What was on its way to the peer is lost; a transfer goes on when it is back."""
        self.flow(peer_id).lost()
        self.snapshots.pop(peer_id, None)
