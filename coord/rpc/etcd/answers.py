"""How large the answers of the key-value store can be, before they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.core.kv.commands import KeyValue, KvDeleteReply, KvPutReply, KvRangeReply, KvTxnReply
from coord.pb import etcd_rpc_pb2 as pb
from coord.rpc.call import Call

_OVERHEAD_BYTES: Final = 64
# Of one key with its value.
_ONE_BYTES: Final = LIMITS.max_key_bytes + LIMITS.max_value_bytes + _OVERHEAD_BYTES
MOST_BYTES: Final = LIMITS.max_answer_bytes


def bound_of_range(range_end: bytes) -> int:
    """Of a read of one key, or of an interval."""
    return MOST_BYTES if range_end else _ONE_BYTES


def bound_of_read(call: Call) -> int:
    """Of a Range that is still to be made."""
    return _parsed(pb.RangeRequest, call, lambda m: bound_of_range(m.range_end))


def bound_of_write(kind: CommandKind, call: Call) -> int:
    """Of a write that is still to be made; 0 if its answer is small."""
    if kind is CommandKind.KV_PUT:
        return _parsed(pb.PutRequest, call, lambda m: _ONE_BYTES if m.prev_kv else 0)
    if kind is CommandKind.KV_DELETE:
        return _parsed(pb.DeleteRangeRequest, call, _of_delete)
    if kind is CommandKind.KV_TXN:
        return _parsed(pb.TxnRequest, call, lambda m: min(_of_txn(m), MOST_BYTES))
    return 0


def _parsed(message: Any, call: Call, bound: Any) -> int:
    request = call.message
    try:
        found: int = bound(message.FromString(call.raw) if request is None else request)
    except DecodeError:
        return 0  # whoever serves it says what is wrong
    return found


def _of_delete(message: pb.DeleteRangeRequest) -> int:
    return bound_of_range(message.range_end) if message.prev_kv else 0


def _of_txn(message: pb.TxnRequest) -> int:
    return max(_of_branch(message.success), _of_branch(message.failure))


def _of_branch(ops: Iterable[pb.RequestOp]) -> int:
    size = 0
    for op in ops:
        which = op.WhichOneof("request")
        if which == "request_range":
            size += bound_of_range(op.request_range.range_end)
        elif which == "request_put":
            size += _ONE_BYTES if op.request_put.prev_kv else 0
        elif which == "request_delete_range":
            size += _of_delete(op.request_delete_range)
        elif which == "request_txn":
            size += _of_txn(op.request_txn)
    return size


def size_of(reply: Any) -> int:
    """Of the answer that shows a reply, about; 0 if it is small."""
    if isinstance(reply, KvPutReply):
        return 0 if reply.prev_kv is None else _bytes_in((reply.prev_kv,))
    if isinstance(reply, KvRangeReply):
        return _bytes_in(reply.kvs)
    if isinstance(reply, KvDeleteReply):
        return _bytes_in(reply.prev_kvs)
    if isinstance(reply, KvTxnReply):
        return sum(size_of(one) for one in reply.responses)
    return 0


def _bytes_in(kvs: Iterable[KeyValue]) -> int:
    return sum([len(kv.key) + len(kv.value) + _OVERHEAD_BYTES for kv in kvs])
