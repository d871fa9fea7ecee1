"""Key-value pairs with revisions: etcd v3's KV service.

Keys are bytes, or text that stands for its UTF-8. Writes are deduplicated like every other write of
this client, so a repeat after a lost reply neither writes twice nor fails a comparison that the
first attempt itself made false.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Literal

from coord.client.context import ClientContext
from coord.client.kv_pages import can_be_paged, delete_in_pages, is_too_large, read_in_pages
from coord.client.transport.errors import InvalidArgumentError
from coord.client.transport.methods import COMPACT, DELETE_RANGE, GET_KEY, PUT, RANGE, TXN
from coord.client.transport.stale import Stale
from coord.client.types import DeleteResult, KeyValue, PutResult, RangeResult, TxnResult
from coord.pb import etcd_kv_pb2
from coord.pb import etcd_rpc_pb2 as pb

Key = str | bytes
Relation = Literal["=", "!=", "<", ">"]
SortBy = Literal["key", "version", "create", "mod", "value"]

_RELATIONS: dict[str, pb.Compare.CompareResult] = {
    "=": pb.Compare.EQUAL,
    "!=": pb.Compare.NOT_EQUAL,
    "<": pb.Compare.LESS,
    ">": pb.Compare.GREATER,
}
_TARGETS: dict[str, pb.RangeRequest.SortTarget] = {
    "key": pb.RangeRequest.KEY,
    "version": pb.RangeRequest.VERSION,
    "create": pb.RangeRequest.CREATE,
    "mod": pb.RangeRequest.MOD,
    "value": pb.RangeRequest.VALUE,
}


def to_bytes(text: Key) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def prefix_end(prefix: Key) -> bytes:
    """The end of the interval of all keys with this prefix; b"\\0" (no end) when there is none."""
    key = to_bytes(prefix).rstrip(b"\xff")
    return key[:-1] + bytes([key[-1] + 1]) if key else b"\0"


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison of a transaction. With `range_end` it must hold for every key in between."""

    target: Literal["version", "create", "mod", "value", "lease"]
    key: Key
    relation: Relation
    operand: int | Key
    range_end: Key = b""

    @classmethod
    def value(cls, key: Key, relation: Relation, value: Key) -> Compare:
        return cls("value", key, relation, value)

    @classmethod
    def version(cls, key: Key, relation: Relation, version: int) -> Compare:
        return cls("version", key, relation, version)

    @classmethod
    def mod_revision(cls, key: Key, relation: Relation, revision: int) -> Compare:
        return cls("mod", key, relation, revision)

    @classmethod
    def create_revision(cls, key: Key, relation: Relation, revision: int) -> Compare:
        return cls("create", key, relation, revision)

    @classmethod
    def exists(cls, key: Key) -> Compare:
        return cls("create", key, ">", 0)

    @classmethod
    def missing(cls, key: Key) -> Compare:
        return cls("create", key, "=", 0)


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key, or the keys from `key` up to `range_end`, in a transaction."""

    key: Key
    range_end: Key = b""
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key in a transaction."""

    key: Key
    value: Key
    lease: int = 0
    prev_kv: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, or the keys from `key` up to `range_end`, in a transaction."""

    key: Key
    range_end: Key = b""
    prev_kv: bool = False


@dataclass(frozen=True, slots=True)
class Txn:
    """A transaction inside a transaction."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Op, ...] = ()
    failure: tuple[Op, ...] = ()


Op = Get | Put | Delete | Txn


class Kv:
    """Read and write key-value pairs. Reads are linearizable unless `stale` (see `Stale`) or, as
    in etcd, `serializable` is asked for."""

    def __init__(self, core: ClientContext) -> None:
        self._core = core

    async def get(
        self,
        key: Key,
        *,
        revision: int = 0,
        serializable: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> KeyValue | None:
        """The key's value (as it was at `revision`); None when there is none."""
        found = await self.range(
            key, revision=revision, serializable=serializable, stale=stale, timeout_ms=timeout_ms
        )
        return found.kvs[0] if found.kvs else None

    async def get_prefix(
        self,
        prefix: Key,
        *,
        limit: int = 0,
        revision: int = 0,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> list[KeyValue]:
        """All pairs whose key begins so, in order of their keys."""
        found = await self.range(
            _first_key(prefix),
            prefix_end(prefix),
            limit=limit,
            revision=revision,
            stale=stale,
            timeout_ms=timeout_ms,
        )
        return list(found.kvs)

    async def range(
        self,
        key: Key,
        range_end: Key = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        sort_by: SortBy = "key",
        descending: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> RangeResult:
        """One key, or the keys from `key` up to `range_end` (b"\\0": to the last one).

        Keys in their order that do not fit in one answer are read in pages, at one revision. In
        another order, as many as that are refused: ask for fewer."""
        sorted_ = sort_by != "key" or descending
        order = pb.RangeRequest.DESCEND if descending else pb.RangeRequest.ASCEND
        request = pb.RangeRequest(
            key=to_bytes(key),
            range_end=to_bytes(range_end),
            limit=limit,
            revision=revision,
            sort_order=order if sorted_ else pb.RangeRequest.NONE,
            sort_target=_TARGETS[sort_by],
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
        )
        method = RANGE if range_end else GET_KEY
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()

        def ask(one: pb.RangeRequest) -> Awaitable[pb.RangeResponse]:
            return self._core.ask(method, one, deadline, stale)

        try:
            return _range(await ask(request))
        except InvalidArgumentError as error:
            if not (is_too_large(error) and can_be_paged(request)):
                raise
        return _range(await read_in_pages(ask, request))

    async def put(
        self, key: Key, value: Key, *, lease: int = 0, timeout_ms: int | None = None
    ) -> int:
        """Write a pair; returns the revision of the write."""
        request = pb.PutRequest(key=to_bytes(key), value=to_bytes(value), lease=lease)
        deadline = self._core.deadline(timeout_ms)
        reply = await self._core.writer.write_with_metadata(PUT, request, deadline)
        return reply.header.revision

    async def delete(self, key: Key, *, timeout_ms: int | None = None) -> bool:
        """Delete one key; False when there was none."""
        result = await self.delete_range(key, timeout_ms=timeout_ms)
        return result.deleted > 0

    async def delete_prefix(self, prefix: Key, *, timeout_ms: int | None = None) -> int:
        """Delete all keys that begin so; returns how many.

        It is one step if a node takes it as one (`delete_range` always is); otherwise it is done
        page by page."""
        end = prefix_end(prefix)
        deadline = self._core.deadline(timeout_ms)

        async def delete(first: bytes, page_end: bytes) -> int:
            left_ms = max(1, deadline.remaining_ms)
            return (await self.delete_range(first, page_end, timeout_ms=left_ms)).deleted

        async def read_keys(first: bytes, limit: int) -> RangeResult:
            left_ms = max(1, deadline.remaining_ms)
            return await self.range(first, end, limit=limit, keys_only=True, timeout_ms=left_ms)

        try:
            return await delete(_first_key(prefix), end)
        except InvalidArgumentError as error:
            if not is_too_large(error):
                raise
        return await delete_in_pages(read_keys, delete, _first_key(prefix))

    async def delete_range(
        self,
        key: Key,
        range_end: Key = b"",
        *,
        prev_kv: bool = False,
        timeout_ms: int | None = None,
    ) -> DeleteResult:
        """Delete one key, or the keys from `key` up to `range_end`, in one step.

        More keys than a node deletes at once are refused (TOO_LARGE)."""
        request = pb.DeleteRangeRequest(
            key=to_bytes(key), range_end=to_bytes(range_end), prev_kv=prev_kv
        )
        deadline = self._core.deadline(timeout_ms)
        return _delete(await self._core.writer.write_with_metadata(DELETE_RANGE, request, deadline))

    async def txn(
        self,
        compare: Sequence[Compare] = (),
        success: Sequence[Op] = (),
        failure: Sequence[Op] = (),
        *,
        timeout_ms: int | None = None,
    ) -> TxnResult:
        """If all comparisons hold, do `success`, else `failure`; in one step."""
        request = _txn_message(Txn(tuple(compare), tuple(success), tuple(failure)))
        deadline = self._core.deadline(timeout_ms)
        return _txn(await self._core.writer.write_with_metadata(TXN, request, deadline))

    async def compare_and_set(
        self,
        key: Key,
        expected_mod_revision: int,
        value: Key,
        *,
        timeout_ms: int | None = None,
    ) -> bool:
        """Write the pair if its mod_revision is the expected one (0: the key must not exist)."""
        result = await self.txn(
            [Compare.mod_revision(key, "=", expected_mod_revision)],
            [Put(key, value)],
            timeout_ms=timeout_ms,
        )
        return result.succeeded

    async def compact(self, revision: int, *, timeout_ms: int | None = None) -> None:
        """Forget the history before `revision`."""
        request = pb.CompactionRequest(revision=revision)
        deadline = self._core.deadline(timeout_ms)
        await self._core.writer.write_with_metadata(COMPACT, request, deadline)


def _first_key(prefix: Key) -> bytes:
    return to_bytes(prefix) or b"\0"  # an empty key is not allowed; this is the first one there is


def _txn_message(txn: Txn) -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=[_compare_message(c) for c in txn.compare],
        success=[_op_message(op) for op in txn.success],
        failure=[_op_message(op) for op in txn.failure],
    )


def _compare_message(compare: Compare) -> pb.Compare:
    message = pb.Compare(
        key=to_bytes(compare.key),
        range_end=to_bytes(compare.range_end),
        result=_RELATIONS[compare.relation],
    )
    operand = compare.operand
    if compare.target == "value":
        if isinstance(operand, int):
            raise TypeError("a value is compared with bytes or text")
        message.target, message.value = pb.Compare.VALUE, to_bytes(operand)
        return message
    if not isinstance(operand, int):
        raise TypeError(f"{compare.target} is compared with an integer")
    match compare.target:
        case "version":
            message.target, message.version = pb.Compare.VERSION, operand
        case "create":
            message.target, message.create_revision = pb.Compare.CREATE, operand
        case "mod":
            message.target, message.mod_revision = pb.Compare.MOD, operand
        case "lease":
            message.target, message.lease = pb.Compare.LEASE, operand
    return message


def _op_message(op: Op) -> pb.RequestOp:
    match op:
        case Get(key, range_end, limit):
            get = pb.RangeRequest(key=to_bytes(key), range_end=to_bytes(range_end), limit=limit)
            return pb.RequestOp(request_range=get)
        case Put(key, value, lease, prev_kv):
            put = pb.PutRequest(
                key=to_bytes(key), value=to_bytes(value), lease=lease, prev_kv=prev_kv
            )
            return pb.RequestOp(request_put=put)
        case Delete(key, range_end, prev_kv):
            delete = pb.DeleteRangeRequest(
                key=to_bytes(key), range_end=to_bytes(range_end), prev_kv=prev_kv
            )
            return pb.RequestOp(request_delete_range=delete)
        case Txn():
            return pb.RequestOp(request_txn=_txn_message(op))


def _kv(kv: etcd_kv_pb2.KeyValue) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def _range(reply: pb.RangeResponse) -> RangeResult:
    kvs = tuple(_kv(kv) for kv in reply.kvs)
    return RangeResult(kvs, reply.more, reply.count, reply.header.revision)


def _put(reply: pb.PutResponse) -> PutResult:
    previous = _kv(reply.prev_kv) if reply.HasField("prev_kv") else None
    return PutResult(reply.header.revision, previous)


def _delete(reply: pb.DeleteRangeResponse) -> DeleteResult:
    return DeleteResult(
        reply.deleted, reply.header.revision, tuple(_kv(kv) for kv in reply.prev_kvs)
    )


def _txn(reply: pb.TxnResponse) -> TxnResult:
    responses: list[RangeResult | PutResult | DeleteResult | TxnResult] = []
    for response in reply.responses:
        match response.WhichOneof("response"):
            case "response_range":
                responses.append(_range(response.response_range))
            case "response_put":
                responses.append(_put(response.response_put))
            case "response_delete_range":
                responses.append(_delete(response.response_delete_range))
            case "response_txn":
                responses.append(_txn(response.response_txn))
    return TxnResult(reply.succeeded, reply.header.revision, tuple(responses))
