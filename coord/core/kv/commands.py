"""Commands about keys, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class SortOrder(IntEnum):
    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(IntEnum):
    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


@dataclass(slots=True)
class KvRange:
    """`range_end` empty: one key; b"\\0": all keys from `key` on; else the half-open interval."""

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


@dataclass(slots=True)
class KvPut:
    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


@dataclass(slots=True)
class KvDelete:
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class CompareResult(IntEnum):
    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


class CompareTarget(IntEnum):
    VERSION = 0
    CREATE = 1
    MOD = 2
    VALUE = 3
    LEASE = 4


@dataclass(slots=True)
class KvCompare:
    """`operand` is bytes for VALUE and an integer otherwise.

    With `range_end`, it must hold for every key in the interval."""

    key: bytes
    target: CompareTarget
    result: CompareResult
    operand: int | bytes
    range_end: bytes = b""


@dataclass(slots=True)
class KvTxn:
    compare: list[KvCompare]
    success: list[KvOp]
    failure: list[KvOp]


@dataclass(slots=True)
class KvNothing:
    """An operation of a transaction that is empty, or that this build does not know: refused."""


@dataclass(slots=True)
class KvCompact:
    revision: int


KvOp = KvRange | KvPut | KvDelete | KvTxn | KvNothing


class KeyValue(NamedTuple):
    """etcd v3's mvccpb.KeyValue."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class KvRangeReply(NamedTuple):
    kvs: tuple[KeyValue, ...]
    more: bool
    total: int
    revision: int


class KvPutReply(NamedTuple):
    prev_kv: KeyValue | None
    revision: int


class KvDeleteReply(NamedTuple):
    deleted: int
    prev_kvs: tuple[KeyValue, ...]
    revision: int


class KvTxnReply(NamedTuple):
    succeeded: bool
    responses: tuple[KvRangeReply | KvPutReply | KvDeleteReply | KvTxnReply, ...]
    revision: int
