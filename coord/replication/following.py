"""A follower's part: taking the leader's appends through the filter, and answering them.

The engine's answer promises that what it names is durable, so it waits for the disk. Meanwhile the
leader is told that it is followed, which is all that reads and its own check of a majority need.

When too much waits for the disk (it is full, or very slow), entries are passed over without an
answer. What the leader has in flight then stays unanswered, so it stops sending after its bound;
the gap shows, and is asked for once, with the first append after the disk has caught up."""

from __future__ import annotations

from collections.abc import Callable

from coord.replication.admission_protocol import AdmissionProtocol
from coord.replication.message_filter import Answer, Append, examine_append, pass_over
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.replica_context import ReplicaContext
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.staleness import StalenessBound
from coord.replication.state_check import StateCheck


class Following:
    """`handlers`: the messages it takes."""

    def __init__(
        self,
        context: ReplicaContext,
        admission: AdmissionProtocol,
        snapshots: SnapshotExchange,
        staleness: StalenessBound,
        state_check: StateCheck,
    ) -> None:
        self._context = context
        self._self_id = context.self_id
        self._engine = context.engine
        self._journal = context.journal
        self._outbox = context.outbox
        self._election = context.election
        self._now = context.now
        self._admission = admission
        self._snapshots = snapshots
        self._staleness = staleness
        self._state_check = state_check
        self._presence_s = context.settings.heartbeat_s / 2  # unless the leader asks something
        self._max_unsynced_bytes = context.settings.max_unsynced_bytes
        self._answering = (0, 0)  # number of the append, and its read number
        self._echoed = (0.0, 0)  # when the leader was last answered, and the read number then
        self.handlers: dict[str, Callable[[str, Message], None]] = {
            "append": self._on_append,
            "stale": self._on_stale,
            "snapshot": self._on_snapshot,
            "check": self._on_check,
        }

    def _on_append(self, peer_id: str, message: Message) -> None:
        """What is committed is applied beside the disk's work, which others wait for."""
        if not self._is_from_leader(peer_id, message):
            return
        now = self._now()
        self._election.heard_leader(now)
        append = Append(
            message["term"],
            message["prev_index"],
            message["prev_term"],
            message["commit"],
            message["entries"],
        )
        commit_index = self._engine.commit_index
        if self._has_room_for(append):
            verdict = examine_append(append, self._journal, commit_index)
        else:
            verdict = pass_over(append, commit_index)
        self._answering = (message["append"], message["read"])
        self._staleness.confirmed(message.get("fresh", ()))
        self._engine.receive(peer_id, verdict.to_engine)
        if verdict.answer is not None:
            self.answer(peer_id, verdict.answer)
        self._show_presence(peer_id, now)
        self._admission.heard_append(message["term"], message["commit"])

    def _has_room_for(self, append: Append) -> bool:
        """Whether its entries may join what waits for the disk. Those behind a gap would not, but
        to ask for what is missing now would be to ask for what is passed over."""
        behind = append.prev_index + len(append.entries) > self._journal.last_index
        return not behind or self._journal.unsynced_bytes < self._max_unsynced_bytes

    def _is_from_leader(self, peer_id: str, message: Message) -> bool:
        """Whether the sender may lead in its term; one of an old term is told."""
        term = self._engine.term
        if message["term"] < term:
            self._outbox.transmit(peer_id, self._outbox.make("stale"))
            return False
        if message["term"] > term:
            return True
        leader = self._engine.leader_id
        return self._engine.role is not Role.LEADER and leader in (None, peer_id, self._self_id)

    def _on_snapshot(self, peer_id: str, message: Message) -> None:
        """Only of a leader that is followed already: its appends introduce it."""
        if not self._is_from_leader(peer_id, message):
            return
        if message["term"] > self._engine.term or self._engine.leader_id != peer_id:
            return
        self._election.heard_leader(self._now())
        self._snapshots.receive(peer_id, message)

    def _on_stale(self, peer_id: str, message: Message) -> None:
        self._engine.observe_term(message["term"])

    def _on_check(self, peer_id: str, message: Message) -> None:
        self._state_check.named(message["index"], self._engine.applied_index)

    def answer(self, peer_id: str, answer: Answer) -> None:
        """To the append that was taken last."""
        number, read = self._answering
        ack = self._outbox.make(
            "ack",
            append=number,
            next=answer.next_index,
            success=answer.success,
            reset=answer.reset,
            read=read,
            mark=self._staleness.mark(),
        )
        if answer.success:
            self._outbox.promise(peer_id, ack)
        else:
            self._outbox.transmit(peer_id, ack)

    def _show_presence(self, peer_id: str, now: float) -> None:
        """While the real answer waits for the disk, let the leader know that it is followed."""
        number, read = self._answering
        waits = self._journal.synced_sequence < self._journal.write_sequence
        answered_at, answered_read = self._echoed
        if waits and read <= answered_read and now - answered_at < self._presence_s:
            return
        self._echoed = (now, read)
        if waits:
            seen = self._outbox.make(
                "seen",
                append=number,
                read=read,
                mark=self._staleness.mark(),
                full=self._context.write_block_reason is not None,
            )
            self._outbox.transmit(peer_id, seen)
