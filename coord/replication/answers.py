"""A leader's part: what its followers' answers are good for."""

from __future__ import annotations

from collections.abc import Callable

from coord.replication.leader_transfer import LeadershipTransfer
from coord.replication.message_filter import Answer
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.read_index import ReadIndex
from coord.replication.reading import Reading
from coord.replication.replica_context import ReplicaContext
from coord.replication.sending import Sending
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.staleness import StalenessBound


class Answers:
    """`handlers`: the messages it takes."""

    def __init__(
        self,
        context: ReplicaContext,
        reads: ReadIndex,
        reading: Reading,
        sending: Sending,
        transfer: LeadershipTransfer,
        snapshots: SnapshotExchange,
        staleness: StalenessBound,
    ) -> None:
        self._engine = context.engine
        self._journal = context.journal
        self._electorate = context.electorate
        self._account = context.account
        self._progress = context.account.current
        self._now = context.now
        self._reads = reads
        self._reading = reading
        self._sending = sending
        self._transfer = transfer
        self._snapshots = snapshots
        self._staleness = staleness
        self.handlers: dict[str, Callable[[str, Message], None]] = {
            "ack": self._on_ack,
            "seen": self._on_seen,
            "snapshot_ack": self._on_snapshot_ack,
        }

    def _hears(self, peer_id: str, message: Message) -> bool:
        """Whether a reply is to this leader of this term; then the peer counts as alive."""
        engine = self._engine
        if message["term"] > engine.term:
            engine.observe_term(message["term"])
        if engine.role is not Role.LEADER or message["term"] != engine.term:
            return False
        if peer_id not in self._electorate.peers:
            return False
        self._account.note_run(peer_id, message["boot"])
        progress = self._progress()
        progress.heard_at[peer_id] = self._now()
        engine.note_alive(peer_id)
        if "append" in message:
            progress.staleness.answered(peer_id, message, self._staleness)
        return True

    def _on_seen(self, peer_id: str, message: Message) -> None:
        if self._hears(peer_id, message):
            note_full = set.add if message.get("full") else set.discard
            note_full(self._progress().full, peer_id)
            self._reads.confirmed_by(peer_id, message["read"])
            self._reading.begin()

    def _on_ack(self, peer_id: str, message: Message) -> None:
        if not self._hears(peer_id, message):
            return
        self._reads.confirmed_by(peer_id, message["read"])
        progress = self._progress()
        if message["success"]:  # it has been synced
            progress.full.discard(peer_id)
        flow = progress.flow(peer_id)
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
        self._transfer.advance()

    def _on_snapshot_ack(self, peer_id: str, message: Message) -> None:
        if self._hears(peer_id, message) and self._snapshots.acknowledged(
            self._progress(), peer_id, message
        ):
            self._sending.backlog()
