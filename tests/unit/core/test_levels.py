"""The feature level in the state machine, its snapshots and its codec."""

from __future__ import annotations

import pytest

from coord.codec.commands import decode
from coord.codec.errors import UnknownCommandError
from coord.codec.kinds import CommandKind
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.request import EventKind
from coord.core.base.table import SnapshotFormatError
from coord.core.batch import Batch, Request
from coord.core.cluster.commands import LevelRaised, RaiseLevel
from coord.core.machine import Machine
from coord.pb import cluster_pb2
from coord.runtime.state_machine import StateDigest
from tests.support.core_rows import read_rows


def raised(level: int) -> Machine:
    machine = Machine()
    machine.apply(Batch(1, 2, [Request(RaiseLevel(level))]))
    return machine


def test_a_new_state_is_at_level_0_and_its_meta_row_is_that_of_the_first_release() -> None:
    machine = Machine()
    assert machine.state.level == 0
    assert read_rows(machine)[0] == ("meta", (1, 0, 0, 0))


def test_a_raised_level_is_in_snapshot_and_digest() -> None:
    machine = raised(1)
    assert machine.state.level == 1
    assert read_rows(machine)[0] == ("meta", (2, 0, 1, 2, 1))
    restored = Machine.from_rows(read_rows(machine))
    assert restored.state.level == 1
    assert restored.digest() == machine.digest()
    plain = Machine()
    plain.apply(Batch(1, 2, []))
    assert plain.digest() != machine.digest()


def test_raising_takes_no_revision_and_tells_once() -> None:
    machine = Machine()
    batch = Batch(1, 2, [Request(RaiseLevel(1)), Request(RaiseLevel(1))])
    applied = machine.apply(batch)
    assert applied.replies == [LevelRaised(1), LevelRaised(1)]
    assert [event.kind for event in applied.events] == [EventKind.LEVEL_RAISED]
    assert applied.revision == 0


def test_a_snapshot_of_a_later_level_is_refused_with_advice() -> None:
    row = ("meta", (2, 0, 0, 0, HIGHEST_LEVEL + 1))
    with pytest.raises(SnapshotFormatError, match="start a newer build"):
        Machine.from_rows([row])


def test_a_command_to_a_later_level_stops_the_node() -> None:
    raw = cluster_pb2.RaiseLevelRequest(level=HIGHEST_LEVEL + 1).SerializeToString()
    with pytest.raises(UnknownCommandError, match="start a newer build"):
        decode(CommandKind.RAISE_LEVEL, raw)


@pytest.mark.parametrize(("level", "scheme"), [(0, "coord-0.1.0"), (1, "coord-level-1")])
def test_digests_are_compared_within_one_level(level: int, scheme: str) -> None:
    machine = Machine()
    assert StateDigest(machine.digest_slices(), level).scheme == scheme
