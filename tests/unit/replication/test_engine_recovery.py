"""Every combination of a snapshot and a journal that a crash can leave."""

from __future__ import annotations

import pytest

from coord.journal import StorageDamagedError
from coord.replication.recovery import BASE_COMMAND, recover_log
from coord.replication.storage.writes import Entry


def log(first: int, *terms: int) -> list[Entry]:
    return [(b"\x00x", first + i, term) for i, term in enumerate(terms)]


def test_a_snapshot_newer_than_the_head_costs_nothing() -> None:
    """The node died after the snapshot and before the log was shortened (A1)."""
    entries = log(1, 0, 1, 1, 2, 2)
    recovered = recover_log("j", entries, (3, 1))
    assert recovered.entries == entries
    assert not recovered.reset
    assert recovered.commit_index == 3


def test_a_log_that_ends_before_the_snapshot_begins_anew() -> None:
    for entries in ([], log(1, 0, 1)):
        recovered = recover_log("j", entries, (7, 4))
        assert recovered.entries == [(BASE_COMMAND, 7, 4)]
        assert recovered.reset


def test_a_log_that_contradicts_the_snapshot_begins_anew() -> None:
    recovered = recover_log("j", log(1, 0, 1, 1, 1), (3, 2))
    assert recovered.entries == [(BASE_COMMAND, 3, 2)]
    assert recovered.reset


def test_a_log_that_begins_right_behind_the_snapshot_gets_its_base() -> None:
    recovered = recover_log("j", log(4, 2, 2), (3, 2))
    assert [entry[1:] for entry in recovered.entries] == [(3, 2), (4, 2), (5, 2)]
    assert not recovered.reset


def test_without_a_snapshot_the_log_is_what_it_is() -> None:
    assert recover_log("j", [], None).entries == []
    assert recover_log("j", log(1, 0, 1), None).entries == log(1, 0, 1)


def test_a_gap_is_damage() -> None:
    with pytest.raises(StorageDamagedError):
        recover_log("j", log(2, 1, 1), None)
    with pytest.raises(StorageDamagedError):
        recover_log("j", log(9, 2), (7, 2))
