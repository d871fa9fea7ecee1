"""etcdserverpb.KV: the key-value store under etcd v3's own API.

Deduplication, which etcd's requests have no field for, is asked for in gRPC metadata:
`coord-session`, `coord-sequence` and `coord-acked-below`, decimal numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from coord.codec import kv as etcd
from coord.codec.commands import request_id as identity
from coord.codec.errors import DecodeError
from coord.codec.kinds import CommandKind
from coord.codec.replies import PART_KEYS
from coord.codec.validate import validate_range, validate_request_id
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.kv.commands import KvDelete, KvRangeReply, KvTxn
from coord.pb import etcd_rpc_pb2 as pb
from coord.rpc.call import SMALL_BYTES, Call, Method
from coord.rpc.etcd import answers as etcd_answers
from coord.rpc.services.context import Backend
from coord.rpc.status import etcd_refusal
from coord.runtime import errors
from coord.runtime.errors import CallError

_PATH = "/etcdserverpb.KV/"
_SESSION_KEY = "coord-session"
_SEQUENCE_KEY = "coord-sequence"
_ACKED_KEY = "coord-acked-below"
_WRITES = {
    "Put": CommandKind.KV_PUT,
    "DeleteRange": CommandKind.KV_DELETE,
    "Txn": CommandKind.KV_TXN,
    "Compact": CommandKind.KV_COMPACT,
}


class EtcdKvService:
    """Range, Put, DeleteRange, Txn and Compact."""

    name = "etcdserverpb.KV"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        for name, kind in _WRITES.items():
            yield Method(
                f"{_PATH}{name}",
                partial(self._write, kind),
                writes=True,
                answer_bytes=partial(etcd_answers.bound_of_write, kind),
            )
        yield Method(
            f"{_PATH}Range",
            self.range,
            local_if=_may_be_stale,
            answer_bytes=etcd_answers.bound_of_read,
        )

    async def _write(self, kind: CommandKind, call: Call) -> bytes:
        backend = self._backend
        command, _ = backend.decode(kind, call, etcd_refusal)
        request_id = _identity(call)
        self._refuse_large(command, request_id)
        reply = await backend.submit(kind, call, command, request_id)
        if isinstance(reply, Rejected):
            raise etcd_refusal(reply)
        await call.room(etcd_answers.size_of(reply), applied=True)
        return backend.respond(call, kind, command, reply)

    def _refuse_large(self, command: Command, request_id: RequestId | None) -> None:
        """Refuse here what apply would refuse for the rows that it names, so that nothing is logged
        for it. Not what may be a repeat: its first attempt may have been carried out, and only
        apply knows."""
        repeatable = request_id is not None and request_id.sequence > 0
        if repeatable or not isinstance(command, KvDelete | KvTxn):
            return
        refused = self._backend.state.kv.too_large(command)
        if refused is not None:
            raise etcd_refusal(refused)

    async def range(self, call: Call) -> bytes:
        """Read keys; `serializable`, or the metadata that ask for a stale read, read what is
        applied here, without asking anybody."""
        backend = self._backend
        request = call.parse(pb.RangeRequest)
        try:
            command = etcd.range_of(request)
        except DecodeError as error:
            raise errors.invalid(str(error)) from error
        refused = validate_range(command, HIGHEST_LEVEL)
        if refused is not None:
            raise etcd_refusal(refused)
        # One key is small as a rule: what it needs is known once it is read.
        size = etcd_answers.MOST_BYTES if command.range_end else 0
        if request.serializable:
            await call.room(size)
            state = backend.read_stale(call)
        else:
            state = await backend.read(call, answer_bytes=size)
        reply = state.kv.range(command, state.revision)
        if isinstance(reply, Rejected):
            raise etcd_refusal(reply)
        backend.encoder.at(backend.leadership.term, state.revision)
        if not size:
            await self._room_for(call, reply)
        if len(reply.kvs) <= PART_KEYS:
            return backend.encoder.encode_range(reply)
        parts = []
        for part in backend.encoder.range_parts(reply):
            parts.append(part)
            if len(parts) > 1:
                await asyncio.sleep(0)
        return b"".join(parts)

    async def _room_for(self, call: Call, reply: KvRangeReply) -> None:
        size = sum([len(kv.value) for kv in reply.kvs])
        if size > SMALL_BYTES:
            await call.room(size)


def _may_be_stale(call: Call) -> bool:
    if call.asks_stale:
        return True
    try:
        return call.parse(pb.RangeRequest).serializable
    except CallError:
        return False  # whoever serves it says what is wrong


def _identity(call: Call) -> RequestId | None:
    metadata = call.metadata
    if _SESSION_KEY not in metadata:
        return None
    numbers = []
    for key in (_SESSION_KEY, _SEQUENCE_KEY, _ACKED_KEY):
        text = metadata.get(key, "0")
        if not isinstance(text, str) or not text.isascii() or not text.isdigit():
            raise errors.invalid(f"metadata {key} is {text!a}; it must be a decimal number", key)
        numbers.append(int(text[:21]))
    request_id = identity(*numbers)
    refused = validate_request_id(request_id)
    if refused is not None:
        raise etcd_refusal(refused)
    return request_id
