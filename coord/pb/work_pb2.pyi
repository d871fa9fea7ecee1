from coord.pb import common_pb2 as _common_pb2
from coord.pb import stream_pb2 as _stream_pb2
from coord.pb import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerMessage(_message.Message):
    __slots__ = ("hello", "clock_ms", "free_slots", "claim_sequences", "stop", "heartbeat", "complete", "fail", "release")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CLAIM_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    FAIL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    hello: WorkerHello
    clock_ms: int
    free_slots: int
    claim_sequences: _containers.RepeatedScalarFieldContainer[int]
    stop: bool
    heartbeat: _task_pb2.HeartbeatRequest
    complete: _task_pb2.CompleteRequest
    fail: _task_pb2.FailRequest
    release: _task_pb2.ReleaseRequest
    def __init__(self, hello: _Optional[_Union[WorkerHello, _Mapping]] = ..., clock_ms: _Optional[int] = ..., free_slots: _Optional[int] = ..., claim_sequences: _Optional[_Iterable[int]] = ..., stop: _Optional[bool] = ..., heartbeat: _Optional[_Union[_task_pb2.HeartbeatRequest, _Mapping]] = ..., complete: _Optional[_Union[_task_pb2.CompleteRequest, _Mapping]] = ..., fail: _Optional[_Union[_task_pb2.FailRequest, _Mapping]] = ..., release: _Optional[_Union[_task_pb2.ReleaseRequest, _Mapping]] = ...) -> None: ...

class WorkerHello(_message.Message):
    __slots__ = ("session_id", "queues", "lease_ttl_ms", "worker", "held")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    queues: _containers.RepeatedScalarFieldContainer[str]
    lease_ttl_ms: int
    worker: str
    held: _containers.RepeatedCompositeFieldContainer[HeldLease]
    def __init__(self, session_id: _Optional[int] = ..., queues: _Optional[_Iterable[str]] = ..., lease_ttl_ms: _Optional[int] = ..., worker: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldLease, _Mapping]]] = ...) -> None: ...

class HeldLease(_message.Message):
    __slots__ = ("task_id", "fencing_token")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("answers", "assignments", "lost", "unused", "stopped", "closing", "leader_address", "welcome")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[WorkAnswer]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    lost: _containers.RepeatedCompositeFieldContainer[LeaseLost]
    unused: _containers.RepeatedScalarFieldContainer[int]
    stopped: bool
    closing: bool
    leader_address: str
    welcome: bool
    def __init__(self, answers: _Optional[_Iterable[_Union[WorkAnswer, _Mapping]]] = ..., assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., lost: _Optional[_Iterable[_Union[LeaseLost, _Mapping]]] = ..., unused: _Optional[_Iterable[int]] = ..., stopped: _Optional[bool] = ..., closing: _Optional[bool] = ..., leader_address: _Optional[str] = ..., welcome: _Optional[bool] = ...) -> None: ...

class WorkAnswer(_message.Message):
    __slots__ = ("sequence", "results", "failure")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    results: WorkResults
    failure: _stream_pb2.CallFailure
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Union[WorkResults, _Mapping]] = ..., failure: _Optional[_Union[_stream_pb2.CallFailure, _Mapping]] = ...) -> None: ...

class WorkResults(_message.Message):
    __slots__ = ("header", "results")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[_task_pb2.ItemResult]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[_task_pb2.ItemResult, _Mapping]]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("sequence", "claimed", "since_clock_ms")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    SINCE_CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    claimed: _task_pb2.ClaimResponse
    since_clock_ms: int
    def __init__(self, sequence: _Optional[int] = ..., claimed: _Optional[_Union[_task_pb2.ClaimResponse, _Mapping]] = ..., since_clock_ms: _Optional[int] = ...) -> None: ...

class LeaseLost(_message.Message):
    __slots__ = ("task_id", "fencing_token", "state", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    state: _task_pb2.TaskState
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ..., reason: _Optional[str] = ...) -> None: ...
