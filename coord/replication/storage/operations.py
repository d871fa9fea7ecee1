"""Carrying out write operations on the journal and the vote file, in order. Blocking."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from coord.journal import DiskFullError, Journal, Vote, VoteFile
from coord.replication.storage.writes import (
    AppendEntry,
    Done,
    DropBefore,
    Entry,
    ResetLog,
    StoreAdmission,
    StoreBoot,
    StoreVote,
    TruncateFrom,
    WriteOp,
)

MAX_GROUP_BYTES = 4 * 1024 * 1024
Numbered = tuple[int, WriteOp]


class LogWriter:
    """The one user of a node's journal and vote file. `vote`: what is stored."""

    def __init__(self, journal: Journal, votes: VoteFile, vote: Vote) -> None:
        self._journal = journal
        self._votes = votes
        self._vote = vote

    def carry_out(self, queue: deque[Numbered]) -> int:
        """Take operations from the front of `queue` and carry them out; the number of the last one
        done. All of them together are durable after `sync`.

        An operation leaves the queue only when it is done: after DiskFullError the same call
        can be made again. Raises SyncFailedError as well."""
        done = 0
        while queue:
            done = self._next_group(queue)
        return done

    def store_vote_ahead(self, queue: deque[Numbered]) -> int:
        """Store the last vote in `queue`, durably, although what comes before it has no room on the
        disk: it needs none, and binds the node whatever becomes of its log. Its number; 0: there is
        none, or nothing but entries may be overtaken. Raises SyncFailedError."""
        waiting: dict[int, Numbered] = {}
        for place, (sequence, operation) in enumerate(queue):
            if isinstance(operation, StoreVote):
                waiting[place] = (sequence, operation)
            elif not isinstance(operation, AppendEntry | TruncateFrom | DropBefore | Done):
                break
        if not waiting:
            return 0
        try:
            stored = self._next_group(deque(waiting.values()))
        except DiskFullError:  # a file system that does not write in place
            return 0
        for place, (sequence, _) in waiting.items():
            queue[place] = (sequence, Done())
        return stored

    def sync(self) -> None:
        """Everything carried out is durable after it. Raises SyncFailedError."""
        self._journal.sync()

    @property
    def active_segment(self) -> str:
        """The journal's file that is written to now; for any thread."""
        return self._journal.active_path

    @property
    def durable_end(self) -> int | None:
        """The last record of the journal; None if something of it is not known to be durable."""
        return None if self._journal.unsynced else self._journal.last_sequence

    def close(self) -> None:
        """Close the files. Idempotent."""
        self._journal.close()

    def _next_group(self, queue: deque[Numbered]) -> int:
        """The run of equal operations at the front, in one go where they allow it."""
        sequence, operation = queue[0]
        count = 1
        match operation:
            case AppendEntry():
                count = self._append(self._leading_entries(queue))
            case StoreVote():
                while len(queue) > count and isinstance(queue[count][1], StoreVote):
                    count += 1  # only the last of several is of interest
                last = queue[count - 1][1]
                if isinstance(last, StoreVote):
                    self._store(replace(self._vote, term=last.term, voted_for=last.voted_for))
            case StoreAdmission(admission):
                self._store(replace(self._vote, admission=admission))
            case StoreBoot(boot_id):
                self._store(replace(self._vote, boot_count=boot_id))
            case TruncateFrom(index):
                self._journal.truncate_from(index)
            case ResetLog(base):
                self._journal.reset([base])
            case DropBefore(index):
                self._journal.drop_before(index)
            case Done():
                pass
        for _ in range(count):
            sequence, _ = queue.popleft()
        return sequence

    def _append(self, entries: list[Entry]) -> int:
        """How many were: where there is no room for all, there may be for the first."""
        try:
            self._journal.append(entries)
        except DiskFullError:
            if len(entries) == 1:
                raise
            self._journal.append(entries[:1])
            return 1
        return len(entries)

    def _store(self, vote: Vote) -> None:
        self._votes.store(vote)
        self._vote = vote

    @staticmethod
    def _leading_entries(queue: deque[Numbered]) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        for _, operation in queue:
            if not isinstance(operation, AppendEntry) or size > MAX_GROUP_BYTES:
                break
            entries.append(operation.entry)
            size += len(operation.entry[0])
        return entries
