"""What somebody outside can send: messages of the right types whose fields hold anything, and bytes
that are no message at all. Every method of every service can be had by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from coord.pb import (
    cluster_pb2,
    etcd_rpc_pb2,
    lock_pb2,
    session_pb2,
    stream_pb2,
    task_pb2,
    work_pb2,
)

_FILES = (cluster_pb2, etcd_rpc_pb2, lock_pb2, session_pb2, stream_pb2, task_pb2, work_pb2)
F = FieldDescriptor
_INTEGERS = {
    F.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    F.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    F.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    F.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    F.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}


def methods() -> dict[str, type[Message]]:
    """The request message of every method, by its path; of streams, what the client sends."""
    found = {}
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                kind = GetMessageClass(method.input_type)
                found[f"/{service.full_name}/{method.name}"] = kind
    return found


def garbage(kind: type[Message]) -> st.SearchStrategy[bytes]:
    """Requests for a method: anything that its message can hold, or any bytes, or a part."""
    whole = messages(kind.DESCRIPTOR).map(lambda message: message.SerializeToString())
    cut = st.tuples(whole, st.integers(0, 40)).map(lambda pair: pair[0][: pair[1]])
    return st.one_of(whole, cut, st.binary(max_size=64))


def messages(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[Any]:
    """Messages of a type, with any of its fields set to anything."""
    fields = {field.name: _values(field, depth) for field in _usable(descriptor, depth)}
    kind = GetMessageClass(descriptor)
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: _made(kind, values))


def _usable(descriptor: Descriptor, depth: int) -> Iterator[FieldDescriptor]:
    return (one for one in descriptor.fields if depth or one.message_type is None)


def _made(kind: type[Message], values: dict[str, Any]) -> Message:
    message = kind()
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if _is_map(field):
            getattr(message, name).update(value)
        elif field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if _is_map(field):
        text = st.text(max_size=8)
        return st.dictionaries(text, text, max_size=3)
    if field.message_type is not None:
        single = messages(field.message_type, depth - 1)
    else:
        single = _scalars(field)
    return st.lists(single, max_size=3) if field.is_repeated else single


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind == F.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == F.TYPE_STRING:
        return st.one_of(st.sampled_from(("", "q", "t1", "l", "w")), st.text(max_size=12))
    if field.type == F.TYPE_BYTES:
        return st.binary(max_size=12)
    low, high = _INTEGERS[kind]
    return st.one_of(st.integers(max(low, 0), 3), st.integers(low, high))
