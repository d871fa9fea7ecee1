"""Requests and responses of the etcd v3 KV service <-> core commands and replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

from coord.codec.errors import DecodeError
from coord.codec.kinds import CommandKind, Decoder
from coord.core.base.request import Done
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KeyValue,
    KvCompact,
    KvCompare,
    KvDelete,
    KvDeleteReply,
    KvNothing,
    KvOp,
    KvPut,
    KvPutReply,
    KvRange,
    KvRangeReply,
    KvTxn,
    KvTxnReply,
    SortOrder,
    SortTarget,
)
from coord.pb import etcd_kv_pb2 as kv_pb
from coord.pb import etcd_rpc_pb2 as pb

# ---- requests

K = CommandKind


def range_of(m: pb.RangeRequest) -> KvRange:
    """The range that a RangeRequest names. A read, so it has no number in the log.

    Raises DecodeError."""
    try:
        order, target = SortOrder(m.sort_order), SortTarget(m.sort_target)
    except ValueError:
        raise DecodeError("etcdserver: invalid sort option") from None
    return KvRange(
        m.key,
        m.range_end,
        m.limit,
        m.revision,
        order,
        target,
        m.keys_only,
        m.count_only,
        m.min_mod_revision,
        m.max_mod_revision,
        m.min_create_revision,
        m.max_create_revision,
    )


def put_of(m: pb.PutRequest) -> KvPut:
    return KvPut(m.key, m.value, m.lease, m.prev_kv, m.ignore_value, m.ignore_lease)


def delete_of(m: pb.DeleteRangeRequest) -> KvDelete:
    return KvDelete(m.key, m.range_end, m.prev_kv)


def compact_of(m: pb.CompactionRequest) -> KvCompact:
    return KvCompact(m.revision)


def txn_of(m: pb.TxnRequest) -> KvTxn:
    return KvTxn(
        [_compare_of(item) for item in m.compare],
        [_op_of(item) for item in m.success],
        [_op_of(item) for item in m.failure],
    )


def _compare_of(m: pb.Compare) -> KvCompare:
    try:
        target, result = CompareTarget(m.target), CompareResult(m.result)
    except ValueError as error:
        raise DecodeError(f"a comparison of the transaction is not known: {error}") from None
    return KvCompare(m.key, target, result, _operand(m, target), m.range_end)


def _operand(m: pb.Compare, target: CompareTarget) -> int | bytes:
    """The member of the union that the target names; one that is not set reads as 0 or empty."""
    match target:
        case CompareTarget.VERSION:
            return m.version
        case CompareTarget.CREATE:
            return m.create_revision
        case CompareTarget.MOD:
            return m.mod_revision
        case CompareTarget.VALUE:
            return m.value
        case CompareTarget.LEASE:
            return m.lease
        case _:
            assert_never(target)


def _op_of(m: pb.RequestOp) -> KvOp:
    which = m.WhichOneof("request")
    if which == "request_put":
        return put_of(m.request_put)
    if which == "request_range":
        return range_of(m.request_range)
    if which == "request_delete_range":
        return delete_of(m.request_delete_range)
    if which == "request_txn":
        return txn_of(m.request_txn)
    return KvNothing()  # empty, or not known: refused in its turn, as etcd does


# ---- responses

_KEY_VALUE: Final = kv_pb.KeyValue


def key_value(kv: KeyValue) -> kv_pb.KeyValue:
    return _KEY_VALUE(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        lease=kv.lease,
    )


def _add_all(kvs: Sequence[KeyValue], into: Any) -> None:
    """Make the pairs in place: one that is made first and put into the list then is copied."""
    add = into.add
    for key, value, create_revision, mod_revision, version, lease in kvs:
        made = add(
            key=key, create_revision=create_revision, mod_revision=mod_revision, version=version
        )
        if value:
            made.value = value
        if lease:
            made.lease = lease


def range_response(reply: KvRangeReply, header: pb.ResponseHeader) -> pb.RangeResponse:
    message = pb.RangeResponse(header=header, more=reply.more, count=reply.total)
    _add_all(reply.kvs, message.kvs)
    return message


def put_response(reply: KvPutReply, header: pb.ResponseHeader) -> pb.PutResponse:
    previous = reply.prev_kv
    if previous is None:
        return pb.PutResponse(header=header)
    return pb.PutResponse(header=header, prev_kv=key_value(previous))


def delete_response(reply: KvDeleteReply, header: pb.ResponseHeader) -> pb.DeleteRangeResponse:
    message = pb.DeleteRangeResponse(header=header, deleted=reply.deleted)
    _add_all(reply.prev_kvs, message.prev_kvs)
    return message


def txn_response(reply: KvTxnReply, header: pb.ResponseHeader) -> pb.TxnResponse:
    return pb.TxnResponse(
        header=header,
        succeeded=reply.succeeded,
        responses=[_response_op(item) for item in reply.responses],
    )


def _response_op(
    reply: KvRangeReply | KvPutReply | KvDeleteReply | KvTxnReply,
) -> pb.ResponseOp:
    # As in etcd, the header inside a transaction says nothing but the revision; that of a nested
    # transaction says nothing at all.
    header = pb.ResponseHeader(revision=reply.revision)
    match reply:
        case KvRangeReply():
            return pb.ResponseOp(response_range=range_response(reply, header))
        case KvPutReply():
            return pb.ResponseOp(response_put=put_response(reply, header))
        case KvDeleteReply():
            return pb.ResponseOp(response_delete_range=delete_response(reply, header))
        case KvTxnReply():
            return pb.ResponseOp(response_txn=txn_response(reply, pb.ResponseHeader()))
        case _:
            assert_never(reply)


def response(reply: Any, header: pb.ResponseHeader) -> Any:
    """The response message of a put, a delete, a transaction or a compaction."""
    match reply:
        case KvPutReply():
            return put_response(reply, header)
        case KvDeleteReply():
            return delete_response(reply, header)
        case KvTxnReply():
            return txn_response(reply, header)
        case Done():
            return pb.CompactionResponse(header=header)
        case _:
            raise TypeError(f"no key-value response for {type(reply).__name__}")


DECODERS: Final[dict[CommandKind, Decoder]] = {
    K.KV_PUT: put_of,
    K.KV_DELETE: delete_of,
    K.KV_TXN: txn_of,
    K.KV_COMPACT: compact_of,
}
