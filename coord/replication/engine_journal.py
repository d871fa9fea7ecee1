"""The engine's log: a list in memory, whose every change is also an operation for the storage.

The list is what the engine works on; the operations leave in the order of the changes, and come
back as durable, in that order, some time later. `synced_index` is up to where the list is durable;
`write_sequence` names everything written so far, so that a message that promises durability can
wait until `synced_sequence` has reached what it promises.

The first entry is the log's base: its index and term are known, its command is not needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import overload

from coord.journal import Admission
from coord.replication.entry_kinds import MEMBERS
from coord.replication.errors import InvariantError
from coord.replication.membership import Membership, MembershipHistory, decode_members
from coord.replication.storage.writes import (
    AppendEntry,
    DropBefore,
    Entry,
    ResetLog,
    StoreAdmission,
    StoreBoot,
    StoreVote,
    TruncateFrom,
    WriteOp,
    WriteSink,
)

MAX_BATCH_ENTRIES = 16 * 1024  # fewer than a message may carry (`frames`)
ENTRY_OVERHEAD_BYTES = 16  # so that many small entries count as well

_Unsynced = tuple[int, int, int]
"""Of a write operation: its number, the last index of the log after it, bytes of its entry."""


def entry_size(command: bytes) -> int:
    """What an entry counts for where memory or a message is bounded."""
    return len(command) + ENTRY_OVERHEAD_BYTES


class EngineJournal:
    """List-shaped journal as PySyncObj expects it (its method names), plus what this project asks.

    `recovered` is durable already; `commit_index` is known to be committed (a snapshot's);
    `membership` is the one before the entries behind its index. `memberships` follows the log."""

    def __init__(
        self,
        recovered: Sequence[Entry],
        term: int,
        voted_for: str | None,
        commit_index: int,
        sink: WriteSink,
        membership: Membership,
    ) -> None:
        self._entries: list[Entry] = list(recovered)
        self._bytes = sum(len(entry[0]) for entry in self._entries)
        self._term = term
        self._voted_for = voted_for
        self._commit_index = commit_index
        self._sink = sink
        self._unsynced: deque[_Unsynced] = deque()
        self._unsynced_bytes = 0
        self.committed_index = commit_index  # what is up to here is never cut off
        self.write_sequence = 0
        self.synced_sequence = 0  # <= write_sequence
        self.vote_sequence = 0  # of the last term or vote; <= write_sequence
        self._stored_vote_sequence = 0
        self.synced_index = self._entries[-1][1] if self._entries else 0
        self.memberships = MembershipHistory(membership)
        for command, index, _ in self._entries:
            if index > membership.index:
                self._note_members(command, index)

    # What storage reports

    def mark_synced(self, sequence: int) -> None:
        """All operations up to `sequence` are durable."""
        self.synced_sequence = max(self.synced_sequence, sequence)
        while self._unsynced and self._unsynced[0][0] <= sequence:
            _, self.synced_index, size = self._unsynced.popleft()
            self._unsynced_bytes -= size

    def mark_vote_stored(self, sequence: int) -> None:
        """The term and vote written as `sequence` are durable, what was written before may not."""
        self._stored_vote_sequence = max(self._stored_vote_sequence, sequence)

    @property
    def vote_is_stored(self) -> bool:
        """Whether the present term and vote are durable."""
        return max(self.synced_sequence, self._stored_vote_sequence) >= self.vote_sequence

    # The view of it that the rest of replication uses

    @property
    def first_index(self) -> int:
        """Index of the base."""
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        return self._entries[-1][2]

    @property
    def size_bytes(self) -> int:
        """Bytes of the commands held in memory."""
        return self._bytes

    @property
    def unsynced_bytes(self) -> int:
        """What entries wait for the disk in memory, also those that were cut off since."""
        return self._unsynced_bytes

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`; None if it is not here."""
        position = index - self._entries[0][1]
        if 0 <= position < len(self._entries):
            return self._entries[position][2]
        return None

    def batch_from(self, index: int, max_bytes: int) -> list[Entry]:
        """Entries from `index` on: at least one if there is one, then while they fit; so many as
        a message may carry at most."""
        position = index - self._entries[0][1]
        if position < 0:
            return []
        end, total = position, 0
        while end < len(self._entries):
            total += len(self._entries[end][0])
            if end > position and (total > max_bytes or end - position >= MAX_BATCH_ENTRIES):
                break
            end += 1
        return self._entries[position:end]

    def bytes_after(self, index: int) -> int:
        """Bytes of the commands behind `index`."""
        start = max(0, index + 1 - self._entries[0][1])
        return sum(len(entry[0]) for entry in self._entries[start:])

    def drop_before(self, index: int) -> None:
        """Make the entry at `index` the base. It has to be here."""
        position = index - self._entries[0][1]
        if position <= 0:
            return
        if position >= len(self._entries):
            raise InvariantError(f"cannot drop the log up to {index}, past its end")
        self._bytes -= sum(len(entry[0]) for entry in self._entries[:position])
        del self._entries[:position]
        self.memberships.forget_before(index)
        self._emit(DropBefore(index))

    def reset_to(self, base: Entry, membership: Membership) -> None:
        """Replace the whole log by `base`, the last entry of an installed snapshot, with the
        membership as of then."""
        self._entries = [base]
        self.memberships.reset(membership)
        self._bytes = len(base[0])
        self.synced_index = 0
        self._unsynced = deque((sequence, 0, size) for sequence, _, size in self._unsynced)
        self._emit(ResetLog(base))
        self._unsynced.append((self.write_sequence, base[1], 0))

    def store_admission(self, admission: Admission) -> None:
        """Durable behind everything written before."""
        self._emit(StoreAdmission(admission))

    def store_boot(self, boot_id: int) -> None:
        """Durable before whatever is written later."""
        self._emit(StoreBoot(boot_id))

    # What PySyncObj calls

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append one entry."""
        if self._entries and idx != self._entries[-1][1] + 1:
            raise InvariantError(f"entry {idx} does not follow {self._entries[-1][1]}")
        if self._entries and term < self._entries[-1][2]:
            raise InvariantError(f"entry {idx} of term {term} follows {self._entries[-1][2]}")
        entry = (command, idx, term)
        self._entries.append(entry)
        self._bytes += len(command)
        self._note_members(command, idx)
        self._emit(AppendEntry(entry))
        size = entry_size(command)
        self._unsynced.append((self.write_sequence, idx, size))
        self._unsynced_bytes += size

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803
        """Drop the entries from list position `entryFrom` on."""
        if entryFrom >= len(self._entries):
            return
        if entryFrom < 1:
            raise InvariantError("the base of the log cannot be cut off")
        first_cut = self._entries[entryFrom][1]
        if first_cut <= self.committed_index:
            raise InvariantError(f"entry {first_cut} is committed and was to be cut off")
        self._bytes -= sum(len(entry[0]) for entry in self._entries[entryFrom:])
        del self._entries[entryFrom:]
        self.memberships.cut_from(first_cut)
        self.synced_index = min(self.synced_index, first_cut - 1)
        self._unsynced = deque(
            (sequence, min(last, first_cut - 1), size) for sequence, last, size in self._unsynced
        )
        self._emit(TruncateFrom(first_cut))

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        """The engine's own compaction is switched off."""
        raise InvariantError(f"the engine compacted its log by itself (to {entryTo})")

    def clear(self) -> None:
        """The engine's own snapshot loading is switched off."""
        raise InvariantError("the engine cleared its log by itself")

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Note term and vote; durable with everything written before."""
        if term < self._term:
            raise InvariantError(f"the term fell from {self._term} to {term}")
        if term == self._term and self._voted_for not in (None, votedForNodeId):
            raise InvariantError(f"a second vote in term {term}")
        self._term = term
        self._voted_for = votedForNodeId
        self._emit(StoreVote(term, votedForNodeId))
        self.vote_sequence = self.write_sequence

    def getCurrentTerm(self) -> int:  # noqa: N802
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        return self._voted_for

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """Not stored: after a restart the commit index is learnt anew."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        return self._commit_index

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Nothing to do."""

    def _destroy(self) -> None:
        """Nothing to do; the storage is closed by whoever opened it."""

    def _note_members(self, command: bytes, index: int) -> None:
        if command[:1] == MEMBERS:
            try:
                members = decode_members(command[1:])
            except ValueError as error:
                raise InvariantError(f"entry {index} changes the members: {error}") from error
            self.memberships.append(Membership(index, members))

    def _emit(self, operation: WriteOp) -> None:
        self.write_sequence += 1
        self._sink(self.write_sequence, operation)

    def __bool__(self) -> bool:
        return True
