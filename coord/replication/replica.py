"""One Raft replica without I/O: the engine and everything that stands around it, wired together.

Inputs are method calls (time passing, messages, connections, durability, proposals); outputs are
calls on `ReplicaPorts`. The asyncio node and the simulator drive the very same object.

The rule of durability: whatever promises something about this node's log or vote (an append
acknowledgement, a vote, a request for votes) waits in `_held` until all that was written before it
is durable. A leader's appends do not wait; its own copy counts only up to what it has synced.

Any exception out of a method means the replica must not be used again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from coord.journal import SnapshotMeta, SnapshotStore
from coord.replication.election import Election, log_is_current
from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import ApplyFailedError, FatalReplicaError
from coord.replication.leadership import Leadership, Transfer, TransferDone, pick_target
from coord.replication.loading import load
from coord.replication.message_filter import Answer, Append, examine_append
from coord.replication.messages import Message, StampGuard, check_message
from coord.replication.port import (
    BusyError,
    NotLeaderError,
    ReplicationError,
    Role,
    StateMachine,
    WriteBlockedError,
)
from coord.replication.pysyncobj_engine import EngineSettings, HardenedEngine
from coord.replication.read_index import ReadDone, ReadIndex
from coord.replication.recovery import BASE_COMMAND
from coord.replication.settings import ReplicaSettings
from coord.replication.snapshots import (
    SnapshotReceiver,
    SnapshotSender,
    SnapshotTaker,
    SnapshotWorker,
    meta_of,
)
from coord.replication.write_ops import Entry, WriteOp


class ReplicaPorts(Protocol):
    """What a replica asks of the world."""

    def now(self) -> float:
        """Seconds; never goes back."""
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

    def failed(self, error: BaseException) -> None:
        """The replica must stop (reported outside of any call into it)."""
        ...


@dataclass(frozen=True, slots=True)
class Boot:
    """What a replica starts with. `boot_id` grows with each run of the node; the state machine has
    been restored from `snapshot` already."""

    boot_id: int
    entries: Sequence[Entry]
    reset: bool
    commit_index: int
    term: int
    voted_for: str | None
    snapshot: SnapshotMeta | None


class Replica:
    """See the module."""

    def __init__(
        self,
        self_id: str,
        peer_ids: Iterable[str],
        settings: ReplicaSettings,
        boot: Boot,
        machine: StateMachine,
        ports: ReplicaPorts,
        worker: SnapshotWorker,
        rng: Random,
        members: bytes = b"",
    ) -> None:
        self._self_id = self_id
        self._peers = sorted(set(peer_ids) - {self_id})
        self._quorum = (len(self._peers) + 1) // 2 + 1
        self._settings = settings
        self._machine = machine
        self._ports = ports
        self._worker = worker
        self._members = members
        self._boot_id = boot.boot_id
        self._number = 0
        self._connected: set[str] = set()
        self._stamps = StampGuard()
        self._held: deque[tuple[int, str, Message]] = deque()
        self._answering = (0, 0)
        self._echoed = (0.0, 0)  # when the leader was last answered, and the read number then
        self._forced = False
        self._voters: set[str] = set()  # who voted for this node in its present candidacy
        self._voted = False
        self._pending_bytes: deque[tuple[int, int]] = deque()
        self._pending_total = 0
        self._transfer: Transfer | None = None
        self._snapshot = boot.snapshot
        self._compacted = (boot.commit_index, 0)
        self.write_block_reason: str | None = None
        self.reads = ReadIndex()
        self.journal = EngineJournal(
            boot.entries, boot.term, boot.voted_for, boot.commit_index, ports.write
        )
        if boot.reset:
            self.journal.reset_to(boot.entries[0])
        times = settings.election
        self._election = Election(times, rng, ports.now())
        self._lead = Leadership(-1)
        engine_settings = EngineSettings(settings.heartbeat_s, times.max_s, settings.batch_bytes)
        self.engine = HardenedEngine(self_id, self._peers, self.journal, self, engine_settings)
        self._taker = SnapshotTaker(worker, self._snapshot_taken, ports.failed)
        self._receiver = SnapshotReceiver(
            worker, self._answer_snapshot, self._install_received, ports.failed
        )
        self._sending_from: str | None = None  # the leader whose snapshot is being received
        self._installing: SnapshotMeta | None = None  # received, and being loaded
        self._shown: tuple[Role, int, str | None] = (Role.FOLLOWER, -1, None)
        self._handlers: dict[str, Callable[[str, Message], None]] = {
            "append": self._on_append,
            "ack": self._on_ack,
            "seen": self._on_seen,
            "vote_request": self._on_vote_request,
            "vote": self._on_vote,
            "pre_vote": self._on_pre_vote,
            "pre_vote_reply": self._on_pre_vote_reply,
            "stale": self._on_stale,
            "timeout_now": self._on_timeout_now,
            "snapshot": self._on_snapshot,
            "snapshot_ack": self._on_snapshot_ack,
        }

    # Inputs

    def tick(self) -> None:
        """Time has passed. To be called every 20 ms or so."""
        now = self._ports.now()
        if self.engine.role is not Role.LEADER and self._election.expired(now):
            self._ask_for_support(now)
        self.engine.tick()
        if self.engine.role is Role.LEADER:
            self._tick_leader(now)
        self._maybe_take_snapshot()
        self._settle()

    def receive(self, peer_id: str, raw: object) -> None:
        """A message from a peer. Raises InvalidMessageError for one that is not well formed (its
        connection should be closed); it has had no effect then."""
        message = check_message(raw)
        if peer_id not in self._peers or not self._stamps.is_fresh(peer_id, message):
            return
        self._handlers[message["type"]](peer_id, message)
        self._settle()

    def connected(self, peer_id: str) -> None:
        """Messages can be sent to this peer from now on."""
        if peer_id in self._peers:
            self._connected.add(peer_id)
            self.engine.connected(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """The connection to this peer has ended; what was on its way may be lost."""
        self._connected.discard(peer_id)
        if peer_id not in self._peers:
            return
        self.engine.disconnected(peer_id)
        if self.engine.role is Role.LEADER:
            self._leadership().disconnected(peer_id)
        elif self.engine.leader_id == peer_id:
            self.engine.forget_leader()
            self._election.lost_leader(self._ports.now())
        self._settle()

    def synced(self, sequence: int) -> None:
        """All write operations up to `sequence` are durable."""
        self.journal.mark_synced(sequence)
        while self._held and self._held[0][0] <= sequence:
            _, peer_id, message = self._held.popleft()
            self._transmit(peer_id, message)
        self.engine.tick()
        self._begin_reads()
        self._advance_transfer()
        self._settle()

    def propose(self, data: bytes) -> tuple[int, int]:
        """Append an entry; its index and term. `flush` sends it. Raises NotLeaderError, BusyError,
        WriteBlockedError, ValueError for too large an entry."""
        if self.engine.role is not Role.LEADER:
            raise NotLeaderError(self.engine.leader_id)
        if self.write_block_reason is not None:
            raise WriteBlockedError(self.write_block_reason)
        if self._transfer is not None:
            raise WriteBlockedError("LEADERSHIP_TRANSFER")
        if len(data) > self._settings.max_entry_bytes:
            raise ValueError(f"an entry of {len(data)} bytes; {self._settings.max_entry_bytes} max")
        full = len(self._pending_bytes) >= self._settings.max_pending_entries
        if full or self._pending_total > self._settings.max_pending_bytes:
            raise BusyError(self._settings.busy_retry_after_ms)
        index, term = self.engine.propose(data)
        self._pending_bytes.append((index, len(data)))
        self._pending_total += len(data)
        return index, term

    def flush(self) -> None:
        """Send what was proposed, and begin a round for the reads that wait."""
        self._begin_reads()
        self._send_backlog()

    def read(self, done: ReadDone) -> None:
        """Ask for a linearizable read; `flush` begins it. Raises NotLeaderError."""
        if self.engine.role is not Role.LEADER:
            raise NotLeaderError(self.engine.leader_id)
        self.reads.ask(done)

    def transfer(self, target: str | None, done: TransferDone) -> str:
        """Begin to hand leadership over; the id of the target. Raises NotLeaderError,
        ReplicationError (nobody can take it, or a transfer is under way)."""
        if self.engine.role is not Role.LEADER:
            raise NotLeaderError(self.engine.leader_id)
        if self._transfer is not None:
            raise ReplicationError("a leadership transfer is under way")
        matches = {peer: self.engine.match_index(peer) for peer in self._peers}
        chosen = target or pick_target(matches, self._connected)
        if chosen is None or chosen not in matches or chosen not in self._connected:
            raise ReplicationError(f"{target or 'no node'} can take leadership over now")
        deadline = self._ports.now() + self._settings.transfer_s
        self._transfer = Transfer(chosen, deadline, done)
        self._advance_transfer()
        return chosen

    def step_snapshot(self) -> bool:
        """Do a slice of taking a snapshot; True if there is more to do at once."""
        return self._taker.step()

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The latest durable snapshot."""
        return self._snapshot

    @property
    def lead(self) -> Leadership | None:
        """This node's account of its followers while it leads."""
        return self._leadership() if self.engine.role is Role.LEADER else None

    # EnginePort: what the engine asks

    def now(self) -> float:
        return self._ports.now()

    def engine_apply(self, index: int, term: int, data: bytes) -> None:
        """A raise here stops the node: the entry is neither skipped nor applied twice."""
        try:
            result = self._machine.apply(index, term, data)
        except Exception as error:
            raise ApplyFailedError(f"entry {index} of term {term}: {error!r}") from error
        while self._pending_bytes and self._pending_bytes[0][0] <= index:
            self._pending_total -= self._pending_bytes.popleft()[1]
        self._ports.applied(index, term, result)

    def may_send_to(self, peer_id: str) -> bool:
        lead = self._leadership()
        return (
            lead.flow(peer_id).in_flight_bytes < self._settings.max_in_flight_bytes
            and peer_id not in lead.snapshots
        )

    def needs_snapshot(self, peer_id: str) -> None:
        self._leadership().wants_snapshot.add(peer_id)

    def engine_send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """Translate an engine's message; hold back what promises durability."""
        kind = message["type"]
        if kind == "append_entries":
            return self._send_append(peer_id, message)
        if kind == "next_node_idx":
            index, success, reset = (
                message["next_node_idx"],
                message["success"],
                message["reset"],
            )
            self._answer_append(peer_id, Answer(index, success, reset))
        elif kind == "request_vote":
            request = self._make(
                "vote_request",
                last_index=message["last_log_index"],
                last_term=message["last_log_term"],
                forced=self._forced,
            )
            self._promise(peer_id, request)
        elif kind == "response_vote":
            self._voted = True
            self._promise(peer_id, self._make("vote"))
        else:
            raise FatalReplicaError(f"the engine sent an unexpected {kind}")
        return True

    # Elections

    def _ask_for_support(self, now: float) -> None:
        wanted = self.engine.term + 1
        self.engine.forget_leader()
        self._election.begin_round(now, wanted, self._self_id)
        if self._quorum == 1:
            self._stand(now, forced=False)
            return
        journal = self.journal
        request = self._make(
            "pre_vote",
            wanted=wanted,
            last_index=journal.last_index,
            last_term=journal.last_term,
        )
        for peer_id in self._peers:
            self._transmit(peer_id, dict(request))

    def _stand(self, now: float, *, forced: bool) -> None:
        self._election.begin_election(now)
        self._forced = forced
        self._voters = {self._self_id}
        try:
            self.engine.start_election()
        finally:
            self._forced = False

    def _on_pre_vote(self, peer_id: str, message: Message) -> None:
        now = self._ports.now()
        own = (self.journal.last_term, self.journal.last_index)
        granted = (
            self.engine.role is not Role.LEADER
            and not self._election.leader_is_fresh(now)
            and message["wanted"] > self.engine.term
            and log_is_current((message["last_term"], message["last_index"]), own)
        )
        reply = self._make("pre_vote_reply", wanted=message["wanted"], granted=granted)
        self._transmit(peer_id, reply)

    def _on_pre_vote_reply(self, peer_id: str, message: Message) -> None:
        if message["term"] > self.engine.term:
            self.engine.observe_term(message["term"])
        elif message["granted"] and self.engine.role is not Role.LEADER:
            support = self._election.supported(peer_id, message["wanted"])
            if support >= self._quorum and message["wanted"] == self.engine.term + 1:
                self._stand(self._ports.now(), forced=False)

    def _on_vote_request(self, peer_id: str, message: Message) -> None:
        """Raft section 5.2; and a node that hears a leader does not take part (section 4.2.3 of
        the dissertation), unless that leader itself hands over."""
        now = self._ports.now()
        if message["term"] < self.engine.term:
            self._transmit(peer_id, self._make("stale"))
            return
        follows = self.engine.role is Role.LEADER or self._election.leader_is_fresh(now)
        if follows and not message["forced"]:
            return
        self._voted = False
        self.engine.receive(
            peer_id,
            {
                "type": "request_vote",
                "term": message["term"],
                "last_log_index": message["last_index"],
                "last_log_term": message["last_term"],
            },
        )
        if self._voted:
            self._election.voted(now)

    def _on_vote(self, peer_id: str, message: Message) -> None:
        """Count a voter once a term."""
        if message["term"] > self.engine.term:
            self.engine.observe_term(message["term"])
        elif message["term"] == self.engine.term and peer_id not in self._voters:
            self._voters.add(peer_id)
            self.engine.receive(peer_id, {"type": "response_vote", "term": message["term"]})
            self.engine.tick()

    def _on_stale(self, peer_id: str, message: Message) -> None:
        self.engine.observe_term(message["term"])

    def _on_timeout_now(self, peer_id: str, message: Message) -> None:
        """The leader hands over to this node: only the present one of the present term may."""
        current = message["term"] == self.engine.term and self.engine.leader_id == peer_id
        if current and self.engine.role is Role.FOLLOWER:
            self._stand(self._ports.now(), forced=True)

    # Following

    def _is_from_leader(self, peer_id: str, message: Message) -> bool:
        """Whether the sender may lead in its term; one of an old term is told."""
        term = self.engine.term
        if message["term"] < term:
            self._transmit(peer_id, self._make("stale"))
            return False
        if message["term"] > term:
            return True
        leader = self.engine.leader_id
        return self.engine.role is not Role.LEADER and leader in (None, peer_id, self._self_id)

    def _on_append(self, peer_id: str, message: Message) -> None:
        if not self._is_from_leader(peer_id, message):
            return
        now = self._ports.now()
        self._election.heard_leader(now)
        append = Append(
            message["term"],
            message["prev_index"],
            message["prev_term"],
            message["commit"],
            message["entries"],
        )
        verdict = examine_append(append, self.journal, self.engine.commit_index)
        self._answering = (message["append"], message["read"])
        self.engine.receive(peer_id, verdict.to_engine)
        if verdict.answer is not None:
            self._answer_append(peer_id, verdict.answer)
        self._show_presence(peer_id, now)
        self.engine.tick()

    def _answer_append(self, peer_id: str, answer: Answer) -> None:
        number, read = self._answering
        ack = self._make(
            "ack",
            append=number,
            next=answer.next_index,
            success=answer.success,
            reset=answer.reset,
            read=read,
        )
        if answer.success:
            self._promise(peer_id, ack)
        else:
            self._transmit(peer_id, ack)

    def _show_presence(self, peer_id: str, now: float) -> None:
        """While the real answer waits for the disk, let the leader know that it is followed."""
        number, read = self._answering
        waits = self.journal.synced_sequence < self.journal.write_sequence
        answered_at, answered_read = self._echoed
        if waits and read <= answered_read and now - answered_at < self._settings.heartbeat_s / 2:
            return
        self._echoed = (now, read)
        if waits:
            self._transmit(peer_id, self._make("seen", append=number, read=read))

    # Leading

    def _leadership(self) -> Leadership:
        if self._lead.term != self.engine.term:
            self._lead = Leadership(self.engine.term)
        return self._lead

    def _tick_leader(self, now: float) -> None:
        lead = self._leadership()
        for peer_id in self._peers:
            silent = now - lead.sent_at.get(peer_id, -1.0) >= self._settings.heartbeat_s
            if silent and not self.may_send_to(peer_id):
                self._send_bare_heartbeat(peer_id)
        commit_index = self.engine.commit_index
        behind = [p for p in self._peers if lead.flow(p).last_commit_sent < commit_index]
        if behind:
            self.engine.send_now(behind)
        self._send_backlog()
        self._begin_reads()
        self._tick_snapshots(lead, now)
        self._abdicate_if_blocked()
        self._advance_transfer()

    def _send_append(self, peer_id: str, message: dict[str, Any]) -> bool:
        if "serialized" in message:  # the entries it needs are gone: a snapshot is to come
            return self._send_bare_heartbeat(peer_id)
        entries = message["entries"]
        size = sum(len(entry[0]) for entry in entries) + 16 * len(entries)
        return self._transmit_append(
            peer_id,
            size,
            prev_index=message["prevLogIdx"],
            prev_term=message["prevLogTerm"],
            commit=message["commit_index"],
            entries=[[term, command] for command, _, term in entries],
        )

    def _send_bare_heartbeat(self, peer_id: str) -> bool:
        """About nothing in the log."""
        return self._transmit_append(peer_id, 0, prev_index=0, prev_term=0, commit=0, entries=[])

    def _transmit_append(self, peer_id: str, size: int, **fields: Any) -> bool:
        lead = self._leadership()
        flow = lead.flow(peer_id)
        number = flow.last_sent + 1
        message = self._make("append", append=number, read=self.reads.number, **fields)
        taken = self._transmit(peer_id, message)
        if taken:
            flow.sent(number, size, fields["commit"])
            lead.sent_at[peer_id] = self._ports.now()
        return taken

    def _send_backlog(self) -> None:
        """Send entries to those that lack some and have room; no heartbeats."""
        if self.engine.role is not Role.LEADER:
            return
        last = self.journal.last_index
        lacking = [p for p in self._peers if self.engine.next_index(p) <= last]
        if lacking:
            self.engine.send_now(lacking)

    def _hears(self, peer_id: str, message: Message) -> bool:
        """Whether a reply is to this leader of this term; then the peer counts as alive."""
        if message["term"] > self.engine.term:
            self.engine.observe_term(message["term"])
        if self.engine.role is not Role.LEADER or message["term"] != self.engine.term:
            return False
        lead = self._leadership()
        if lead.boots.setdefault(peer_id, message["boot"]) != message["boot"]:
            # It may have come back without data (repaired, or replaced): what it once confirmed
            # must neither count for new commits nor keep its log from being sent anew.
            lead.boots[peer_id] = message["boot"]
            self.engine.forget_match(peer_id)
        lead.heard_at[peer_id] = self._ports.now()
        self.engine.note_alive(peer_id)
        return True

    def _on_seen(self, peer_id: str, message: Message) -> None:
        if self._hears(peer_id, message):
            self.reads.confirmed_by(peer_id, message["read"], self._quorum)
            self._begin_reads()

    def _on_ack(self, peer_id: str, message: Message) -> None:
        if not self._hears(peer_id, message):
            return
        self.reads.confirmed_by(peer_id, message["read"], self._quorum)
        flow = self._leadership().flow(peer_id)
        answer = flow.judge(
            message["append"],
            Answer(message["next"], message["success"], message["reset"]),
            self.engine.match_index(peer_id),
            self.journal.last_index,
        )
        flow.answered(message["append"])
        if answer is not None:
            self.engine.receive_ack(peer_id, answer.next_index, answer.success, answer.reset)
            self.engine.tick()
        self._begin_reads()
        self._send_backlog()
        self._advance_transfer()

    def _begin_reads(self) -> None:
        """A round of reads needs an entry of this term to be committed first (Raft section 8)."""
        engine = self.engine
        if not self.reads.wants_round or engine.role is not Role.LEADER:
            return
        if engine.commit_index < engine.own_term_index:
            return
        self.reads.begin_round(engine.commit_index)
        if self._quorum == 1:
            self.reads.finish(self._quorum)
        else:
            self.engine.send_now()

    def _advance_transfer(self) -> None:
        transfer = self._transfer
        if transfer is None or self.engine.role is not Role.LEADER:
            return
        last = self.journal.last_index
        if self._ports.now() >= transfer.deadline:
            self._transfer = None
            transfer.done(None)
        elif not transfer.told and self.engine.match_index(transfer.target) == last:
            transfer.told = self._transmit(transfer.target, self._make("timeout_now"))

    def _abdicate_if_blocked(self) -> None:
        """A leader that can not write would stop the whole cluster: let another one lead."""
        if self.write_block_reason is not None and self._transfer is None:
            try:
                self.transfer(None, lambda _: None)
            except ReplicationError:
                return  # nobody is there to take it

    # Snapshots

    def _maybe_take_snapshot(self) -> None:
        if self._taker.busy or self._sending_from is not None:
            return
        index = self.engine.applied_index
        done, _ = self._compacted
        if index <= done:
            return
        enough = index - done >= self._settings.snapshot_entries
        if enough or self.journal.size_bytes - self._compacted[1] >= self._settings.snapshot_bytes:
            self.take_snapshot()

    def take_snapshot(self) -> None:
        """Begin to take a snapshot of what is applied now. Not while one is under way."""
        index = self.engine.applied_index
        meta = SnapshotMeta(
            index=index,
            term=self.journal.term_at(index) or 0,
            prev_index=index - 1,
            prev_term=self.journal.term_at(index - 1) or 0,
            members=self._members,
            created_wall_ms=self._ports.wall_ms(),
        )
        self._taker.begin(meta, self._machine.begin_snapshot())

    def _snapshot_taken(self, meta: SnapshotMeta) -> None:
        if self._snapshot is None or meta.index > self._snapshot.index:
            self._snapshot = meta
        self._compact(meta.index)

    def _compact(self, index: int) -> None:
        """Drop what the snapshot covers, but for a tail for those who are a little behind."""
        keep_from = index - self._settings.keep_entries
        for sender in self._lead.snapshots.values():
            keep_from = min(keep_from, sender.meta.index)
        if self.journal.bytes_after(keep_from) > self._settings.snapshot_bytes // 2:
            keep_from = index  # large entries: the tail must not keep the log from shrinking
        if self.journal.term_at(keep_from) is not None:
            self.journal.drop_before(keep_from)
        self._compacted = (index, self.journal.size_bytes)

    def _tick_snapshots(self, lead: Leadership, now: float) -> None:
        for peer_id in sorted(lead.wants_snapshot):
            if self._snapshot is not None and peer_id in self._connected:
                lead.snapshots.setdefault(peer_id, self._new_sender(peer_id, self._snapshot))
        lead.wants_snapshot.clear()
        for peer_id, sender in sorted(lead.snapshots.items()):
            if sender.gone:
                del lead.snapshots[peer_id]
            else:
                sender.tick(now)

    def _new_sender(self, peer_id: str, meta: SnapshotMeta) -> SnapshotSender:
        settings = self._settings
        term = self.engine.term

        def send(fields: dict[str, Any]) -> None:
            if self.engine.role is Role.LEADER and self.engine.term == term:
                self._transmit(peer_id, self._make("snapshot", **fields))

        return SnapshotSender(
            self._worker,
            send,
            meta,
            settings.snapshot_chunk_bytes,
            settings.snapshot_bytes_per_s,
            settings.snapshot_resend_s,
        )

    def _on_snapshot_ack(self, peer_id: str, message: Message) -> None:
        if not self._hears(peer_id, message):
            return
        lead = self._leadership()
        sender = lead.snapshots.get(peer_id)
        if sender is None:
            return
        if (message["index"], message["snapshot_term"]) != (sender.meta.index, sender.meta.term):
            return
        if message["done"]:
            del lead.snapshots[peer_id]
            lead.flow(peer_id).lost()
            next_index = max(sender.meta.index, self.engine.match_index(peer_id)) + 1
            self.engine.receive_ack(peer_id, next_index, success=False, reset=True)
            self._send_backlog()
        else:
            sender.acknowledged(message["offset"], self._ports.now())

    def _on_snapshot(self, peer_id: str, message: Message) -> None:
        if not self._is_from_leader(peer_id, message):
            return
        if message["term"] > self.engine.term or self.engine.leader_id != peer_id:
            return  # its appends introduce a leader
        self._election.heard_leader(self._ports.now())
        self._sending_from = peer_id
        if self._installing is not None:
            return  # a piece sent again meanwhile; it is answered when the state is there
        if message["index"] <= self.engine.commit_index:
            self._receiver.abandon()
            self._finish_receiving(meta_of(message))
        else:
            self._receiver.receive(message)

    def _answer_snapshot(self, meta: SnapshotMeta, offset: int, done: bool = False) -> None:
        if self._sending_from is not None:
            ack = self._make(
                "snapshot_ack",
                index=meta.index,
                snapshot_term=meta.term,
                offset=offset,
                done=done,
            )
            self._transmit(self._sending_from, ack)

    def _finish_receiving(self, meta: SnapshotMeta) -> None:
        self._answer_snapshot(meta, 0, done=True)
        self._sending_from = None

    def _install_received(self, meta: SnapshotMeta) -> None:
        """The file is durable. It replaces the state unless the log has come that far itself."""
        if meta.index > self.engine.commit_index:
            self._taker.cancel()
            self._installing = meta
            self._worker.run(
                lambda store: load(self._machine, store, meta),
                lambda loaded: self._install(meta, loaded),
            )
        else:
            self._finish_receiving(meta)

    def _install(self, meta: SnapshotMeta, loaded: Any) -> None:
        self._installing = None
        if isinstance(loaded, BaseException):
            self._ports.failed(loaded)
            return
        if meta.index > self.engine.commit_index:
            loaded()
            if self.journal.term_at(meta.index) != meta.term:
                self.journal.reset_to((BASE_COMMAND, meta.index, meta.term))
            self.engine.snapshot_installed(meta.index)
            self._snapshot = meta
            self._compacted = (meta.index, self.journal.size_bytes)
            self._ports.applied_by_snapshot(meta.index)
        self._finish_receiving(meta)
        self._settle()

    # Sending

    def _make(self, kind: str, **fields: Any) -> Message:
        return {"type": kind, "term": self.engine.term, **fields}

    def _transmit(self, peer_id: str, message: Message) -> bool:
        self._number += 1
        message["boot"] = self._boot_id
        message["number"] = self._number
        return self._ports.send(peer_id, message)

    def _promise(self, peer_id: str, message: Message) -> None:
        """Send once all that was written so far is durable."""
        barrier = self.journal.write_sequence
        if self.journal.synced_sequence >= barrier:
            self._transmit(peer_id, message)
        else:
            self._held.append((barrier, peer_id, message))

    # Watching

    def _settle(self) -> None:
        """Act on a change of role, term or leader."""
        engine = self.engine
        shown = (engine.role, engine.term, engine.leader_id)
        if shown == self._shown:
            return
        was_leading = self._shown[0] is Role.LEADER
        still_leading = engine.role is Role.LEADER and engine.term == self._shown[1]
        self._shown = shown
        if engine.leader_id != self._sending_from:
            self._sending_from = None
        if was_leading and not still_leading:
            self._stop_leading()
        transfer = self._transfer
        if transfer is not None and engine.leader_id not in (None, self._self_id):
            self._transfer = None
            transfer.done(engine.leader_id)
        self._ports.changed()

    def _stop_leading(self) -> None:
        self._election.voted(self._ports.now())
        self.reads.fail_all()
        self._pending_bytes.clear()
        self._pending_total = 0
        self._lead.snapshots.clear()


def restore(machine: StateMachine, store: SnapshotStore, meta: SnapshotMeta) -> None:
    """Load a snapshot into the state machine. Raises SnapshotUnusableError: the node must stop."""
    load(machine, store, meta)()
