"""To whom a leader sends what it has in its log, and when."""

from __future__ import annotations

from collections.abc import Sequence

from coord.replication.appends import Appends
from coord.replication.leader_transfer import LeadershipTransfer
from coord.replication.port import Role
from coord.replication.progress import LeaderProgress
from coord.replication.replica_context import ReplicaContext


class Sending:
    """See the module."""

    def __init__(
        self, context: ReplicaContext, appends: Appends, transfer: LeadershipTransfer
    ) -> None:
        self._engine = context.engine
        self._journal = context.journal
        self._electorate = context.electorate
        self._account = context.account
        self._progress = context.account.current
        self._now = context.now
        self._heartbeat_s = context.settings.heartbeat_s
        self._appends = appends
        self._transfer = transfer

    def tick(self, progress: LeaderProgress, now: float) -> None:
        """Let nobody be without a word for long, or without what is committed."""
        self._account.choose_quorum(progress)
        peers, commit_index = self._electorate.peers, self._engine.commit_index
        for peer_id in peers:
            silent = now - progress.sent_at.get(peer_id, -1.0) >= self._heartbeat_s
            if silent and not self._account.may_send_to(peer_id):
                self._appends.send_bare_heartbeat(peer_id)
        if behind := [p for p in peers if progress.flow(p).last_commit_sent < commit_index]:
            self._engine.send_now(behind)
        self.backlog()

    def backlog(self) -> None:
        """Send entries to those that lack some, have room, and whose turn it is; no heartbeats."""
        engine = self._engine
        if engine.role is not Role.LEADER:
            return
        last, now = self._journal.last_index, self._now()
        progress = self._progress()
        progress.thrifty.note(engine.commit_index, last, now)
        peers = self._electorate.peers
        lacking: Sequence[str] = [p for p in peers if engine.next_index(p) <= last]
        if lacking and not self._transfer.under_way:
            lacking = progress.thrifty.due(lacking, progress.sent_at, engine.match_index, now)
        if lacking:
            engine.send_now(lacking)
