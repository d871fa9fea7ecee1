"""Digests of requests: every field counts, except what a caller may change in a repetition."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from enum import IntEnum
from typing import Any

import pytest

from coord.codec.commands import decode
from coord.codec.kinds import CommandKind
from coord.core.base.limits import Limits
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Reply, Request
from coord.core.cluster.commands import RaiseLevel
from coord.core.domains import REGISTRY
from coord.core.kv.commands import KvPut, KvPutReply
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.core.tasks.commands import ClaimTasks, SubmitTasks, TaskSpec
from coord.core.tasks.digests import spec_digest
from tests.support.codec_samples import SAMPLES, raw

# Fields that may be left out, and something of their type.
GIVEN: dict[str, Any] = {
    "checkpoint": b"",
    "progress_permille": 0,
    "retry_after_ms": 0,
    "stuck": (),
}
digest_of = REGISTRY.digest_of
MAY_CHANGE = {(AcquireLock, "wait_ms")}


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, IntEnum):
        return next(one for one in type(value) if one is not value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return value + b"\0"
    if isinstance(value, str):
        return value + "\0"
    if isinstance(value, tuple):
        return (*value, "more")
    if isinstance(value, dict):
        return {**value, "more": ""}
    raise AssertionError(value)


def field_names(value: Any) -> list[str]:
    return [name for name in getattr(value, "__dataclass_fields__", ()) if name != "digested"]


def changed(command: Any) -> Iterator[tuple[Any, str, Any]]:
    """(object, field, the whole command with that field changed), for every field at any depth.
    Nothing of it was hashed before."""
    whole = deepcopy(command)
    stack = [whole]
    while stack:
        part = stack.pop()
        for name in field_names(part):
            value = getattr(part, name)
            if isinstance(value, list):
                stack += value
                setattr(part, name, [*value, *value[:1]])
                if value:
                    yield part, name, whole
                setattr(part, name, value)
                continue
            variants = [other(value)] if value is not None else [GIVEN[name]]
            if name in GIVEN and value is not None:
                variants.append(None)
            for variant in variants:
                setattr(part, name, variant)
                yield part, name, whole
            setattr(part, name, value)


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_field_counts(kind: CommandKind) -> None:
    command = decode(kind, raw(kind))
    digest = digest_of(deepcopy(command))
    assert 0 < digest < 1 << 32
    assert digest == digest_of(deepcopy(command))
    fields_seen = 0
    for part, name, whole in changed(command):
        fields_seen += 1
        same = isinstance(command, ClaimTasks) or (type(part), name) in MAY_CHANGE
        assert (digest_of(deepcopy(whole)) == digest) == same, (type(part).__name__, name)
    assert fields_seen


def test_all_commands_of_the_samples_differ() -> None:
    digests = {digest_of(command) for _, command in SAMPLES.values()}
    assert len(digests) == len(SAMPLES)


def test_fields_do_not_run_into_each_other() -> None:
    assert spec_digest(TaskSpec("ab", b"c")) != spec_digest(TaskSpec("a", b"bc"))
    assert digest_of(KvPut(b"ab", b"c")) != digest_of(KvPut(b"a", b"bc"))
    one, two = TaskSpec("q", b"1"), TaskSpec("q", b"2")
    assert digest_of(SubmitTasks([one, two])) != digest_of(SubmitTasks([two, one]))


def test_the_order_of_labels_does_not_count() -> None:
    one = TaskSpec("q", b"", labels={"a": "1", "b": "2"})
    two = TaskSpec("q", b"", labels={"b": "2", "a": "1"})
    assert spec_digest(one) == spec_digest(two)


# ---- replies that end with their session, and acknowledged ones


def session_with_replies(count: int, level: int) -> tuple[Machine, int]:
    machine = Machine(limits=Limits(max_expiries_per_batch=3, max_replies_per_session=count))
    opened = [Request(OpenSession(1_000, b"n"))]
    if level:
        opened.insert(0, Request(RaiseLevel(level)))
    reply = machine.apply(Batch(0, 0, opened)).replies[-1]
    assert isinstance(reply, SessionOpened)
    session_id = reply.session_id
    requests = [
        Request(KvPut(b"k", b"v"), RequestId(session_id, sequence, 0))
        for sequence in range(1, count + 1)
    ]
    machine.apply(Batch(0, 0, requests))
    assert len(machine.state.replies) == count
    return machine, session_id


def test_replies_of_an_ended_session_go_over_several_batches() -> None:
    machine, session_id = session_with_replies(200, level=1)
    kept = []
    while session_id in machine.state.sessions:
        machine.apply(Batch(1_000, 0, []))
        kept.append(len(machine.state.replies))
    assert len(kept) > 3
    assert all(before - after <= 3 * 16 for before, after in zip([200, *kept], kept, strict=False))
    assert kept[-1] == 0
    assert not machine.state.ctx.behind


def test_at_level_0_they_go_at_once() -> None:
    machine, session_id = session_with_replies(200, level=0)
    machine.apply(Batch(1_000, 0, []))
    assert session_id not in machine.state.sessions
    assert len(machine.state.replies) == 0


def test_one_request_does_not_pay_for_all_that_it_acknowledges() -> None:
    machine, session_id = session_with_replies(1_000, level=1)

    def put(sequence: int) -> Reply:
        request_id = RequestId(session_id, sequence, 1_001)
        command = KvPut(b"k", b"w")
        return machine.apply(Batch(0, 0, [Request(command, request_id)])).replies[0]

    assert isinstance(put(1_001), KvPutReply)
    assert len(machine.state.replies) == 1_000 - 128 + 1
    # What is acknowledged is refused at once, whether it is forgotten yet or not.
    assert isinstance(put(1_000), Rejected)
    for sequence in range(1_002, 1_010):
        assert isinstance(put(sequence), KvPutReply)
    assert len(machine.state.replies) == 9
