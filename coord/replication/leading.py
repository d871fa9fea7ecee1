"""A leader's part: proposals, reads, changes of the members, sending the log, transfers."""

from __future__ import annotations

import contextlib

from coord.replication.admission_protocol import AdmissionProtocol
from coord.replication.answers import Answers
from coord.replication.appends import Appends
from coord.replication.leader_transfer import LeadershipTransfer, TransferDone
from coord.replication.port import (
    MembershipChange,
    NotLeaderError,
    ReplicationError,
    Role,
    WriteBlock,
    WriteBlockedError,
)
from coord.replication.proposals import Proposals
from coord.replication.read_index import ReadDone, ReadIndex
from coord.replication.reading import Reading
from coord.replication.reconfiguration import Reconfiguration
from coord.replication.replica_context import ReplicaContext
from coord.replication.sending import Sending
from coord.replication.snapshot_exchange import SnapshotExchange
from coord.replication.staleness import StalenessBound


class Leading:
    """See the module. What only a leader can do raises NotLeaderError elsewhere."""

    def __init__(
        self,
        context: ReplicaContext,
        admission: AdmissionProtocol,
        reconfiguration: Reconfiguration,
        snapshots: SnapshotExchange,
        staleness: StalenessBound,
    ) -> None:
        self._context = context
        self._engine = context.engine
        self._journal = context.journal
        self._electorate = context.electorate
        self._account = context.account
        self._admission = admission
        self._reconfiguration = reconfiguration
        self._snapshots = snapshots
        self._staleness = staleness
        self.reads = ReadIndex(context.electorate.is_majority)
        self.proposals = Proposals(context.settings)
        self.appends = Appends(context, self.reads)
        self._transfer = LeadershipTransfer(context)
        self._reading = Reading(context, self.reads)
        self._sending = Sending(context, self.appends, self._transfer)
        self._answers = Answers(
            context,
            self.reads,
            self._reading,
            self._sending,
            self._transfer,
            snapshots,
            staleness,
        )
        self.handlers = self._answers.handlers

    # What callers ask

    def propose(self, data: bytes) -> tuple[int, int]:
        """Append an entry; its index and term. `flush` sends it. Raises NotLeaderError, BusyError,
        WriteBlockedError, ValueError for too large an entry."""
        self._check_writable()
        self.proposals.check_room(len(data))
        index, term = self._engine.propose(data)
        self.proposals.taken(index, len(data))
        return index, term

    def change_members(self, change: MembershipChange) -> tuple[int, int]:
        """Append a change of the members, as `propose` does an entry; its result is the tuple of
        members. Raises NotLeaderError, WriteBlockedError, MembershipRefusedError."""
        self._check_writable()
        return self._reconfiguration.change(change)

    def read(self, done: ReadDone) -> None:
        """Ask for a linearizable read; `flush` begins it. Raises NotLeaderError, and
        WriteBlockedError where none can be had until a disk has room."""
        if self._engine.role is not Role.LEADER:
            raise NotLeaderError(self._engine.leader_id)
        if self.reads_wait_for_room:
            raise WriteBlockedError(WriteBlock.DISK_FULL)
        self.reads.ask(done)

    def transfer(self, target: str | None, done: TransferDone) -> str:
        """Begin to transfer leadership; the id of the target. Raises NotLeaderError,
        ReplicationError (nobody can take it, or a transfer is under way)."""
        context, progress = self._context, self._account.while_leading()
        full = progress.full if progress is not None else set()
        applicants, behind = self._admission.applicants(), context.levels.behind()
        able = context.connected.difference(applicants, full, behind)
        return self._transfer.begin(target, able, done)

    def flush(self) -> None:
        """Send what was proposed, and begin a round for the reads that wait."""
        self._reading.begin()
        self._sending.backlog()
        self._reading.ask_all_if_late()

    @property
    def waits(self) -> bool:
        """Whether this leader waits for a majority: `flush` is to be called every few ms then, so
        that others are asked if those that were asked take long."""
        behind = self._engine.commit_index < self._journal.last_index
        return self._engine.role is Role.LEADER and (behind or self.reads.under_way)

    @property
    def reads_wait_for_room(self) -> bool:
        """Whether a leader's first entry, which has to be committed before a read, has no room on
        a majority."""
        return self._reading.wait_for_room

    @property
    def write_block_reason(self) -> str | None:
        """Why no write is taken: the disk here is full, or others' disks are and too few others are
        left. Without the latter, callers would only learn that it took long."""
        own, progress = self._context.write_block_reason, self._account.while_leading()
        if own is not None or progress is None or not progress.full:
            return own
        able = self._context.connected.difference(progress.full)
        return None if self._electorate.is_majority(able) else WriteBlock.DISK_FULL

    def _check_writable(self) -> None:
        if self._engine.role is not Role.LEADER:
            raise NotLeaderError(self._engine.leader_id)
        if (reason := self.write_block_reason) is not None:
            raise WriteBlockedError(reason)
        if self._transfer.under_way:
            raise WriteBlockedError(WriteBlock.LEADERSHIP_TRANSFER)

    # What happens

    def tick(self, now: float) -> None:
        """Time has passed while this node leads."""
        progress = self._account.current()
        self._sending.tick(progress, now)
        self._reading.begin()
        commit_index = self._engine.commit_index
        if commit_index >= self._engine.own_term_index:  # as for reads
            progress.staleness.begin(commit_index, self._staleness, progress.last_sent())
        self._snapshots.tick_senders(progress, now)
        self._abdicate_if_blocked()
        self._transfer.advance()

    def synced(self) -> None:
        """More of the log is durable here: the leader's own copy counts now."""
        if self._engine.role is Role.LEADER:
            self._engine.commit()
        self._reading.begin()
        self._transfer.advance()

    def disconnected(self, peer_id: str) -> None:
        """The connection to this peer has ended while this node leads."""
        progress = self._account.current()
        progress.disconnected(peer_id)
        self._account.choose_quorum(progress)

    def role_changed(self, leader_id: str | None, *, stopped_leading: bool) -> None:
        """See `RoleChanges`."""
        if stopped_leading:
            self._context.election.voted(self._context.now())
            self.reads.fail_all()
            self.proposals.clear()
            self._account.stop_leading()
        self._transfer.leader_is(leader_id)

    def _abdicate_if_blocked(self) -> None:
        """A leader that can not write lets another one lead, if that helps."""
        if self._context.write_block_reason is not None and self._transfer.others_keep_more():
            with contextlib.suppress(ReplicationError):  # nobody is there to take it
                self.transfer(None, _ignore)


def _ignore(leader_id: str | None) -> None:
    """Nobody asked for the transfer."""
