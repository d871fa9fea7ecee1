"""One Raft replica without I/O: the engine and everything that stands around it, wired together.

Inputs are method calls (time passing, messages, connections, durability, proposals); outputs are
calls on `ReplicaPorts`. The asyncio node and the simulator drive the very same object.

The rule of durability: whatever promises something about this node's log or vote (an append
acknowledgement, a vote, a request for votes) waits in the outbox until all that was written before
it is durable. A leader's appends do not wait; its own copy counts only up to what it has synced.

Any exception out of a method means the replica must not be used again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from coord.journal import SnapshotMeta, Standing
from coord.replication.admission_protocol import Joining
from coord.replication.answers import Answers
from coord.replication.appends import Appends
from coord.replication.election import Election
from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import ApplyFailedError, FatalReplicaError
from coord.replication.following import Following
from coord.replication.leader_transfer import Handover, TransferDone
from coord.replication.levels import Levels
from coord.replication.membership import Electorate, Membership, membership
from coord.replication.message_filter import Answer
from coord.replication.messages import Message, StampGuard, check_message, is_members
from coord.replication.outbox import Outbox
from coord.replication.peers.runs import OwnRun
from coord.replication.peers.yardstick import Yardstick
from coord.replication.port import (
    Member,
    MembershipChange,
    NotLeaderError,
    ReplicationError,
    Role,
    StateMachine,
    WriteBlockedError,
)
from coord.replication.progress import Leadership
from coord.replication.proposals import Proposals
from coord.replication.pysyncobj_engine import EngineSettings, HardenedEngine
from coord.replication.read_index import ReadDone, ReadIndex
from coord.replication.reading import Reading
from coord.replication.reconfiguration import Reconfiguration
from coord.replication.recovery import first_membership, membership_of
from coord.replication.replica_ports import DISK_FULL, Boot, ReplicaPorts
from coord.replication.sending import Sending
from coord.replication.settings import ReplicaSettings
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.snapshots import SnapshotWorker
from coord.replication.staleness import Freshness, Vouching
from coord.replication.state_check import StateCheck
from coord.replication.thrifty import Pace
from coord.replication.voting import Voting


class Replica:
    """See the module. `members`: the configuration's list, this node included. It says who founds
    a new cluster; later, where its founders are. What log and snapshots say counts instead.
    `levels`: of the builds of the nodes; kept by whoever makes the connections."""

    def __init__(
        self,
        self_id: str,
        members: Sequence[Member],
        settings: ReplicaSettings,
        boot: Boot,
        machine: StateMachine,
        ports: ReplicaPorts,
        worker: SnapshotWorker,
        rng: Random,
        levels: Levels | None = None,
    ) -> None:
        self._self_id = self_id
        self._settings = settings
        self.levels = levels or Levels(settings.highest_level)
        self._machine = machine
        self._ports = ports
        self._connected = set[str]()
        self._stamps = StampGuard({peer: number for peer, (number, _) in boot.peer_runs.items()})
        self._proposals = Proposals(settings)
        self.write_block_reason: str | None = None
        seeds = membership(0, members)
        first = first_membership(seeds, boot.admission.founders)
        start = membership_of(boot.snapshot, first)
        self.journal = EngineJournal(
            boot.entries, boot.term, boot.voted_for, boot.commit_index, ports.write, start
        )
        if boot.reset:
            self.journal.reset_to(boot.entries[0], start)
        self.electorate = Electorate(self_id, self.journal.memberships.latest)
        self.reads = ReadIndex(self.electorate.is_majority)
        self._outbox = Outbox(ports.send, boot.boot_id, self.journal)
        self._appends = Appends(self._outbox, self.reads, self.leadership, ports.now)
        times = settings.election
        self._election = Election(times, rng, ports.now())
        self._lead = self._new_leadership(-1)
        engine_settings = EngineSettings(settings.heartbeat_s, times.max_s, settings.batch_bytes)
        electorate = self.electorate
        self.engine = HardenedEngine(electorate, self.journal, self, engine_settings)
        self._reading = Reading(
            self.reads,
            self.engine,
            self.leadership,
            ports.now,
            electorate,
            self._connected,
            disk_is_full=lambda: self.write_block_reason is not None,
        )
        self._voting = Voting(
            electorate, self.engine, self.journal, self._outbox, self._election, ports.now
        )
        self.joining = Joining(
            electorate,
            boot.admission,
            nonce=rng.getrandbits(62) if boot.admission.standing is not Standing.VOTES else 0,
            engine=self.engine,
            journal=self.journal,
            outbox=self._outbox,
            may_stand=self._may_stand,
            hear=self._hear,
            now=ports.now,
        )
        self._yardstick = Yardstick(
            self.journal,
            own_run=lambda: self._outbox.boot_id,
            stamp_of=self._stamps.last_of,
            wall_ms=ports.wall_ms,
            is_silent=lambda: not self.joining.follows,
            has_log=lambda: self.joining.votes and electorate.votes,
        )
        self._handover = Handover(
            electorate, self.engine, self.journal, self._outbox, ports.now, settings.transfer_s
        )
        self._sending = Sending(
            self.engine,
            self.journal,
            electorate,
            self._handover,
            self._appends,
            self.leadership,
            self._connected,
            self.may_send_to,
            ports.now,
            settings.heartbeat_s,
        )
        self.reconfiguration = Reconfiguration(
            electorate,
            seeds,
            self.engine,
            self.journal,
            self._outbox,
            self.joining,
            times,
            ports,
            self.levels,
        )
        self.snapshots = SnapshotExchange(
            self, settings, machine, ports, worker, self._outbox, first, boot.snapshot
        )
        self.freshness = Freshness(lambda: self._outbox.boot_id, ports.real_now)
        self._answers = Answers(
            self.engine,
            self.journal,
            electorate,
            self.leadership,
            self.reads,
            self._reading,
            self._sending,
            self._handover,
            self.snapshots,
            self.freshness,
            ports.now,
        )
        self._following = Following(
            self_id,
            self.engine,
            self.journal,
            self._outbox,
            self._election,
            self.freshness,
            ports.now,
            presence_s=settings.heartbeat_s / 2,
            max_unsynced_bytes=settings.max_unsynced_bytes,
            disk_is_full=lambda: self.write_block_reason is not None,
        )
        self.state_check = StateCheck(
            electorate,
            settings.state_check_s,
            machine.begin_digest,
            self._outbox,
            ports.now,
        )
        self._seen: tuple[object, ...] = ()
        self._shown: tuple[Role, int, str | None] = (Role.FOLLOWER, -1, None)
        self._handlers: dict[str, Callable[[str, Message], None]] = {
            "append": self._on_append,
            "stale": self._on_stale,
            "snapshot": self._on_snapshot,
            **self._answers.handlers,
            **self._voting.handlers,
            **self.joining.handlers,
            **self.reconfiguration.handlers,
            "introduce": self._on_introduce,
            "check": self._on_check,
            **self.state_check.handlers,
        }

    # Inputs

    def tick(self) -> None:
        """Time has passed. To be called every 50 ms or so."""
        now = self._ports.now()
        self.joining.tick(self._connected)
        if self.joining.votes:
            self._voting.tick(disk_is_full=self.write_block_reason is not None)
        self.engine.tick()
        if self.engine.role is Role.LEADER:
            self._tick_leader(now)
        self.snapshots.take_if_due()
        self.reconfiguration.tick()
        leads = self.engine.role is Role.LEADER
        self.state_check.tick(self.engine.applied_index, self.journal.last_index if leads else None)
        self.settle()

    def apply(self) -> None:
        """Go on applying what is committed."""
        self.engine.apply_committed()
        self.settle()

    def receive(self, peer_id: str, raw: object) -> None:
        """A message from a peer. Raises InvalidMessageError for one that is not well formed, or has
        numbers that cannot be right (its connection should be closed); it has had no effect then.
        """
        message = check_message(raw)
        if peer_id not in self.reconfiguration.known:
            return
        self._yardstick.check(peer_id, message)
        if not self._stamps.is_fresh(peer_id, message):
            self._answer_late(peer_id, message)
            return
        if self._takes(message["type"]):
            self._handlers[message["type"]](peer_id, message)
            self.settle()

    def connected(self, peer_id: str) -> None:
        """Messages can be sent to this peer from now on."""
        if peer_id in self.reconfiguration.known:
            self._connected.add(peer_id)
            self.engine.connected(peer_id)
            self.joining.ask(peer_id)
            self.reconfiguration.tell(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """The connection to this peer has ended; what was on its way may be lost."""
        if peer_id not in self._connected:
            return
        self._connected.discard(peer_id)
        self.engine.disconnected(peer_id)
        if self.engine.role is Role.LEADER:
            self.leadership().disconnected(peer_id)
            self._sending.choose_eager(self.leadership())
        elif self.engine.leader_id == peer_id:
            self.engine.forget_leader()
            self._election.lost_leader(self._ports.now())
        self.settle()

    def refused(self, peer_id: str, fields: object) -> None:
        """A peer does not know this node, and says who the members are."""
        if is_members(fields) and fields["index"] <= self._yardstick.index_limit():
            self.reconfiguration.refused(peer_id, fields)

    def synced(self, sequence: int) -> None:
        """All write operations up to `sequence` are durable."""
        self.journal.mark_synced(sequence)
        self._outbox.release(sequence)
        self.joining.advance()
        if self.engine.role is Role.LEADER:  # its own copy counts now
            self.engine.commit()
        self._reading.begin()
        self._handover.advance()
        self.settle()

    def vote_stored(self, sequence: int) -> None:
        """The vote written as `sequence` is durable, ahead of what waits for room on the disk."""
        self.journal.mark_vote_stored(sequence)
        self._outbox.release_votes()

    def propose(self, data: bytes) -> tuple[int, int]:
        """Append an entry; its index and term. `flush` sends it. Raises NotLeaderError, BusyError,
        WriteBlockedError, ValueError for too large an entry."""
        self._check_writable()
        self._proposals.check_room(len(data))
        index, term = self.engine.propose(data)
        self._proposals.taken(index, len(data))
        return index, term

    def change_members(self, change: MembershipChange) -> tuple[int, int]:
        """Append a change of the members, as `propose` does an entry; its result is the tuple of
        members. `flush` sends it. Raises NotLeaderError, WriteBlockedError,
        MembershipRefusedError."""
        self._check_writable()
        appended = self.reconfiguration.change(change, self.leadership(), self._connected)
        self.settle()
        return appended

    @property
    def why_nothing_is_kept(self) -> str | None:
        """Why no write is taken: the disk here is full, or others' disks are and too few others are
        left. Without the latter, callers would only learn that it took long."""
        full = self.lead.full if self.lead is not None else ()
        if self.write_block_reason is not None or not full:
            return self.write_block_reason
        able = self._connected.difference(full)
        return None if self.electorate.is_majority(able) else DISK_FULL

    def _check_writable(self) -> None:
        if self.engine.role is not Role.LEADER:
            raise NotLeaderError(self.engine.leader_id)
        if (reason := self.why_nothing_is_kept) is not None:
            raise WriteBlockedError(reason)
        if self._handover.under_way:
            raise WriteBlockedError("LEADERSHIP_TRANSFER")

    def flush(self) -> None:
        """Send what was proposed, and begin a round for the reads that wait."""
        self._reading.begin()
        self._sending.backlog()
        self._reading.hurry()

    @property
    def waits(self) -> bool:
        """Whether this leader waits for a majority: `flush` is to be called every few ms then, so
        that others are asked if those that were asked take long."""
        behind = self.engine.commit_index < self.journal.last_index
        return self.engine.role is Role.LEADER and (behind or self.reads.under_way)

    def read(self, done: ReadDone) -> None:
        """Ask for a linearizable read; `flush` begins it. Raises NotLeaderError, and
        WriteBlockedError where none can be had until a disk has room."""
        if self.engine.role is not Role.LEADER:
            raise NotLeaderError(self.engine.leader_id)
        if self.reads_wait_for_room:
            raise WriteBlockedError(DISK_FULL)
        self.reads.ask(done)

    @property
    def reads_wait_for_room(self) -> bool:
        """A leader's first entry has to be committed first, and has no room on a majority."""
        return self._reading.wait_for_room

    def transfer(self, target: str | None, done: TransferDone) -> str:
        """Begin to hand leadership over; the id of the target. Raises NotLeaderError,
        ReplicationError (nobody can take it, or a transfer is under way)."""
        full = self.lead.full if self.lead is not None else set()
        able = self._connected.difference(self.joining.applicants(), full, self.levels.behind())
        return self._handover.begin(target, able, done)

    def age_ms(self) -> int | None:
        """How old the applied state can be; None: nothing is known of it yet."""
        return self.freshness.age_ms(self.engine.applied_index)

    @property
    def own_run(self) -> OwnRun:
        """The present run of this node, without its id."""
        return OwnRun(self._outbox.boot_id, is_new=not self.joining.follows)

    @property
    def role(self) -> Role:
        """LEARNER unless this node may vote."""
        return self.engine.role if self.joining.votes and self.electorate.votes else Role.LEARNER

    def take_snapshot(self) -> None:
        """Begin to take a snapshot of what is applied now. Not while one is under way."""
        self.snapshots.take()

    def step_background(self) -> float:
        """Do a slice of what is in no hurry: a snapshot, a digest. If there is more to do, how many
        times as long as that took to rest before; otherwise 0."""
        if self.snapshots.step():
            return self.snapshots.rest
        return self.state_check.rest if self.state_check.step() else 0.0

    def state_replaced(self, index: int) -> None:
        """A snapshot was installed (see ExchangeOwner)."""
        self.state_check.state_replaced(index)

    @property
    def snapshot(self) -> SnapshotMeta | None:
        """The latest durable snapshot."""
        return self.snapshots.latest

    @property
    def lead(self) -> Leadership | None:
        """This node's account of its followers while it leads."""
        return self.leadership() if self.engine.role is Role.LEADER else None

    # EnginePort: what the engine asks

    def now(self) -> float:
        return self._ports.now()

    def engine_apply(self, index: int, term: int, data: bytes) -> None:
        """A raise here stops the node: the entry is neither skipped nor applied twice."""
        self.state_check.before_apply(index)
        try:
            result = self._machine.apply(index, term, data)
        except Exception as error:
            what = f"entry {index} of term {term} can not be applied"
            raise ApplyFailedError(f"{what} ({type(error).__name__}): {error}") from error
        self._proposals.applied(index)
        self._ports.applied(index, term, result)

    def engine_members(self, index: int) -> None:
        term = self.journal.term_at(index) or 0
        self.reconfiguration.committed(index, term)
        self._ports.applied(index, term, self.journal.memberships.at(index).members)

    def may_send_to(self, peer_id: str) -> bool:
        lead = self.leadership()
        return (
            lead.flow(peer_id).in_flight_bytes < self._settings.max_in_flight_bytes
            and peer_id not in lead.snapshots
        )

    def needs_snapshot(self, peer_id: str) -> None:
        self.leadership().wants_snapshot.add(peer_id)

    def engine_send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """Translate an engine's message; hold back what promises durability."""
        kind = message["type"]
        if kind == "append_entries":
            return self._appends.send(peer_id, message)
        if kind == "next_node_idx":
            answer = Answer(message["next_node_idx"], message["success"], message["reset"])
            self._following.answer(peer_id, answer)
        elif kind == "request_vote":
            self._voting.engine_asks(peer_id, message)
        elif kind == "response_vote":
            self._voting.engine_votes(peer_id)
        else:
            raise FatalReplicaError(f"the engine sent an unexpected {kind}")
        return True

    # Joining

    def _takes(self, kind: str) -> bool:
        """Whether a message is for a node of this standing."""
        if self.joining.votes or kind in self.joining.handlers:
            return True
        if kind in self.reconfiguration.handlers:
            return True
        return self.joining.follows and kind not in self._voting.handlers

    def _may_stand(self) -> None:
        """If nobody leads, there is nothing to wait for."""
        now = self._ports.now()
        if not self._election.leader_is_fresh(now):
            self._election.lost_leader(now)

    def _answer_late(self, peer_id: str, message: Message) -> None:
        """A node that lost its data counts its runs from its wall clock, which may be wrong: it
        has to learn from where, or it would not be heard."""
        known = self._stamps.boot_of(peer_id)
        if message["type"] == "introduce" and message["boot"] < known:
            self._outbox.transmit(peer_id, self._outbox.make("behind", known=known))

    def _hear(self, told: Membership) -> None:
        self.reconfiguration.hear(told)

    def _on_introduce(self, peer_id: str, message: Message) -> None:
        """What the peer had confirmed before it lost its data is forgotten before it is answered:
        it relies on that."""
        if self.engine.role is Role.LEADER:
            self._answers.note_run(peer_id, message)
        self.joining.handlers["introduce"](peer_id, message)

    # Following

    def _on_stale(self, peer_id: str, message: Message) -> None:
        self.engine.observe_term(message["term"])

    def _on_append(self, peer_id: str, message: Message) -> None:
        """What is committed is applied beside the disk's work, which others wait for."""
        if self._following.on_append(peer_id, message):
            self.joining.heard_append(message["term"], message["commit"])

    def _on_check(self, peer_id: str, message: Message) -> None:
        self.state_check.named(message["index"], self.engine.applied_index)

    def _on_snapshot(self, peer_id: str, message: Message) -> None:
        if self._following.is_snapshot_of_leader(peer_id, message):
            self.snapshots.receive(peer_id, message)

    # Leading

    def leadership(self) -> Leadership:
        """The account of the present term."""
        if self._lead.term != self.engine.term:
            self._lead = self._new_leadership(self.engine.term)
            self._sending.choose_eager(self._lead)
        return self._lead

    def _new_leadership(self, term: int) -> Leadership:
        enough = self.electorate.is_majority
        return Leadership(term, Vouching(enough), Pace(enough, self._settings.lazy_s))

    def _tick_leader(self, now: float) -> None:
        lead = self.leadership()
        self._sending.tick(lead, now)
        self._reading.begin()
        commit_index = self.engine.commit_index
        if commit_index >= self.engine.own_term_index:  # as for reads
            lead.vouching.begin(commit_index, self.freshness, lead.last_sent())
        self.snapshots.tick_senders(lead, self._connected, now)
        self._abdicate_if_blocked()
        self._handover.advance()

    def _abdicate_if_blocked(self) -> None:
        """A leader that can not write lets another one lead, if that helps."""
        if self.write_block_reason is not None and self._handover.others_keep_more():
            with contextlib.suppress(ReplicationError):  # nobody is there to take it
                self.transfer(None, lambda _: None)

    # Watching

    def settle(self) -> None:
        """Act on a change of role, term, leader or members."""
        engine = self.engine
        seen = (*engine.standing, self.joining.votes)
        if seen == self._seen and self.reconfiguration.is_adopted:
            return  # nearly always
        self._seen = seen
        other_members = self.reconfiguration.adopt()
        shown = (self.role, engine.term, engine.leader_id)
        if shown == self._shown and not other_members:
            return
        was_leading = self._shown[0] is Role.LEADER
        still_leading = engine.role is Role.LEADER and engine.term == self._shown[1]
        self._shown = shown
        self.snapshots.leader_is(engine.leader_id)
        if was_leading and not still_leading:
            self._stop_leading()
        self._handover.leader_is(engine.leader_id)
        self._ports.changed()

    def _stop_leading(self) -> None:
        self._election.voted(self._ports.now())
        self.reads.fail_all()
        self._proposals.clear()
        self._lead.snapshots.clear()
