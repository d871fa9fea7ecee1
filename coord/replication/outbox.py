"""A replica's outgoing messages: stamped, and held back where they promise something.

Whatever promises something about this node's log or vote waits until all that was written before
it is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from coord.replication.engine_journal import EngineJournal
from coord.replication.messages import Message

Send = Callable[[str, Message], bool]


class Outbox:
    """`send(peer, message)` is False for what was not taken."""

    def __init__(self, send: Send, boot_id: int, journal: EngineJournal) -> None:
        self._send = send
        self._boot_id = boot_id
        self._journal = journal
        self._number = 0
        self._held: deque[tuple[int, str, Message]] = deque()

    def make(self, kind: str, **fields: Any) -> Message:
        """A message of the present term."""
        return {"type": kind, "term": self._journal.getCurrentTerm(), **fields}

    def transmit(self, peer_id: str, message: Message) -> bool:
        """Send now; False if it was not taken."""
        self._number += 1
        message["boot"] = self._boot_id
        message["number"] = self._number
        return self._send(peer_id, message)

    def promise(self, peer_id: str, message: Message) -> None:
        """Send once all that was written so far is durable."""
        barrier = self._journal.write_sequence
        if self._journal.synced_sequence >= barrier:
            self.transmit(peer_id, message)
        else:
            self._held.append((barrier, peer_id, message))

    def release(self, sequence: int) -> None:
        """All that was written up to `sequence` is durable."""
        while self._held and self._held[0][0] <= sequence:
            _, peer_id, message = self._held.popleft()
            self.transmit(peer_id, message)
