"""The few messages of etcd's Lease and Lock services that the benchmark calls (fields by number as
in etcd's rpc.proto and v3lock.proto; what is not needed of an answer is left out)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64

_FIELDS: dict[str, tuple[tuple[str, int, Any], ...]] = {
    "LeaseGrantRequest": (("TTL", 1, _INT64), ("ID", 2, _INT64)),
    "LeaseGrantResponse": (("ID", 2, _INT64), ("TTL", 3, _INT64)),
    "LockRequest": (("name", 1, _BYTES), ("lease", 2, _INT64)),
    "LockResponse": (("key", 2, _BYTES),),
    "UnlockRequest": (("key", 1, _BYTES),),
    "UnlockResponse": (),
}


def _make_messages() -> dict[str, type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="bench/etcd_leases.proto", package="bench.etcd", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.etcd.{name}"))
        for name in _FIELDS
    }


_MESSAGES = _make_messages()
LeaseGrantRequest = _MESSAGES["LeaseGrantRequest"]
LockRequest = _MESSAGES["LockRequest"]
UnlockRequest = _MESSAGES["UnlockRequest"]


@dataclass(frozen=True, slots=True)
class Method:
    """One unary method."""

    path: str
    response: str

    def on(self, channel: grpc.aio.Channel) -> Any:
        """What calls it over this channel."""
        return channel.unary_unary(
            self.path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_MESSAGES[self.response].FromString,
        )


LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", "LeaseGrantResponse")
LOCK = Method("/v3lockpb.Lock/Lock", "LockResponse")
UNLOCK = Method("/v3lockpb.Lock/Unlock", "UnlockResponse")
