"""The state machine behind the replication port: entries in, snapshots out and in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coord.codec.envelope import EnvelopeItem, encode_envelope
from coord.codec.errors import CodecError, UnknownCommandError
from coord.codec.kinds import CommandKind
from coord.core.base.request import Event, EventKind
from coord.pb import task_pb2
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.state_machine import ReplicatedStateMachine


def entry(now_ms: int, *queues: str) -> bytes:
    items = [
        EnvelopeItem(
            CommandKind.SUBMIT_TASKS,
            "",
            0,
            0,
            0,
            task_pb2.SubmitRequest(
                tasks=[task_pb2.TaskSpec(queue=queue, payload=b"x" * 1_000)]
            ).SerializeToString(),
        )
        for queue in queues
    ]
    return encode_envelope(now_ms, 1_700_000_000_000, items)


def chunks_of(replica: ReplicatedStateMachine) -> Iterator[bytes]:
    source = replica.begin_snapshot()
    while (chunk := source.next_chunk()) is not None:
        yield chunk
    source.close()
    source.close()


def test_an_entry_moves_state_time_and_waiters() -> None:
    clock = ClusterClock()
    replica = ReplicatedStateMachine(clock)
    seen: list[Event] = []
    replica.on_applied(seen.extend)
    applied = replica.apply(1, 1, entry(700, "a", "b"))
    assert len(applied.replies) == 2
    assert [(one.kind, one.subject) for one in seen] == [
        (EventKind.TASK_READY, "a"),
        (EventKind.TASK_READY, "b"),
    ]
    assert clock.now_ms() == 700


def test_a_snapshot_is_the_state_as_it_was_and_restores_it() -> None:
    replica = ReplicatedStateMachine(ClusterClock())
    replica.apply(1, 1, entry(700, *["q"] * 1_000))
    digest = replica.machine.digest()
    chunks = chunks_of(replica)
    first = next(chunks)
    replica.apply(2, 1, entry(800, "later"))
    clock = ClusterClock()
    other = ReplicatedStateMachine(clock)
    told: list[bool] = []
    other.on_restored(lambda: told.append(True))
    other.restore([first, *chunks])
    assert other.machine.digest() == digest
    assert (clock.now_ms(), told) == (700, [True])
    other.apply(2, 1, entry(800, "later"))
    assert other.machine.digest() == replica.machine.digest()


def test_what_is_not_understood_stops_the_node() -> None:
    replica = ReplicatedStateMachine(ClusterClock())
    with pytest.raises(CodecError):
        replica.apply(1, 1, b"\xc1")
    newer = encode_envelope(1, 1, [EnvelopeItem(9_999, "", 0, 0, 0, b"")])
    with pytest.raises(UnknownCommandError):
        replica.apply(1, 1, newer)


def test_a_damaged_snapshot_changes_nothing() -> None:
    replica = ReplicatedStateMachine(ClusterClock())
    replica.apply(1, 1, entry(700, "q"))
    digest = replica.machine.digest()
    with pytest.raises(CodecError):
        replica.restore([chunk[:-1] for chunk in chunks_of(replica)])
    assert replica.machine.digest() == digest


def test_a_state_is_loaded_beside_the_present_one() -> None:
    replica = ReplicatedStateMachine(ClusterClock())
    replica.apply(1, 1, entry(700, "q"))
    digest, chunks = replica.machine.digest(), list(chunks_of(replica))
    clock = ClusterClock()
    other = ReplicatedStateMachine(clock)
    other.apply(1, 1, entry(300, "x"))
    before = other.machine.digest()
    put_in_place = other.load(chunks)
    assert (other.machine.digest(), clock.now_ms()) == (before, 300)
    put_in_place()
    assert (other.machine.digest(), clock.now_ms()) == (digest, 700)
