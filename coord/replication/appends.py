"""A leader's appends on the wire: numbered, counted until they are answered."""

from __future__ import annotations

from typing import Any

from coord.replication.engine_journal import entry_size
from coord.replication.read_index import ReadIndex
from coord.replication.replica_context import ReplicaContext


class Appends:
    """Sends them."""

    def __init__(self, context: ReplicaContext, reads: ReadIndex) -> None:
        self._outbox = context.outbox
        self._progress = context.account.current
        self._now = context.now
        self._reads = reads

    def send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """What the engine wants to send; False if it was not taken."""
        if "serialized" in message:  # the entries it needs are gone: a snapshot is to come
            return self.send_bare_heartbeat(peer_id)
        entries = message["entries"]
        size = sum(entry_size(entry[0]) for entry in entries)
        return self._transmit(
            peer_id,
            size,
            prev_index=message["prevLogIdx"],
            prev_term=message["prevLogTerm"],
            commit=message["commit_index"],
            entries=[[term, command] for command, _, term in entries],
        )

    def send_bare_heartbeat(self, peer_id: str) -> bool:
        """About nothing in the log."""
        return self._transmit(peer_id, 0, prev_index=0, prev_term=0, commit=0, entries=[])

    def _transmit(self, peer_id: str, size: int, **fields: Any) -> bool:
        progress = self._progress()
        flow = progress.flow(peer_id)
        number = flow.last_sent + 1
        fresh = list(progress.staleness.confirmed.get(peer_id, ()))
        message = self._outbox.make(
            "append", append=number, read=self._reads.number, fresh=fresh, **fields
        )
        taken = self._outbox.transmit(peer_id, message)
        if taken:
            flow.sent(number, size, fields["commit"])
            progress.sent_at[peer_id] = self._now()
        return taken
