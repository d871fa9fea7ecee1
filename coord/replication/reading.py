"""A leader's rounds of reads: when one begins, and whom it asks."""

from __future__ import annotations

from coord.replication.port import Role
from coord.replication.read_index import ReadIndex
from coord.replication.replica_context import ReplicaContext


class Reading:
    """See the module."""

    def __init__(self, context: ReplicaContext, reads: ReadIndex) -> None:
        self._context = context
        self._reads = reads
        self._engine = context.engine
        self._electorate = context.electorate
        self._progress = context.account.current
        self._now = context.now

    @property
    def wait_for_room(self) -> bool:
        """Whether reads would wait until disks have room again: no majority of those in reach has
        any for this leader's first entry, as far as it is known."""
        engine = self._engine
        if engine.role is not Role.LEADER or engine.commit_index >= engine.own_term_index:
            return False
        own, full = self._context.write_block_reason is not None, self._progress().full
        if not own and not full:
            return False
        voters = self._electorate.voting_peers
        able = sum(peer in self._context.connected and peer not in full for peer in voters)
        return able + (not own and self._electorate.votes) < self._electorate.quorum

    def begin(self) -> None:
        """A round of reads needs an entry of this term to be committed first (Raft section 8)."""
        engine, reads = self._engine, self._reads
        if not reads.wants_round or engine.role is not Role.LEADER:
            return
        if engine.commit_index < engine.own_term_index:
            if self.wait_for_room:
                reads.fail_waiting()
            return
        reads.begin_round(engine.commit_index)
        reads.finish()
        if reads.under_way:
            thrifty = self._progress().thrifty
            thrifty.note_read(True, self._now())
            engine.send_now(thrifty.quorum)

    def ask_all_if_late(self) -> None:
        """Ask everybody to confirm this leader, if the quorum that was asked first takes long."""
        if self._engine.role is not Role.LEADER:
            return
        thrifty, now = self._progress().thrifty, self._now()
        if not self._reads.under_way:
            thrifty.note_read(False, now)
        elif thrifty.read_is_late(now):
            thrifty.note_read(True, now)
            self._engine.send_now()
