"""To whom a leader sends what it has in its log, and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from coord.replication.appends import Appends
from coord.replication.engine_journal import EngineJournal
from coord.replication.leader_transfer import Handover
from coord.replication.membership import Electorate
from coord.replication.port import Role
from coord.replication.progress import Leadership
from coord.replication.pysyncobj_engine import HardenedEngine


class Sending:
    """`leadership()`: the account of the present term; `connected`: whom messages can be sent to;
    `has_room(peer)`: more may be in flight to it."""

    def __init__(
        self,
        engine: HardenedEngine,
        journal: EngineJournal,
        electorate: Electorate,
        handover: Handover,
        appends: Appends,
        leadership: Callable[[], Leadership],
        connected: Collection[str],
        has_room: Callable[[str], bool],
        now: Callable[[], float],
        heartbeat_s: float,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._electorate = electorate
        self._handover = handover
        self._leadership = leadership
        self._connected = connected
        self._has_room = has_room
        self._now = now
        self._appends = appends
        self._heartbeat_s = heartbeat_s

    def tick(self, lead: Leadership, now: float) -> None:
        """Let nobody be without a word for long, or without what is committed."""
        self.choose_eager(lead)
        peers, commit_index = self._electorate.peers, self._engine.commit_index
        for peer_id in peers:
            silent = now - lead.sent_at.get(peer_id, -1.0) >= self._heartbeat_s
            if silent and not self._has_room(peer_id):
                self._appends.send_bare_heartbeat(peer_id)
        if behind := [p for p in peers if lead.flow(p).last_commit_sent < commit_index]:
            self._engine.send_now(behind)
        self.backlog()

    def backlog(self) -> None:
        """Send entries to those that lack some, have room, and whose turn it is; no heartbeats."""
        engine = self._engine
        if engine.role is not Role.LEADER:
            return
        last, now = self._journal.last_index, self._now()
        lead = self._leadership()
        lead.pace.note(engine.commit_index, last, now)
        peers = self._electorate.peers
        lacking: Sequence[str] = [p for p in peers if engine.next_index(p) <= last]
        if lacking and not self._handover.under_way:
            lacking = lead.pace.due(lacking, lead.sent_at, engine.match_index, now)
        if lacking:
            engine.send_now(lacking)

    def choose_eager(self, lead: Leadership) -> None:
        """Anew, of the voters that can be sent to now and whose disks take it."""
        full, voters = lead.full, self._electorate.voting_peers
        able = [p for p in voters if p in self._connected and p not in full and self._has_room(p)]
        lead.pace.choose(able)
