"""The engine's log: order of operations, what counts as synced, what it refuses."""

from __future__ import annotations

import pytest

from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import InvariantError
from coord.replication.membership import membership
from coord.replication.storage.writes import (
    AppendEntry,
    DropBefore,
    ResetLog,
    StoreVote,
    TruncateFrom,
    WriteOp,
)
from tests.support.replication import members_of

FIRST = membership(0, members_of("n1"))


def make(*terms: int) -> tuple[EngineJournal, list[tuple[int, WriteOp]]]:
    written: list[tuple[int, WriteOp]] = []
    entries = [(b"\x00x", i + 1, term) for i, term in enumerate(terms)]
    journal = EngineJournal(entries, 0, None, 1, lambda s, op: written.append((s, op)), FIRST)
    return journal, written


def test_every_change_is_written_in_order() -> None:
    journal, written = make(0)
    journal.add(b"\x00a", 2, 1)
    journal.setCurrentTerm(2, "n2")
    journal.deleteEntriesFrom(1)
    journal.add(b"\x00b", 2, 2)
    journal.add(b"\x00c", 3, 2)
    journal.drop_before(2)
    journal.reset_to((b"\x01", 9, 3), FIRST)
    assert written == [
        (1, AppendEntry((b"\x00a", 2, 1))),
        (2, StoreVote(2, "n2")),
        (3, TruncateFrom(2)),
        (4, AppendEntry((b"\x00b", 2, 2))),
        (5, AppendEntry((b"\x00c", 3, 2))),
        (6, DropBefore(2)),
        (7, ResetLog((b"\x01", 9, 3))),
    ]
    assert journal.write_sequence == 7


def test_synced_index_follows_the_log_and_not_what_was_cut() -> None:
    journal, _ = make(0)
    for index in (2, 3, 4):
        journal.add(b"\x00a", index, 1)
    assert journal.synced_index == 1
    journal.mark_synced(2)
    assert journal.synced_index == 3
    journal.deleteEntriesFrom(1)  # entries 2, 3 and 4
    assert journal.synced_index == 1
    journal.add(b"\x00b", 2, 2)
    journal.mark_synced(3)  # the append of the entry 4 that is gone
    assert journal.synced_index == 1
    journal.mark_synced(4)
    assert journal.synced_index == 1
    journal.mark_synced(5)
    assert journal.synced_index == 2


def test_a_reset_counts_as_synced_only_when_it_is() -> None:
    journal, _ = make(0, 1, 1)
    journal.reset_to((b"\x01", 9, 3), FIRST)
    assert journal.synced_index == 0
    journal.mark_synced(1)
    assert journal.synced_index == 9


def test_batches_hold_at_least_one_entry_and_keep_their_size() -> None:
    journal, _ = make(0, 1, 1, 1)
    assert [e[1] for e in journal.batch_from(2, 1)] == [2]
    assert [e[1] for e in journal.batch_from(2, 4)] == [2, 3]
    assert journal.batch_from(5, 100) == []
    journal.drop_before(3)
    assert journal.batch_from(2, 100) == []


def test_what_must_not_happen_is_refused() -> None:
    journal, _ = make(0, 2)
    with pytest.raises(InvariantError):
        journal.add(b"x", 4, 2)
    with pytest.raises(InvariantError):
        journal.add(b"x", 3, 1)
    with pytest.raises(InvariantError):
        journal.deleteEntriesFrom(0)
    with pytest.raises(InvariantError):
        journal.clear()
    journal.committed_index = 2
    with pytest.raises(InvariantError):
        journal.deleteEntriesFrom(1)
    journal.setCurrentTerm(5, "n1")
    with pytest.raises(InvariantError):
        journal.setCurrentTerm(5, "n2")
    with pytest.raises(InvariantError):
        journal.setCurrentTerm(4, None)
