"""Refusals of key-value requests by their form, with etcd's words."""

from __future__ import annotations

import pytest

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason
from coord.core.batch import Command
from coord.core.kv.bounds import validate_range
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompact,
    KvCompare,
    KvDelete,
    KvNothing,
    KvOp,
    KvPut,
    KvRange,
    KvTxn,
)
from coord.core.validate import validate

NO_KEY = "etcdserver: key is not provided"
TOO_MANY = "etcdserver: too many operations in txn request"
TWICE = "etcdserver: duplicate key given in txn request"


def put(key: bytes) -> KvPut:
    return KvPut(key, b"v")


def txn(*success: KvOp, failure: tuple[KvOp, ...] = ()) -> KvTxn:
    return KvTxn([], list(success), list(failure))


def nested(levels: int) -> KvTxn:
    return txn(nested(levels - 1)) if levels > 1 else txn()


def version_of(key: bytes) -> KvCompare:
    return KvCompare(key, CompareTarget.VERSION, CompareResult.EQUAL, 0)


A, B = put(b"a"), put(b"b")


@pytest.mark.parametrize(
    ("command", "reason", "message"),
    [
        (KvPut(b"", b"v"), Reason.INVALID_ARGUMENT, NO_KEY),
        (KvDelete(b"", b"\0"), Reason.INVALID_ARGUMENT, NO_KEY),
        (txn(KvRange(b"")), Reason.INVALID_ARGUMENT, NO_KEY),
        (txn(failure=(txn(put(b"")),)), Reason.INVALID_ARGUMENT, NO_KEY),
        (KvTxn([version_of(b"")], [], []), Reason.INVALID_ARGUMENT, NO_KEY),
        (txn(KvNothing()), Reason.KEY_NOT_FOUND, "etcdserver: key not found"),
        (txn(KvNothing(), A, A), Reason.KEY_NOT_FOUND, "etcdserver: key not found"),
        (txn(put(b""), KvNothing()), Reason.INVALID_ARGUMENT, NO_KEY),
        (
            KvPut(b"k", b"v", ignore_value=True),
            Reason.INVALID_ARGUMENT,
            "etcdserver: value is provided",
        ),
        (
            KvPut(b"k", b"", lease=3, ignore_lease=True),
            Reason.INVALID_ARGUMENT,
            "etcdserver: lease is provided",
        ),
        (
            put(b"k" * (LIMITS.max_key_bytes + 1)),
            Reason.TOO_LARGE,
            "key holds 4097 bytes; at most 4096 are allowed",
        ),
        (
            KvPut(b"k", b"v" * (LIMITS.max_value_bytes + 1)),
            Reason.TOO_LARGE,
            "value holds 1048577 bytes; at most 1048576 are allowed",
        ),
        (
            KvDelete(b"k", b"z" * (LIMITS.max_key_bytes + 2)),
            Reason.TOO_LARGE,
            "range_end holds 4098 bytes; at most 4097 are allowed",
        ),
        (txn(*[KvRange(b"k")] * 513), Reason.TOO_LARGE, TOO_MANY),
        (KvTxn([version_of(b"k")] * 513, [], []), Reason.TOO_LARGE, TOO_MANY),
        (txn(*[txn(KvRange(b"k"))] * 257), Reason.TOO_LARGE, TOO_MANY),
        (nested(33), Reason.TOO_LARGE, "transactions are nested deeper than 32"),
        (txn(A, A), Reason.DUPLICATE_KEY, TWICE),
        (txn(failure=(A, A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(A, KvDelete(b"a")), Reason.DUPLICATE_KEY, TWICE),
        (txn(KvDelete(b"a", b"c"), B), Reason.DUPLICATE_KEY, TWICE),
        (txn(A, txn(A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(A), txn(A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(A), txn(failure=(A,))), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(A, A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(KvDelete(b"a")), A), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(failure=(KvDelete(b"a"),)), A), Reason.DUPLICATE_KEY, TWICE),
        (txn(txn(KvDelete(b"a")), txn(A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(KvDelete(b"a"), txn(A)), Reason.DUPLICATE_KEY, TWICE),
        (txn(KvDelete(b"a", b"c"), KvDelete(b"e", b"g"), put(b"f")), Reason.DUPLICATE_KEY, TWICE),
        (txn(KvDelete(b"a", b"c"), KvDelete(b"b", b"g"), put(b"f")), Reason.DUPLICATE_KEY, TWICE),
    ],
)
def test_refused(command: Command, reason: Reason, message: str) -> None:
    for level in (0, 1):
        rejected = validate(command, level)
        assert rejected is not None
        assert (rejected.reason, rejected.message) == (reason, message)


@pytest.mark.parametrize(
    ("command", "reason", "message"),
    [
        (KvCompact(-1), Reason.INVALID_ARGUMENT, "revision is -1; it must not be negative"),
        (txn(KvDelete(b"a", b"\0"), put(b"\xff")), Reason.DUPLICATE_KEY, TWICE),
        (
            txn(KvRange(b"a", limit=-1)),
            Reason.INVALID_ARGUMENT,
            "limit is -1; it must not be negative",
        ),
    ],
)
def test_refused_before_level_1_and_not_by_etcd(
    command: Command, reason: Reason, message: str
) -> None:
    rejected = validate(command, 0)
    assert rejected is not None
    assert (rejected.reason, rejected.message) == (reason, message)
    assert validate(command, 1) is None


@pytest.mark.parametrize(
    "command",
    [
        KvPut(b"k" * LIMITS.max_key_bytes, b"v" * LIMITS.max_value_bytes),
        KvPut(b"k", b"", ignore_value=True, ignore_lease=True),
        KvDelete(b"b", b"a"),
        KvCompact(0),
        txn(),
        nested(32),
        txn(*[KvRange(b"k")] * 512),
        KvTxn([version_of(b"k")] * 512, [KvRange(b"k")] * 512, [KvRange(b"k")] * 512),
        txn(A, B),
        txn(A, failure=(A,)),
        txn(txn(A, failure=(A,))),
        txn(KvDelete(b"a"), KvDelete(b"a", b"c")),
        txn(KvDelete(b"a", b"b"), B),
        txn(KvDelete(b"c", b"a"), B),
        txn(KvDelete(b"c", b"a"), KvDelete(b"x", b"\0"), KvDelete(b"y", b"z"), B),
        txn(A, KvRange(b"a"), KvRange(b"a")),
    ],
)
def test_accepted(command: Command) -> None:
    assert validate(command, 0) is None
    assert validate(command, 1) is None


def test_a_nested_transaction_counts_with_both_branches_from_level_1_on() -> None:
    """Both are looked at, whichever is taken. One counts 1, and here 2 in each branch."""
    reads = (KvRange(b"k"), KvRange(b"l"))
    at, beyond = [txn(*[txn(*reads, failure=reads)] * count) for count in (102, 103)]
    assert validate(at, 1) is None
    assert validate(beyond, 0) is None
    refused = validate(beyond, 1)
    assert refused is not None
    assert (refused.reason, refused.message) == (Reason.TOO_LARGE, TOO_MANY)


def test_ranges() -> None:
    assert validate_range(KvRange(b"a", b"\0"), 1) is None
    assert validate_range(KvRange(b"a", limit=-1), 1) is None
    for bad in (KvRange(b""), KvRange(b"a" * 5_000)):
        assert validate_range(bad, 1) is not None
