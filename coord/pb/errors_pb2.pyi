from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_INVALID_ARGUMENT: _ClassVar[Reason]
    REASON_TOO_LARGE: _ClassVar[Reason]
    REASON_MESSAGE_TOO_LARGE: _ClassVar[Reason]
    REASON_DUPLICATE_KEY: _ClassVar[Reason]
    REASON_UNIMPLEMENTED: _ClassVar[Reason]
    REASON_LEVEL_TOO_LOW: _ClassVar[Reason]
    REASON_SESSION_NOT_FOUND: _ClassVar[Reason]
    REASON_SEQUENCE_FORGOTTEN: _ClassVar[Reason]
    REASON_SEQUENCE_REUSED: _ClassVar[Reason]
    REASON_TASK_NOT_FOUND: _ClassVar[Reason]
    REASON_TASK_NOT_CLAIMED: _ClassVar[Reason]
    REASON_TASK_FINISHED: _ClassVar[Reason]
    REASON_TASK_NOT_FINISHED: _ClassVar[Reason]
    REASON_STALE_FENCING_TOKEN: _ClassVar[Reason]
    REASON_IDEMPOTENCY_CONFLICT: _ClassVar[Reason]
    REASON_QUEUE_NOT_FOUND: _ClassVar[Reason]
    REASON_QUEUE_NOT_EMPTY: _ClassVar[Reason]
    REASON_QUEUE_BEING_DELETED: _ClassVar[Reason]
    REASON_LOCK_NOT_FOUND: _ClassVar[Reason]
    REASON_LOCK_NOT_HELD: _ClassVar[Reason]
    REASON_KEY_NOT_FOUND: _ClassVar[Reason]
    REASON_LEASE_NOT_FOUND: _ClassVar[Reason]
    REASON_REVISION_COMPACTED: _ClassVar[Reason]
    REASON_REVISION_IN_FUTURE: _ClassVar[Reason]
    REASON_LIMIT_EXCEEDED: _ClassVar[Reason]
    REASON_QUOTA_EXCEEDED: _ClassVar[Reason]
    REASON_BUSY: _ClassVar[Reason]
    REASON_DISK_FULL: _ClassVar[Reason]
    REASON_LOG_TOO_LARGE: _ClassVar[Reason]
    REASON_NO_LEADER: _ClassVar[Reason]
    REASON_NOT_LEADER: _ClassVar[Reason]
    REASON_SHUTTING_DOWN: _ClassVar[Reason]
    REASON_WRITES_BLOCKED: _ClassVar[Reason]
    REASON_TOO_STALE: _ClassVar[Reason]
    REASON_OUTCOME_UNKNOWN: _ClassVar[Reason]
    REASON_DEADLINE: _ClassVar[Reason]
    REASON_DEADLINE_TOO_SHORT: _ClassVar[Reason]
    REASON_INTERNAL: _ClassVar[Reason]
    REASON_TRANSFER_FAILED: _ClassVar[Reason]
    REASON_MEMBERS_BEHIND: _ClassVar[Reason]
    REASON_UNKNOWN_MEMBER: _ClassVar[Reason]
    REASON_MEMBER_EXISTS: _ClassVar[Reason]
    REASON_ADDRESS_IN_USE: _ClassVar[Reason]
    REASON_ALREADY_VOTER: _ClassVar[Reason]
    REASON_TOO_MANY_MEMBERS: _ClassVar[Reason]
    REASON_LAST_VOTER: _ClassVar[Reason]
    REASON_LEADER_LEAVES: _ClassVar[Reason]
    REASON_QUORUM_AT_RISK: _ClassVar[Reason]
    REASON_CHANGE_IN_PROGRESS: _ClassVar[Reason]
    REASON_LEADER_NOT_READY: _ClassVar[Reason]
    REASON_LEARNER_BEHIND: _ClassVar[Reason]
REASON_UNSPECIFIED: Reason
REASON_INVALID_ARGUMENT: Reason
REASON_TOO_LARGE: Reason
REASON_MESSAGE_TOO_LARGE: Reason
REASON_DUPLICATE_KEY: Reason
REASON_UNIMPLEMENTED: Reason
REASON_LEVEL_TOO_LOW: Reason
REASON_SESSION_NOT_FOUND: Reason
REASON_SEQUENCE_FORGOTTEN: Reason
REASON_SEQUENCE_REUSED: Reason
REASON_TASK_NOT_FOUND: Reason
REASON_TASK_NOT_CLAIMED: Reason
REASON_TASK_FINISHED: Reason
REASON_TASK_NOT_FINISHED: Reason
REASON_STALE_FENCING_TOKEN: Reason
REASON_IDEMPOTENCY_CONFLICT: Reason
REASON_QUEUE_NOT_FOUND: Reason
REASON_QUEUE_NOT_EMPTY: Reason
REASON_QUEUE_BEING_DELETED: Reason
REASON_LOCK_NOT_FOUND: Reason
REASON_LOCK_NOT_HELD: Reason
REASON_KEY_NOT_FOUND: Reason
REASON_LEASE_NOT_FOUND: Reason
REASON_REVISION_COMPACTED: Reason
REASON_REVISION_IN_FUTURE: Reason
REASON_LIMIT_EXCEEDED: Reason
REASON_QUOTA_EXCEEDED: Reason
REASON_BUSY: Reason
REASON_DISK_FULL: Reason
REASON_LOG_TOO_LARGE: Reason
REASON_NO_LEADER: Reason
REASON_NOT_LEADER: Reason
REASON_SHUTTING_DOWN: Reason
REASON_WRITES_BLOCKED: Reason
REASON_TOO_STALE: Reason
REASON_OUTCOME_UNKNOWN: Reason
REASON_DEADLINE: Reason
REASON_DEADLINE_TOO_SHORT: Reason
REASON_INTERNAL: Reason
REASON_TRANSFER_FAILED: Reason
REASON_MEMBERS_BEHIND: Reason
REASON_UNKNOWN_MEMBER: Reason
REASON_MEMBER_EXISTS: Reason
REASON_ADDRESS_IN_USE: Reason
REASON_ALREADY_VOTER: Reason
REASON_TOO_MANY_MEMBERS: Reason
REASON_LAST_VOTER: Reason
REASON_LEADER_LEAVES: Reason
REASON_QUORUM_AT_RISK: Reason
REASON_CHANGE_IN_PROGRESS: Reason
REASON_LEADER_NOT_READY: Reason
REASON_LEARNER_BEHIND: Reason
PROPERTIES_FIELD_NUMBER: _ClassVar[int]
properties: _descriptor.FieldDescriptor

class ReasonProperties(_message.Message):
    __slots__ = ("code", "indefinite", "retryable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    INDEFINITE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    code: int
    indefinite: bool
    retryable: bool
    def __init__(self, code: _Optional[int] = ..., indefinite: _Optional[bool] = ..., retryable: _Optional[bool] = ...) -> None: ...
