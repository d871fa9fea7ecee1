"""A leader's rounds of reads: when one begins, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable, Collection

from coord.replication.membership import Electorate
from coord.replication.port import Role
from coord.replication.progress import Leadership
from coord.replication.pysyncobj_engine import HardenedEngine
from coord.replication.read_index import ReadIndex


class Reading:
    """See the module. `leadership()`: the account of the present term; `connected`: whom messages
    can be sent to; `disk_is_full()`: this node's own."""

    def __init__(
        self,
        reads: ReadIndex,
        engine: HardenedEngine,
        leadership: Callable[[], Leadership],
        now: Callable[[], float],
        electorate: Electorate,
        connected: Collection[str],
        disk_is_full: Callable[[], bool],
    ) -> None:
        self._reads = reads
        self._engine = engine
        self._leadership = leadership
        self._now = now
        self._electorate = electorate
        self._connected = connected
        self._disk_is_full = disk_is_full

    @property
    def wait_for_room(self) -> bool:
        """Whether reads would wait until disks have room again: no majority of those in reach has
        any for this leader's first entry, as far as it is known."""
        engine = self._engine
        if engine.role is not Role.LEADER or engine.commit_index >= engine.own_term_index:
            return False
        own, full = self._disk_is_full(), self._leadership().full
        if not own and not full:
            return False
        voters = self._electorate.voting_peers
        able = sum(peer in self._connected and peer not in full for peer in voters)
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
            pace = self._leadership().pace
            pace.note_read(True, self._now())
            engine.send_now(pace.eager)

    def hurry(self) -> None:
        """Ask everybody to confirm this leader, if the few that were asked first take long."""
        if self._engine.role is not Role.LEADER:
            return
        pace, now = self._leadership().pace, self._now()
        if not self._reads.under_way:
            pace.note_read(False, now)
        elif pace.read_is_late(now):
            pace.note_read(True, now)
            self._engine.send_now()
