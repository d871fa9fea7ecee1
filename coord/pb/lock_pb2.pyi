from coord.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AcquireLockRequest(_message.Message):
    __slots__ = ("header", "name", "holder", "ttl_ms", "wait_ms")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    name: str
    holder: str
    ttl_ms: int
    wait_ms: int
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., name: _Optional[str] = ..., holder: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class AcquireLockResponse(_message.Message):
    __slots__ = ("header", "acquired", "fencing_token", "lock")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ACQUIRED_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    acquired: bool
    fencing_token: int
    lock: LockInfo
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., acquired: _Optional[bool] = ..., fencing_token: _Optional[int] = ..., lock: _Optional[_Union[LockInfo, _Mapping]] = ...) -> None: ...

class ReleaseLockRequest(_message.Message):
    __slots__ = ("header", "name", "fencing_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    name: str
    fencing_token: int
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., name: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ReleaseLockResponse(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ...) -> None: ...

class RefreshLockRequest(_message.Message):
    __slots__ = ("header", "name", "fencing_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    name: str
    fencing_token: int
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., name: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class RefreshLockResponse(_message.Message):
    __slots__ = ("header", "ttl_ms")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    ttl_ms: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class CancelWaitRequest(_message.Message):
    __slots__ = ("header", "name", "holder")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    name: str
    holder: str
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., name: _Optional[str] = ..., holder: _Optional[str] = ...) -> None: ...

class LockWaiter(_message.Message):
    __slots__ = ("session_id", "holder", "ticket")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    holder: str
    ticket: int
    def __init__(self, session_id: _Optional[int] = ..., holder: _Optional[str] = ..., ticket: _Optional[int] = ...) -> None: ...

class LockInfo(_message.Message):
    __slots__ = ("name", "held", "session_id", "holder", "fencing_token", "remaining_ms", "waiters", "waiter_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    WAITERS_FIELD_NUMBER: _ClassVar[int]
    WAITER_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    held: bool
    session_id: int
    holder: str
    fencing_token: int
    remaining_ms: int
    waiters: _containers.RepeatedCompositeFieldContainer[LockWaiter]
    waiter_count: int
    def __init__(self, name: _Optional[str] = ..., held: _Optional[bool] = ..., session_id: _Optional[int] = ..., holder: _Optional[str] = ..., fencing_token: _Optional[int] = ..., remaining_ms: _Optional[int] = ..., waiters: _Optional[_Iterable[_Union[LockWaiter, _Mapping]]] = ..., waiter_count: _Optional[int] = ...) -> None: ...

class GetLockRequest(_message.Message):
    __slots__ = ("name", "max_waiters", "after_ticket")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITERS_FIELD_NUMBER: _ClassVar[int]
    AFTER_TICKET_FIELD_NUMBER: _ClassVar[int]
    name: str
    max_waiters: int
    after_ticket: int
    def __init__(self, name: _Optional[str] = ..., max_waiters: _Optional[int] = ..., after_ticket: _Optional[int] = ...) -> None: ...

class GetLockResponse(_message.Message):
    __slots__ = ("header", "lock", "more_waiters")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    MORE_WAITERS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    lock: LockInfo
    more_waiters: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., lock: _Optional[_Union[LockInfo, _Mapping]] = ..., more_waiters: _Optional[bool] = ...) -> None: ...

class ListLocksRequest(_message.Message):
    __slots__ = ("prefix", "limit", "after_name")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_NAME_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    limit: int
    after_name: str
    def __init__(self, prefix: _Optional[str] = ..., limit: _Optional[int] = ..., after_name: _Optional[str] = ...) -> None: ...

class ListLocksResponse(_message.Message):
    __slots__ = ("header", "locks", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LOCKS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    locks: _containers.RepeatedCompositeFieldContainer[LockInfo]
    more: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., locks: _Optional[_Iterable[_Union[LockInfo, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...
