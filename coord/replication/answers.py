"""A leader's part: what its followers' answers are good for."""

from __future__ import annotations

from collections.abc import Callable

from coord.replication.engine_journal import EngineJournal
from coord.replication.leader_transfer import Handover
from coord.replication.membership import Electorate
from coord.replication.message_filter import Answer
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.progress import Leadership
from coord.replication.pysyncobj_engine import HardenedEngine
from coord.replication.read_index import ReadIndex
from coord.replication.reading import Reading
from coord.replication.sending import Sending
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.staleness import Freshness


class Answers:
    """`handlers`: the messages it takes. `leadership()`: the account of the present term."""

    def __init__(
        self,
        engine: HardenedEngine,
        journal: EngineJournal,
        electorate: Electorate,
        leadership: Callable[[], Leadership],
        reads: ReadIndex,
        reading: Reading,
        sending: Sending,
        handover: Handover,
        snapshots: SnapshotExchange,
        freshness: Freshness,
        now: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._electorate = electorate
        self._leadership = leadership
        self._reads = reads
        self._reading = reading
        self._sending = sending
        self._handover = handover
        self._snapshots = snapshots
        self._freshness = freshness
        self._now = now
        self.handlers: dict[str, Callable[[str, Message], None]] = {
            "ack": self._on_ack,
            "seen": self._on_seen,
            "snapshot_ack": self._on_snapshot_ack,
        }

    def note_run(self, peer_id: str, message: Message) -> None:
        """A peer may have come back without data (repaired, or replaced): what it once confirmed
        must neither count for new commits nor keep its log from being sent anew."""
        boots = self._leadership().boots
        if boots.setdefault(peer_id, message["boot"]) != message["boot"]:
            boots[peer_id] = message["boot"]
            self._engine.forget_match(peer_id)

    def _hears(self, peer_id: str, message: Message) -> bool:
        """Whether a reply is to this leader of this term; then the peer counts as alive."""
        engine = self._engine
        if message["term"] > engine.term:
            engine.observe_term(message["term"])
        if engine.role is not Role.LEADER or message["term"] != engine.term:
            return False
        if peer_id not in self._electorate.peers:
            return False
        self.note_run(peer_id, message)
        lead = self._leadership()
        lead.heard_at[peer_id] = self._now()
        engine.note_alive(peer_id)
        if "append" in message:
            lead.vouching.answered(peer_id, message, self._freshness)
        return True

    def _on_seen(self, peer_id: str, message: Message) -> None:
        if self._hears(peer_id, message):
            note_full = set.add if message.get("full") else set.discard
            note_full(self._leadership().full, peer_id)
            self._reads.confirmed_by(peer_id, message["read"])
            self._reading.begin()

    def _on_ack(self, peer_id: str, message: Message) -> None:
        if not self._hears(peer_id, message):
            return
        self._reads.confirmed_by(peer_id, message["read"])
        lead = self._leadership()
        if message["success"]:  # it has been synced
            lead.full.discard(peer_id)
        flow = lead.flow(peer_id)
        answer = flow.judge(
            message["append"],
            Answer(message["next"], message["success"], message["reset"]),
            self._engine.match_index(peer_id),
            self._journal.last_index,
        )
        flow.answered(message["append"])
        if answer is not None:
            self._engine.receive_ack(peer_id, answer.next_index, answer.success, answer.reset)
            self._engine.commit()
        self._reading.begin()
        self._sending.backlog()
        self._handover.advance()

    def _on_snapshot_ack(self, peer_id: str, message: Message) -> None:
        if self._hears(peer_id, message) and self._snapshots.acknowledged(
            self._leadership(), peer_id, message
        ):
            self._sending.backlog()
