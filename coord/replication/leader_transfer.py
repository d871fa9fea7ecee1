"""Leadership transfer (Raft dissertation section 3.10): writes stop, the target catches up, is told
to lead now, and has taken over when this node follows it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from coord.replication.port import NotLeaderError, ReplicationError, Role
from coord.replication.replica_context import ReplicaContext

TransferDone = Callable[[str | None], None]
"""Called with the new leader's id, or None: it did not take over in time."""


@dataclass(slots=True)
class _Pending:
    target: str
    deadline: float
    done: TransferDone
    told: bool = False


class LeadershipTransfer:
    """The transfers of a leader; one at a time."""

    def __init__(self, context: ReplicaContext) -> None:
        self._electorate = context.electorate
        self._engine = context.engine
        self._journal = context.journal
        self._outbox = context.outbox
        self._now = context.now
        self._bound_s = context.settings.transfer_s
        self._pending: _Pending | None = None

    @property
    def under_way(self) -> bool:
        return self._pending is not None

    def begin(self, target: str | None, able: Collection[str], done: TransferDone) -> str:
        """Begin a transfer; the id of the target, one of `able` that votes. Raises NotLeaderError,
        ReplicationError (nobody can take it, or a transfer is under way)."""
        if self._engine.role is not Role.LEADER:
            raise NotLeaderError(self._engine.leader_id)
        if self._pending is not None:
            raise ReplicationError("a leadership transfer is under way")
        voters = self._electorate.voting_peers
        matches = {peer: self._engine.match_index(peer) for peer in voters if peer in able}
        chosen = target or pick_target(matches)
        if chosen is None or chosen not in matches:
            raise ReplicationError(f"{target or 'no node'} can not take leadership over now")
        self._pending = _Pending(chosen, self._now() + self._bound_s, done)
        self.advance()
        return chosen

    def others_keep_more(self) -> bool:
        """Whether a majority without this node has kept what its own disk did not take. Else writes
        would stop under another leader as well, and reads with them until that one's first entry is
        committed."""
        last = self._journal.last_index
        voters = self._electorate.voting_peers
        keep = [peer for peer in voters if self._engine.match_index(peer) == last]
        enough = len(keep) >= self._electorate.quorum
        return enough and self._journal.synced_index < last and self._pending is None

    def advance(self) -> None:
        """Tell the target as soon as it has everything; give up when it takes too long."""
        pending = self._pending
        if pending is None or self._engine.role is not Role.LEADER:
            return
        caught_up = self._engine.match_index(pending.target) == self._journal.last_index
        if self._now() >= pending.deadline:
            self._pending = None
            pending.done(None)
        elif caught_up and not pending.told:
            pending.told = self._outbox.transmit(pending.target, self._outbox.make("timeout_now"))

    def leader_is(self, leader_id: str | None) -> None:
        """Another node leads now."""
        pending = self._pending
        if pending is not None and leader_id not in (None, self._electorate.self_id):
            self._pending = None
            pending.done(leader_id)


def pick_target(matches: dict[str, int]) -> str | None:
    """The one that is furthest, the first by id among equals."""
    candidates = sorted((-match, peer) for peer, match in matches.items())
    return candidates[0][1] if candidates else None
