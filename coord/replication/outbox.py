"""A replica's outgoing messages: stamped, and held back where they promise something.

Whatever promises something about this node's log or vote waits until all that was written before
it is durable. While a disk takes nothing, a leader's heartbeats go on: of the acknowledgements that
wait for the same write, one is kept, which says what all of them say.
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
        self.boot_id = boot_id
        self._journal = journal
        self._number = 0
        self._held: deque[tuple[int, str, Message]] = deque()
        self._held_votes: list[tuple[str, Message]] = []

    def make(self, kind: str, **fields: Any) -> Message:
        """A message of the present term."""
        return {"type": kind, "term": self._journal.getCurrentTerm(), **fields}

    def transmit(self, peer_id: str, message: Message) -> bool:
        """Send now; False if it was not taken."""
        self._number += 1
        message["boot"] = self.boot_id
        message["number"] = self._number
        return self._send(peer_id, message)

    def promise(self, peer_id: str, message: Message) -> None:
        """Send once all that was written so far is durable."""
        barrier = self._journal.write_sequence
        if self._journal.synced_sequence >= barrier:
            self.transmit(peer_id, message)
        elif not self._joins_the_last(barrier, peer_id, message):
            self._held.append((barrier, peer_id, message))

    def promise_vote(self, peer_id: str, message: Message) -> None:
        """Send once the present term and vote are durable. A vote, or a request for one, says
        nothing of what else is: who has a part of its log in memory only votes, and leads, as one
        with all of it, and after a crash as one that never had it."""
        if self._journal.vote_is_stored:
            self.transmit(peer_id, message)
        else:
            self._held_votes.append((peer_id, message))

    def _joins_the_last(self, barrier: int, peer_id: str, message: Message) -> bool:
        """What matches a leader's log does so for the whole of its term: nothing is lost."""
        if not self._held or message["type"] != "ack":
            return False
        last_barrier, last_peer, last = self._held[-1]
        if (last_barrier, last_peer, last["type"]) != (barrier, peer_id, "ack"):
            return False
        if last["term"] != message["term"]:
            return False
        last.update(message, next=max(last["next"], message["next"]))
        return True

    def release(self, sequence: int) -> None:
        """All that was written up to `sequence` is durable."""
        while self._held and self._held[0][0] <= sequence:
            _, peer_id, message = self._held.popleft()
            self.transmit(peer_id, message)
        self.release_votes()

    def release_votes(self) -> None:
        """Those of the present term leave if it is durable; nobody waits for earlier ones."""
        if self._held_votes and self._journal.vote_is_stored:
            held, self._held_votes = self._held_votes, []
            term = self._journal.getCurrentTerm()
            for peer_id, message in held:
                if message["term"] == term:
                    self.transmit(peer_id, message)
