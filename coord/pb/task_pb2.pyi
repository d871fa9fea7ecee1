from coord.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RetentionPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETENTION_POLICY_UNSPECIFIED: _ClassVar[RetentionPolicy]
    RETENTION_POLICY_REFUSE: _ClassVar[RetentionPolicy]
    RETENTION_POLICY_DROP_RESULTS_OLDEST: _ClassVar[RetentionPolicy]

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_SCHEDULED: _ClassVar[TaskState]
    TASK_STATE_READY: _ClassVar[TaskState]
    TASK_STATE_CLAIMED: _ClassVar[TaskState]
    TASK_STATE_COMPLETED: _ClassVar[TaskState]
    TASK_STATE_DEAD: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]
RETENTION_POLICY_UNSPECIFIED: RetentionPolicy
RETENTION_POLICY_REFUSE: RetentionPolicy
RETENTION_POLICY_DROP_RESULTS_OLDEST: RetentionPolicy
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_SCHEDULED: TaskState
TASK_STATE_READY: TaskState
TASK_STATE_CLAIMED: TaskState
TASK_STATE_COMPLETED: TaskState
TASK_STATE_DEAD: TaskState
TASK_STATE_CANCELLED: TaskState

class TaskSpec(_message.Message):
    __slots__ = ("queue", "payload", "priority", "idempotency_key", "type", "delay_ms", "not_before_unix_ms", "max_attempts", "backoff_initial_ms", "backoff_max_ms", "backoff_multiplier_permille", "attempt_timeout_ms", "progress_timeout_ms", "total_timeout_ms", "retention_ms", "labels", "max_lost_leases")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_INITIAL_MS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MAX_MS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MULTIPLIER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_MS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_LOST_LEASES_FIELD_NUMBER: _ClassVar[int]
    queue: str
    payload: bytes
    priority: int
    idempotency_key: str
    type: str
    delay_ms: int
    not_before_unix_ms: int
    max_attempts: int
    backoff_initial_ms: int
    backoff_max_ms: int
    backoff_multiplier_permille: int
    attempt_timeout_ms: int
    progress_timeout_ms: int
    total_timeout_ms: int
    retention_ms: int
    labels: _containers.ScalarMap[str, str]
    max_lost_leases: int
    def __init__(self, queue: _Optional[str] = ..., payload: _Optional[bytes] = ..., priority: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., type: _Optional[str] = ..., delay_ms: _Optional[int] = ..., not_before_unix_ms: _Optional[int] = ..., max_attempts: _Optional[int] = ..., backoff_initial_ms: _Optional[int] = ..., backoff_max_ms: _Optional[int] = ..., backoff_multiplier_permille: _Optional[int] = ..., attempt_timeout_ms: _Optional[int] = ..., progress_timeout_ms: _Optional[int] = ..., total_timeout_ms: _Optional[int] = ..., retention_ms: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., max_lost_leases: _Optional[int] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("header", "tasks")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    tasks: _containers.RepeatedCompositeFieldContainer[TaskSpec]
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TaskSpec, _Mapping]]] = ...) -> None: ...

class SubmittedTask(_message.Message):
    __slots__ = ("task_id", "revision", "existed")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    revision: int
    existed: bool
    def __init__(self, task_id: _Optional[str] = ..., revision: _Optional[int] = ..., existed: _Optional[bool] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("header", "tasks")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    tasks: _containers.RepeatedCompositeFieldContainer[SubmittedTask]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[SubmittedTask, _Mapping]]] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("header", "queues", "max_tasks", "lease_ttl_ms", "wait_ms", "worker")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    MAX_TASKS_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    queues: _containers.RepeatedScalarFieldContainer[str]
    max_tasks: int
    lease_ttl_ms: int
    wait_ms: int
    worker: str
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., queues: _Optional[_Iterable[str]] = ..., max_tasks: _Optional[int] = ..., lease_ttl_ms: _Optional[int] = ..., wait_ms: _Optional[int] = ..., worker: _Optional[str] = ...) -> None: ...

class ClaimedTask(_message.Message):
    __slots__ = ("task_id", "queue", "type", "payload", "fencing_token", "attempt", "max_attempts", "lease_ttl_ms", "checkpoint", "priority", "labels", "attempt_timeout_ms", "progress_timeout_ms", "lost_leases")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    LOST_LEASES_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    queue: str
    type: str
    payload: bytes
    fencing_token: int
    attempt: int
    max_attempts: int
    lease_ttl_ms: int
    checkpoint: bytes
    priority: int
    labels: _containers.ScalarMap[str, str]
    attempt_timeout_ms: int
    progress_timeout_ms: int
    lost_leases: int
    def __init__(self, task_id: _Optional[str] = ..., queue: _Optional[str] = ..., type: _Optional[str] = ..., payload: _Optional[bytes] = ..., fencing_token: _Optional[int] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., lease_ttl_ms: _Optional[int] = ..., checkpoint: _Optional[bytes] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., attempt_timeout_ms: _Optional[int] = ..., progress_timeout_ms: _Optional[int] = ..., lost_leases: _Optional[int] = ...) -> None: ...

class ClaimResponse(_message.Message):
    __slots__ = ("header", "tasks")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    tasks: _containers.RepeatedCompositeFieldContainer[ClaimedTask]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[ClaimedTask, _Mapping]]] = ...) -> None: ...

class HeartbeatItem(_message.Message):
    __slots__ = ("task_id", "fencing_token", "checkpoint", "progress_permille")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    checkpoint: bytes
    progress_permille: int
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., checkpoint: _Optional[bytes] = ..., progress_permille: _Optional[int] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("header", "items")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    items: _containers.RepeatedCompositeFieldContainer[HeartbeatItem]
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., items: _Optional[_Iterable[_Union[HeartbeatItem, _Mapping]]] = ...) -> None: ...

class ItemResult(_message.Message):
    __slots__ = ("error", "state", "revision")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    error: _common_pb2.ItemError
    state: TaskState
    revision: int
    def __init__(self, error: _Optional[_Union[_common_pb2.ItemError, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ..., revision: _Optional[int] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("header", "results")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[ItemResult]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ItemResult, _Mapping]]] = ...) -> None: ...

class CompleteItem(_message.Message):
    __slots__ = ("task_id", "fencing_token", "result")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    result: bytes
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., result: _Optional[bytes] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("header", "items")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    items: _containers.RepeatedCompositeFieldContainer[CompleteItem]
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., items: _Optional[_Iterable[_Union[CompleteItem, _Mapping]]] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("header", "results")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[ItemResult]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ItemResult, _Mapping]]] = ...) -> None: ...

class FailItem(_message.Message):
    __slots__ = ("task_id", "fencing_token", "error", "retryable", "retry_after_ms")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    error: str
    retryable: bool
    retry_after_ms: int
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., error: _Optional[str] = ..., retryable: _Optional[bool] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class FailRequest(_message.Message):
    __slots__ = ("header", "items")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    items: _containers.RepeatedCompositeFieldContainer[FailItem]
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., items: _Optional[_Iterable[_Union[FailItem, _Mapping]]] = ...) -> None: ...

class FailResponse(_message.Message):
    __slots__ = ("header", "results")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[ItemResult]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ItemResult, _Mapping]]] = ...) -> None: ...

class ReleaseItem(_message.Message):
    __slots__ = ("task_id", "fencing_token", "delay_ms", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    fencing_token: int
    delay_ms: int
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., delay_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("header", "items")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    items: _containers.RepeatedCompositeFieldContainer[ReleaseItem]
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., items: _Optional[_Iterable[_Union[ReleaseItem, _Mapping]]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("header", "results")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[ItemResult]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ItemResult, _Mapping]]] = ...) -> None: ...

class TaskInfo(_message.Message):
    __slots__ = ("task_id", "spec", "state", "attempt", "create_revision", "mod_revision", "fencing_token", "session_id", "worker", "lease_remaining_ms", "checkpoint", "progress_permille", "result", "last_error", "ready_in_ms", "submitted_unix_ms", "finished_unix_ms", "lost_leases", "payload_dropped")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    LEASE_REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    READY_IN_MS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LOST_LEASES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_DROPPED_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    spec: TaskSpec
    state: TaskState
    attempt: int
    create_revision: int
    mod_revision: int
    fencing_token: int
    session_id: int
    worker: str
    lease_remaining_ms: int
    checkpoint: bytes
    progress_permille: int
    result: bytes
    last_error: str
    ready_in_ms: int
    submitted_unix_ms: int
    finished_unix_ms: int
    lost_leases: int
    payload_dropped: bool
    def __init__(self, task_id: _Optional[str] = ..., spec: _Optional[_Union[TaskSpec, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ..., attempt: _Optional[int] = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., fencing_token: _Optional[int] = ..., session_id: _Optional[int] = ..., worker: _Optional[str] = ..., lease_remaining_ms: _Optional[int] = ..., checkpoint: _Optional[bytes] = ..., progress_permille: _Optional[int] = ..., result: _Optional[bytes] = ..., last_error: _Optional[str] = ..., ready_in_ms: _Optional[int] = ..., submitted_unix_ms: _Optional[int] = ..., finished_unix_ms: _Optional[int] = ..., lost_leases: _Optional[int] = ..., payload_dropped: _Optional[bool] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("task_id", "omit_payload")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    omit_payload: bool
    def __init__(self, task_id: _Optional[str] = ..., omit_payload: _Optional[bool] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("header", "task")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    task: TaskInfo
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., task: _Optional[_Union[TaskInfo, _Mapping]] = ...) -> None: ...

class WaitTasksRequest(_message.Message):
    __slots__ = ("task_ids", "wait_ms", "omit_payload")
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    OMIT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    wait_ms: int
    omit_payload: bool
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ..., wait_ms: _Optional[int] = ..., omit_payload: _Optional[bool] = ...) -> None: ...

class WaitTasksResponse(_message.Message):
    __slots__ = ("header", "tasks", "all_done", "unknown_task_ids")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    ALL_DONE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    tasks: _containers.RepeatedCompositeFieldContainer[TaskInfo]
    all_done: bool
    unknown_task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TaskInfo, _Mapping]]] = ..., all_done: _Optional[bool] = ..., unknown_task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("queue", "states", "limit", "after_task_id", "omit_payload")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    queue: str
    states: _containers.RepeatedScalarFieldContainer[TaskState]
    limit: int
    after_task_id: str
    omit_payload: bool
    def __init__(self, queue: _Optional[str] = ..., states: _Optional[_Iterable[_Union[TaskState, str]]] = ..., limit: _Optional[int] = ..., after_task_id: _Optional[str] = ..., omit_payload: _Optional[bool] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("header", "tasks", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    tasks: _containers.RepeatedCompositeFieldContainer[TaskInfo]
    more: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TaskInfo, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("header", "task_id", "reason")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    task_id: str
    reason: str
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., task_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelTaskResponse(_message.Message):
    __slots__ = ("header", "state")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    state: TaskState
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ...) -> None: ...

class RetryTaskRequest(_message.Message):
    __slots__ = ("header", "task_id")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    task_id: str
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., task_id: _Optional[str] = ...) -> None: ...

class RetryTaskResponse(_message.Message):
    __slots__ = ("header", "state")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    state: TaskState
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ...) -> None: ...

class RedriveRequest(_message.Message):
    __slots__ = ("header", "queue", "limit")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    queue: str
    limit: int
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., queue: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class RedriveResponse(_message.Message):
    __slots__ = ("header", "redriven")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REDRIVEN_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    redriven: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., redriven: _Optional[int] = ...) -> None: ...

class ExplainTaskRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class ExplainTaskResponse(_message.Message):
    __slots__ = ("header", "state", "summary", "reasons", "ahead", "ready_in_ms", "workers")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    READY_IN_MS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    state: TaskState
    summary: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    ahead: int
    ready_in_ms: int
    workers: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ..., summary: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ..., ahead: _Optional[int] = ..., ready_in_ms: _Optional[int] = ..., workers: _Optional[int] = ...) -> None: ...

class QueueInfo(_message.Message):
    __slots__ = ("queue", "paused", "ready", "scheduled", "claimed", "submitted_total", "completed_total", "dead_total", "cancelled_total", "lost_leases_total", "retried_total", "dead", "oldest_ready_ms", "kept", "size_bytes", "tombstones", "forgotten_early_total", "quota_tasks", "quota_bytes", "policy", "full_by", "deleting")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    DEAD_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    LOST_LEASES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RETRIED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    OLDEST_READY_MS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_EARLY_TOTAL_FIELD_NUMBER: _ClassVar[int]
    QUOTA_TASKS_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    FULL_BY_FIELD_NUMBER: _ClassVar[int]
    DELETING_FIELD_NUMBER: _ClassVar[int]
    queue: str
    paused: bool
    ready: int
    scheduled: int
    claimed: int
    submitted_total: int
    completed_total: int
    dead_total: int
    cancelled_total: int
    lost_leases_total: int
    retried_total: int
    dead: int
    oldest_ready_ms: int
    kept: int
    size_bytes: int
    tombstones: int
    forgotten_early_total: int
    quota_tasks: int
    quota_bytes: int
    policy: RetentionPolicy
    full_by: str
    deleting: bool
    def __init__(self, queue: _Optional[str] = ..., paused: _Optional[bool] = ..., ready: _Optional[int] = ..., scheduled: _Optional[int] = ..., claimed: _Optional[int] = ..., submitted_total: _Optional[int] = ..., completed_total: _Optional[int] = ..., dead_total: _Optional[int] = ..., cancelled_total: _Optional[int] = ..., lost_leases_total: _Optional[int] = ..., retried_total: _Optional[int] = ..., dead: _Optional[int] = ..., oldest_ready_ms: _Optional[int] = ..., kept: _Optional[int] = ..., size_bytes: _Optional[int] = ..., tombstones: _Optional[int] = ..., forgotten_early_total: _Optional[int] = ..., quota_tasks: _Optional[int] = ..., quota_bytes: _Optional[int] = ..., policy: _Optional[_Union[RetentionPolicy, str]] = ..., full_by: _Optional[str] = ..., deleting: _Optional[bool] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ("queue", "limit", "after_queue")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    limit: int
    after_queue: str
    def __init__(self, queue: _Optional[str] = ..., limit: _Optional[int] = ..., after_queue: _Optional[str] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("header", "queues", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    queues: _containers.RepeatedCompositeFieldContainer[QueueInfo]
    more: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., queues: _Optional[_Iterable[_Union[QueueInfo, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class PauseQueueRequest(_message.Message):
    __slots__ = ("header", "queue", "paused")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    queue: str
    paused: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., queue: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class PauseQueueResponse(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ...) -> None: ...

class SetQueueRequest(_message.Message):
    __slots__ = ("header", "queue", "quota_tasks", "quota_bytes", "policy")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    QUOTA_TASKS_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    queue: str
    quota_tasks: int
    quota_bytes: int
    policy: RetentionPolicy
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., queue: _Optional[str] = ..., quota_tasks: _Optional[int] = ..., quota_bytes: _Optional[int] = ..., policy: _Optional[_Union[RetentionPolicy, str]] = ...) -> None: ...

class SetQueueResponse(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ...) -> None: ...

class DeleteQueueRequest(_message.Message):
    __slots__ = ("header", "queue", "force", "limit")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.RequestHeader
    queue: str
    force: bool
    limit: int
    def __init__(self, header: _Optional[_Union[_common_pb2.RequestHeader, _Mapping]] = ..., queue: _Optional[str] = ..., force: _Optional[bool] = ..., limit: _Optional[int] = ...) -> None: ...

class DeleteQueueResponse(_message.Message):
    __slots__ = ("header", "deleted", "remaining")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    deleted: int
    remaining: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., deleted: _Optional[int] = ..., remaining: _Optional[int] = ...) -> None: ...
