"""What a node's log is after a restart, from its snapshot and its journal. Pure.

The journal may end before the snapshot (it was installed, and the node died before the log was
begun anew) or contradict it there (the same, with entries of a leader that lost): then the log is
the snapshot alone. In every other case the journal's entries stay, all of them: a snapshot never
costs an entry that matches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coord.journal import Founders, SnapshotMeta, StorageDamagedError
from coord.replication.entry_kinds import NO_OP
from coord.replication.errors import SnapshotUnusableError
from coord.replication.membership import Membership, decode_members, membership
from coord.replication.port import Member
from coord.replication.storage.writes import Entry

BASE_COMMAND = NO_OP  # the command of a base is never applied or sent


@dataclass(frozen=True, slots=True)
class RecoveredLog:
    """`entries` for the engine (empty: a new log). `reset`: the journal has to begin anew with
    them. `commit_index`: what the snapshot covers, 1 without one."""

    entries: list[Entry]
    reset: bool
    commit_index: int


def recover_log(
    journal_path: str, entries: Sequence[Entry], snapshot: tuple[int, int] | None
) -> RecoveredLog:
    """`snapshot`: index and term of the latest. Raises StorageDamagedError for a gap."""
    if snapshot is None:
        if entries and entries[0][1] != 1:
            what = f"the log begins at entry {entries[0][1]}, and there is no snapshot before it"
            raise StorageDamagedError(journal_path, -1, what)
        return RecoveredLog(list(entries), False, 1)
    index, term = snapshot
    base: Entry = (BASE_COMMAND, index, term)
    if not entries or entries[-1][1] < index:
        return RecoveredLog([base], True, index)
    first = entries[0][1]
    if first > index + 1:
        what = f"the log begins at entry {first}, the latest snapshot ends at {index}"
        raise StorageDamagedError(journal_path, -1, what)
    if first == index + 1:
        return RecoveredLog([base, *entries], False, index)
    if entries[index - first][2] != term:
        return RecoveredLog([base], True, index)
    return RecoveredLog(list(entries), False, index)


def first_membership(seeds: Membership, founders: Founders) -> Membership:
    """The members before the first change of them. Once a cluster is founded a configuration tells
    addresses only: nodes whose lists differ would count different majorities. `seeds`: what the
    configuration says; `founders`: () if this node was not among them, or they are not chosen."""
    if not founders:
        return seeds
    nowhere = Member("", "", "")
    known = {member.node_id: member for member in seeds.members}
    found = [replace(known.get(i, nowhere), node_id=i, learner=False) for i, _ in founders]
    return membership(0, found)


def membership_of(snapshot: SnapshotMeta | None, first: Membership) -> Membership:
    """As of a snapshot; `first` if it was never changed until then. Raises
    SnapshotUnusableError."""
    if snapshot is None or not snapshot.members:
        return first
    try:
        return Membership(snapshot.index, decode_members(snapshot.members))
    except ValueError as error:
        raise SnapshotUnusableError(f"the snapshot of entry {snapshot.index}: {error}") from error
