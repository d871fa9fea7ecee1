"""A leader's rounds of reads: when one begins, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable

from coord.replication.leadership import Leadership
from coord.replication.port import Role
from coord.replication.pysyncobj_engine import HardenedEngine
from coord.replication.read_index import ReadIndex


class Reading:
    """See the module. `leadership()`: the account of the present term."""

    def __init__(
        self,
        reads: ReadIndex,
        engine: HardenedEngine,
        leadership: Callable[[], Leadership],
        now: Callable[[], float],
    ) -> None:
        self._reads = reads
        self._engine = engine
        self._leadership = leadership
        self._now = now

    def begin(self) -> None:
        """A round of reads needs an entry of this term to be committed first (Raft section 8)."""
        engine, reads = self._engine, self._reads
        if not reads.wants_round or engine.role is not Role.LEADER:
            return
        if engine.commit_index < engine.own_term_index:
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
