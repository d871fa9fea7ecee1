"""Who waits for an entry at this node: its proposer for the result, readers until it is applied."""

from __future__ import annotations

import asyncio
from typing import Any

from coord.replication.port import OutcomeUnknownError, ReplicationError


class Callers:
    """Futures by index. Each ends once: with its outcome, or told that none is known."""

    def __init__(self) -> None:
        self._proposers: dict[int, tuple[int, asyncio.Future[object]]] = {}
        self._readers: list[tuple[int, asyncio.Future[None]]] = []

    def expect(self, index: int, term: int, future: asyncio.Future[Any]) -> None:
        """The result of an entry that was just appended."""
        self._proposers[index] = (term, future)

    def wait_for(self, index: int, reader: asyncio.Future[None]) -> None:
        """Until it is applied."""
        self._readers.append((index, reader))

    def applied(self, index: int, term: int, result: object) -> None:
        """An entry was; the one that is expected may be another that lost its place to it."""
        pending = self._proposers.pop(index, None)
        if pending is None:
            return
        proposed_term, future = pending
        if future.done():
            return
        if proposed_term == term:
            future.set_result(result)
        else:
            future.set_exception(OutcomeUnknownError("another entry took its place"))

    def wake(self, applied: int) -> None:
        """All entries up to there are applied."""
        if not self._readers:
            return
        waiting = []
        for index, reader in self._readers:
            if index > applied:
                waiting.append((index, reader))
            elif not reader.done():
                reader.set_result(None)
        self._readers = [(i, r) for i, r in waiting if not r.done()]

    def leads(self, term: int) -> None:
        """This node leads this term (-1: none): the fate of other terms' entries is not known."""
        for index in [i for i, (proposed, _) in self._proposers.items() if proposed != term]:
            self._give_up(index, "leadership was lost")

    def give_up_proposers(self, why: str) -> None:
        """Nobody will know here what becomes of what was proposed."""
        for index in list(self._proposers):
            self._give_up(index, why)

    def give_up_readers(self, why: str) -> None:
        """Nothing more is applied here."""
        readers, self._readers = self._readers, []
        for _, reader in readers:
            if not reader.done():
                reader.set_exception(ReplicationError(why))

    def _give_up(self, index: int, why: str) -> None:
        _, future = self._proposers.pop(index)
        if not future.done():
            future.set_exception(OutcomeUnknownError(why))
