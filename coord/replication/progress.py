"""What a leader keeps about its followers: for one term, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from coord.replication.membership import Electorate
from coord.replication.message_filter import PeerFlow
from coord.replication.port import Role
from coord.replication.pysyncobj_engine import HardenedEngine
from coord.replication.settings import ReplicaSettings
from coord.replication.snapshots import SnapshotSender
from coord.replication.staleness import StalenessRounds
from coord.replication.thrifty import ThriftyReplication


@dataclass(slots=True)
class LeaderProgress:
    """One term of leading; also made for the first messages of a term just won."""

    term: int
    staleness: StalenessRounds
    thrifty: ThriftyReplication
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
        """Return the number of the last append to each peer that was sent any."""
        return {peer_id: flow.last_sent for peer_id, flow in self.flows.items()}

    def disconnected(self, peer_id: str) -> None:
        """Forget what was on its way to the peer; a transfer goes on when it is back."""
        self.flow(peer_id).lost()
        self.snapshots.pop(peer_id, None)


class LeaderAccount:
    """The `LeaderProgress` of the engine's present term. `connected`: whom messages can be sent
    to."""

    def __init__(
        self,
        electorate: Electorate,
        engine: HardenedEngine,
        connected: Collection[str],
        settings: ReplicaSettings,
    ) -> None:
        self._electorate = electorate
        self._engine = engine
        self._connected = connected
        self._settings = settings
        self._present = self._new(-1)

    def current(self) -> LeaderProgress:
        """Return the progress of the present term; a new one if the term is new."""
        if self._present.term != self._engine.term:
            self._present = self._new(self._engine.term)
            self.choose_quorum(self._present)
        return self._present

    def while_leading(self) -> LeaderProgress | None:
        """Return the progress of the present term; None if this node does not lead."""
        return self.current() if self._engine.role is Role.LEADER else None

    def may_send_to(self, peer_id: str) -> bool:
        """Return whether more may be in flight to the peer."""
        progress = self.current()
        return (
            progress.flow(peer_id).in_flight_bytes < self._settings.max_in_flight_bytes
            and peer_id not in progress.snapshots
        )

    def choose_quorum(self, progress: LeaderProgress) -> None:
        """Choose the thrifty quorum anew, of the voters that can be sent to and whose disks take
        it."""
        full, voters = progress.full, self._electorate.voting_peers
        able = [p for p in voters if p in self._connected and p not in full and self.may_send_to(p)]
        progress.thrifty.choose(able)

    def note_run(self, peer_id: str, boot_id: int) -> None:
        """Note the run of a peer. It may have come back without data (repaired, or replaced): what
        it once confirmed must neither count for new commits nor keep its log from being sent
        anew."""
        boots = self.current().boots
        if boots.setdefault(peer_id, boot_id) != boot_id:
            boots[peer_id] = boot_id
            self._engine.forget_match(peer_id)

    def stop_leading(self) -> None:
        """End the snapshot transfers of the term that was led."""
        self._present.snapshots.clear()

    def _new(self, term: int) -> LeaderProgress:
        enough = self._electorate.is_majority
        thrifty = ThriftyReplication(enough, self._settings.thrifty_delay_s)
        return LeaderProgress(term, StalenessRounds(enough), thrifty)
