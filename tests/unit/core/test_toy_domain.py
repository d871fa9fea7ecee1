"""A domain that the product does not have is added by a list, without an edit of the product, and
gets deduplication, settling, timers, snapshots, digests, checks and a place in the log."""

from __future__ import annotations

from typing import Any

import pytest

from coord.codec.envelope import BatchCache, EnvelopeItem, encode_envelope, to_batch
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.core.base.build import COMPILED
from coord.core.base.invariants import InvariantViolation
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done, RequestId
from coord.core.base.table import Row, SnapshotFormatError
from coord.core.batch import Batch, Reply, Request
from coord.core.checks import check_state
from coord.core.cluster.commands import RaiseLevel
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.state_machine import ReplicatedStateMachine
from tests.support.toy_domain import (
    COUNT_KIND,
    WITH_COUNTERS,
    Count,
    Counter,
    counters_of,
    decode_with_counters,
    encode_count,
)

pytestmark = pytest.mark.skipif(COMPILED, reason="the compiled core takes its own commands only")


def machine() -> Machine:
    made = Machine(domains=WITH_COUNTERS)
    made.apply(Batch(1, 1, [Request(RaiseLevel(1))]))
    return made


def rows_of(source: Machine) -> list[tuple[str, Row]]:
    view, rows = source.freeze(), []
    while (some := view.next_rows(100)) is not None:
        rows += some
    view.close()
    return rows


def do(target: Machine, *commands: Any, now_ms: int = 1) -> list[Reply]:
    return target.apply(Batch(now_ms, 1, [Request(one) for one in commands])).replies


def values(target: Machine) -> dict[str, int]:
    return {name: counter.value for name, counter in counters_of(target.state).items()}


def test_it_is_carried_out_and_bounded() -> None:
    counting = machine()
    replies = do(counting, Count("a", 2), Count("a", 3), Count("b", 0))
    assert replies[:2] == [Done(1), Done(2)]
    assert isinstance(replies[2], Rejected)
    assert values(counting) == {"a": 5}


def test_a_repeated_request_counts_once_and_another_one_is_told_apart() -> None:
    counting = machine()
    (opened,) = do(counting, OpenSession(60_000, b"n"))
    assert isinstance(opened, SessionOpened)
    same = RequestId(opened.session_id, 1, 0)
    requests = [Request(Count("a", 2), same), Request(Count("a", 2), same)]  # type: ignore[arg-type]
    first, again = counting.apply(Batch(2, 2, requests)).replies
    assert first == again
    (other,) = counting.apply(Batch(2, 2, [Request(Count("a", 9), same)])).replies  # type: ignore[arg-type]
    assert isinstance(other, Rejected)
    assert other.reason is Reason.SEQUENCE_REUSED
    assert values(counting) == {"a": 2}


def test_its_timer_is_carried_out_when_time_comes() -> None:
    counting = machine()
    do(counting, Count("a", 1, ttl_ms=50), Count("b", 1, ttl_ms=50), Count("b", 1))
    assert counting.next_deadline_ms(1_000) == 51
    do(counting, now_ms=50)
    assert values(counting) == {"a": 1, "b": 2}
    do(counting, now_ms=51)
    assert values(counting) == {"b": 2}
    assert counting.next_deadline_ms(1_000_000) is None


def test_what_it_names_is_settled_when_something_is_overdue() -> None:
    counting = machine()
    do(counting, Count("a", 5, ttl_ms=50), Count("b", 5, ttl_ms=50))
    counting.state.ctx.limits = type(counting.state.limits)(max_expiries_per_batch=0)
    do(counting, Count("a", 1), now_ms=60)
    assert values(counting) == {"a": 1, "b": 5}, "b is overdue, and nobody has named it"


def test_it_is_in_snapshots_and_digests() -> None:
    counting = machine()
    before = counting.digest()
    do(counting, Count("a", 2, ttl_ms=50), Count("b", 1))
    assert counting.digest() != before
    rows = rows_of(counting)
    assert ("counters", ("a", 2, 51)) in rows
    restored = Machine.from_rows(rows, domains=WITH_COUNTERS)
    assert restored.digest() == counting.digest()
    for now_ms in (1, 51):
        again = do(restored, Count("b", 1), now_ms=now_ms)
        assert again == do(counting, Count("b", 1), now_ms=now_ms)
        assert restored.digest() == counting.digest()
    assert values(restored) == {"b": 3}


def test_a_build_without_it_refuses_its_rows() -> None:
    counting = machine()
    do(counting, Count("a", 2))
    with pytest.raises(SnapshotFormatError, match="unknown table 'counters'"):
        Machine.from_rows(rows_of(counting))


def test_its_invariants_are_checked() -> None:
    counting = machine()
    do(counting, Count("a", 2))
    check_state(counting.state, WITH_COUNTERS)
    counters_of(counting.state).replace("a", Counter(-1, 0))
    with pytest.raises(InvariantViolation, match="a counter only grows"):
        check_state(counting.state, WITH_COUNTERS)


# ---- in the log


def entry(*commands: Count, now_ms: int = 1) -> bytes:
    items = [EnvelopeItem(COUNT_KIND, "", 0, 0, 0, encode_count(one)) for one in commands]
    return encode_envelope(now_ms, 1, items)


def test_its_commands_come_back_from_the_log() -> None:
    commands = [Count("a", 2), Count("b", 1, ttl_ms=50)]
    batch = to_batch(entry(*commands), decode_command=decode_with_counters)
    assert [request.command for request in batch.requests] == commands


def test_a_host_applies_and_restores_it() -> None:
    def host() -> ReplicatedStateMachine:
        return ReplicatedStateMachine(
            ClusterClock(), BatchCache(), WITH_COUNTERS, decode_with_counters
        )

    counting = host()
    counting.apply(1, 1, entry(Count("a", 2), Count("b", 1, ttl_ms=50)))
    source, chunks = counting.begin_snapshot(), []
    while (chunk := source.next_chunk()) is not None:
        chunks.append(chunk)
    restored = host()
    restored.restore(chunks)
    assert restored.machine.digest() == counting.machine.digest()
    assert restored.next_deadline_ms(1_000) == 51


def test_a_build_without_it_stops_at_its_entries() -> None:
    with pytest.raises(UnknownCommandError, match=f"kind {COUNT_KIND} is not known"):
        to_batch(entry(Count("a", 2)))


def test_damaged_bytes_of_it_are_noticed() -> None:
    item = EnvelopeItem(COUNT_KIND, "", 0, 0, 0, b"\xc1")
    with pytest.raises(DecodeError, match="not a Count"):
        to_batch(encode_envelope(1, 1, [item]), decode_command=decode_with_counters)
