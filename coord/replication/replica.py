"""One Raft replica without I/O: the engine and the roles that stand around it.

Inputs are method calls (time passing, messages, connections, durability, proposals); outputs are
calls on `ReplicaPorts`. The asyncio node and the simulator drive the very same object.

The rule of durability: whatever promises something about this node's log or vote (an append
acknowledgement, a vote, a request for votes) waits in the outbox until all that was written before
it is durable. A leader's appends do not wait; its own copy counts only up to what it has synced.

Any exception out of a method means the replica must not be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from coord.journal import Standing
from coord.replication.admission_protocol import AdmissionProtocol
from coord.replication.engine_owner import EngineOwner
from coord.replication.following import Following
from coord.replication.known_peers import KnownPeers
from coord.replication.leading import Leading
from coord.replication.levels import Levels
from coord.replication.messages import Message, StampGuard, check_message, is_members
from coord.replication.peers.plausibility import PlausibilityCheck
from coord.replication.peers.runs import OwnRun
from coord.replication.port import Member, MembershipChange, Role, StateMachine
from coord.replication.reconfiguration import Reconfiguration
from coord.replication.replica_context import ReplicaContext
from coord.replication.replica_ports import Boot, ReplicaPorts
from coord.replication.role_changes import RoleChanges
from coord.replication.settings import ReplicaSettings
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.snapshots import SnapshotWorker
from coord.replication.staleness import StalenessBound
from coord.replication.state_check import StateCheck
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
        owner = EngineOwner(ports, machine)
        context = ReplicaContext(self_id, members, settings, boot, ports, owner, rng, levels)
        self.context = context
        self.engine, self.journal = context.engine, context.journal
        self.electorate, self.account = context.electorate, context.account
        self.admission = context.admission
        self.known_peers = KnownPeers(context)
        self._stamps = StampGuard({peer: number for peer, (number, _) in boot.peer_runs.items()})
        self._plausibility = PlausibilityCheck(
            context.journal,
            context.outbox,
            self._stamps,
            context.electorate,
            context.admission,
            ports.wall_ms,
        )
        nonce = rng.getrandbits(62) if boot.admission.standing is not Standing.VOTES else 0
        self._admission = AdmissionProtocol(context, self.known_peers, nonce)
        self._voting = Voting(context)
        self.reconfiguration = Reconfiguration(context, self.known_peers, self._admission)
        self._changes = RoleChanges(context, self.reconfiguration)
        self.staleness = StalenessBound(context.outbox, ports.real_now)
        self.state_check = StateCheck(
            context.electorate,
            settings.state_check_s,
            machine.begin_digest,
            context.outbox,
            ports.now,
        )
        self.snapshots = SnapshotExchange(
            context,
            machine,
            worker,
            boot.snapshot,
            self.state_check.state_replaced,
            self._changes.settle,
        )
        self.leading = Leading(
            context, self._admission, self.reconfiguration, self.snapshots, self.staleness
        )
        self._following = Following(
            context, self._admission, self.snapshots, self.staleness, self.state_check
        )
        self._changes.listeners = (self.snapshots, self.leading)
        owner.serve(
            context.journal,
            context.account,
            self.leading.appends,
            self.leading.proposals,
            self._following,
            self._voting,
            self.reconfiguration,
            self.state_check,
        )
        self._handlers: dict[str, Callable[[str, Message], None]] = {
            **self._following.handlers,
            **self.leading.handlers,
            **self._voting.handlers,
            **self._admission.handlers,
            **self.reconfiguration.handlers,
            **self.state_check.handlers,
        }
        # Bound once, as these run with every message or request.
        self.settle = self._changes.settle
        self.propose = self.leading.propose
        self.flush = self.leading.flush
        self.read = self.leading.read
        self.transfer = self.leading.transfer

    # Inputs

    def tick(self) -> None:
        """Time has passed. To be called every 50 ms or so."""
        now = self.context.now()
        self._admission.tick()
        if self.admission.votes:
            self._voting.tick()
        self.engine.tick()
        if self.engine.role is Role.LEADER:
            self.leading.tick(now)
        self.snapshots.take_if_due()
        self.known_peers.tick()
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
        if peer_id not in self.known_peers.addresses:
            return
        self._plausibility.check(peer_id, message)
        if not self._stamps.is_fresh(peer_id, message):
            self._answer_late(peer_id, message)
            return
        if self.admission.votes or self._takes(message["type"]):
            self._handlers[message["type"]](peer_id, message)
            self.settle()

    def connected(self, peer_id: str) -> None:
        """Messages can be sent to this peer from now on."""
        if peer_id in self.known_peers.addresses:
            self.context.connected.add(peer_id)
            self.engine.connected(peer_id)
            self._admission.ask(peer_id)
            self.reconfiguration.tell(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """The connection to this peer has ended; what was on its way may be lost."""
        if peer_id not in self.context.connected:
            return
        self.context.connected.discard(peer_id)
        self.engine.disconnected(peer_id)
        if self.engine.role is Role.LEADER:
            self.leading.disconnected(peer_id)
        elif self.engine.leader_id == peer_id:
            self.engine.forget_leader()
            self.context.election.lost_leader(self.context.now())
        self.settle()

    def refused(self, peer_id: str, fields: object) -> None:
        """A peer does not know this node, and says who the members are."""
        if is_members(fields) and fields["index"] <= self._plausibility.index_limit():
            self.reconfiguration.refused(peer_id, fields)

    def synced(self, sequence: int) -> None:
        """All write operations up to `sequence` are durable."""
        self.journal.mark_synced(sequence)
        self.context.outbox.release(sequence)
        self._admission.advance()
        self.leading.synced()
        self.settle()

    def vote_stored(self, sequence: int) -> None:
        """The vote written as `sequence` is durable, ahead of what waits for room on the disk."""
        self.journal.mark_vote_stored(sequence)
        self.context.outbox.release_votes()

    def block_writes(self, reason: str | None) -> None:
        """This node's own disk takes no writes, for this reason; None: it takes them again."""
        self.context.write_block_reason = reason

    def change_members(self, change: MembershipChange) -> tuple[int, int]:
        """See `Leading.change_members`. `flush` sends it."""
        appended = self.leading.change_members(change)
        self.settle()
        return appended

    def step_background(self) -> float:
        """Do a slice of what is in no hurry: a snapshot, a digest. If there is more to do, how many
        times as long as that took to rest before; otherwise 0."""
        if self.snapshots.step():
            return self.snapshots.rest
        return self.state_check.rest if self.state_check.step() else 0.0

    # What can be asked

    @property
    def role(self) -> Role:
        """LEARNER unless this node may vote."""
        return self.context.role

    def age_ms(self) -> int | None:
        """How old the applied state can be; None: nothing is known of it yet."""
        return self.staleness.age_ms(self.engine.applied_index)

    @property
    def own_run(self) -> OwnRun:
        """The present run of this node, without its id."""
        return OwnRun(self.context.outbox.boot_id, is_new=not self.admission.follows)

    # Messages that are not taken

    def _takes(self, kind: str) -> bool:
        """Whether a message is for a node that does not vote yet."""
        if kind in self._admission.handlers or kind in self.reconfiguration.handlers:
            return True
        return self.admission.follows and kind not in self._voting.handlers

    def _answer_late(self, peer_id: str, message: Message) -> None:
        """A node that lost its data counts its runs from its wall clock, which may be wrong: it
        has to learn from where, or it would not be heard."""
        known = self._stamps.boot_of(peer_id)
        if message["type"] == "introduce" and message["boot"] < known:
            outbox = self.context.outbox
            outbox.transmit(peer_id, outbox.make("behind", known=known))
