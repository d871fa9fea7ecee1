"""etcd through gRPC, with stubs made from its own protocol definitions. The same driver works
against any server of that protocol, so also against a node of this store.

The task cycle is three transactions on the task's own key: put; if unchanged, claimed under the
lease; if the claim still holds, deleted and the result written. Nothing is searched for: each
caller claims the task it has put, which is kinder to etcd than a queue would be.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import grpc
import grpc.aio

from bench.drivers.base import Driver, payload
from bench.drivers.etcd_leases import (
    LEASE_GRANT,
    LOCK,
    UNLOCK,
    LeaseGrantRequest,
    LockRequest,
    UnlockRequest,
)
from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation
from coord.channels import aio_channel
from coord.pb import etcd_rpc_pb2 as pb
from coord.pb import etcd_rpc_pb2_grpc as stubs

LEASE_S = 3_600
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class EtcdDriver(Driver):
    """One channel to the leader, which spares the way over a follower."""

    _channel: grpc.aio.Channel
    _kv: Any
    _lease = 0

    def __init__(self) -> None:
        self._others: list[grpc.aio.Channel] = []

    async def open(self, job: Job) -> None:
        self._channel = aio_channel(job.connect["leader"], _OPTIONS)
        self._kv = stubs.KVStub(self._channel)  # type: ignore[no-untyped-call]
        if job.connect.get("leases") == "yes":
            granted = await LEASE_GRANT.on(self._channel)(LeaseGrantRequest(TTL=LEASE_S))
            self._lease = granted.ID

    async def close(self) -> None:
        for channel in (self._channel, *self._others):
            await channel.close()

    def op_cycle(self, job: Job) -> Operation:
        data, claim_mark = payload(job), b"claimed"
        numbers = iter(range(10**12))

        async def cycle(_: int) -> int:
            keys = [f"{job.name}/t/{next(numbers):012}".encode() for _ in range(job.batch)]
            put = await self._txn([], [_put(key, data) for key in keys])
            at = put.header.revision
            claimed = await self._txn(
                [_unchanged_since(key, at) for key in keys],
                [_put(key, claim_mark, self._lease) for key in keys],
            )
            at = claimed.header.revision
            ops = [_delete(key) for key in keys]
            ops += [_put(key.replace(b"/t/", b"/r/"), data) for key in keys]
            await self._txn([_unchanged_since(key, at) for key in keys], ops)
            return job.batch

        return cycle

    def op_fill(self, job: Job) -> Operation:
        data = payload(job)
        numbers = iter(range(10**12))

        async def fill(_: int) -> int:
            keys = [f"{job.name}/f/{next(numbers):012}".encode() for _ in range(job.batch)]
            await self._txn([], [_put(key, data) for key in keys])
            return job.batch

        return fill

    def op_put(self, job: Job) -> Operation:
        data = payload(job)

        async def put(caller: int) -> int:
            key = f"{job.name}/{caller % 1000}".encode()
            await self._kv.Put(pb.PutRequest(key=key, value=data))
            return 1

        return put

    def op_steady_put(self, job: Job) -> Operation:
        """Goes on at the next endpoint whenever one does not answer within half a second."""
        data = payload(job)
        endpoints = job.connect["endpoints"].split(",")
        channels = [aio_channel(address) for address in endpoints]
        self._others += channels
        kvs: list[Any] = [stubs.KVStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
        at = itertools.cycle(kvs)
        current = next(at)

        async def put(caller: int) -> int:
            nonlocal current
            request = pb.PutRequest(key=f"{job.name}/{caller}".encode(), value=data)
            while True:
                used = current
                try:
                    await used.Put(request, timeout=0.5)
                except grpc.aio.AioRpcError:
                    if used is current:
                        current = next(at)
                    await asyncio.sleep(0.01)
                else:
                    return 1

        return put

    def op_unary_get(self, job: Job) -> Operation:
        return self.op_get(job)

    def op_probe(self, job: Job) -> Operation:
        """A read that needs no round trip between nodes: how soon the node looks at it."""

        async def probe(_: int) -> int:
            await self._kv.Range(pb.RangeRequest(key=b"nothing", serializable=True))
            return 1

        return probe

    def op_get(self, job: Job) -> Operation:
        data = payload(job)
        written: dict[bytes, asyncio.Future[Any]] = {}

        async def get(caller: int) -> int:
            key = f"{job.name}/{caller % 1000}".encode()
            if key not in written:
                request = pb.PutRequest(key=key, value=data)
                written[key] = asyncio.ensure_future(self._kv.Put(request))
                await written[key]
            found = await self._kv.Range(pb.RangeRequest(key=key))
            if not found.kvs:
                raise BenchError(f"{key!r} is gone")
            return 1

        return get

    def op_txn(self, job: Job) -> Operation:
        data = payload(job)
        versions: dict[bytes, int] = {}

        async def txn(caller: int) -> int:
            key = f"{job.name}/{caller}".encode()
            version = versions.get(key, 0)
            compare = pb.Compare(
                key=key, target=pb.Compare.VERSION, result=pb.Compare.EQUAL, version=version
            )
            await self._txn([compare], [_put(key, data)])
            versions[key] = version + 1
            return 1

        return txn

    def op_lock(self, job: Job) -> Operation:
        """etcd's own lock service, under the session's lease."""
        acquire, release = LOCK.on(self._channel), UNLOCK.on(self._channel)

        async def lock(caller: int) -> int:
            name = f"{job.name}/{caller}".encode()
            held = await acquire(LockRequest(name=name, lease=self._lease))
            await release(UnlockRequest(key=held.key))
            return 1

        return lock

    async def _txn(self, compare: list[pb.Compare], success: list[pb.RequestOp]) -> pb.TxnResponse:
        reply: pb.TxnResponse = await self._kv.Txn(pb.TxnRequest(compare=compare, success=success))
        if not reply.succeeded:
            raise BenchError("a comparison failed although nobody else uses the key")
        return reply


def _put(key: bytes, value: bytes, lease: int = 0) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))


def _delete(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def _unchanged_since(key: bytes, revision: int) -> pb.Compare:
    return pb.Compare(
        key=key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=revision
    )
