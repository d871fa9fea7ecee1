from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MemberStatus(_message.Message):
    __slots__ = ("id", "address", "role", "term", "commit_index", "applied_index", "reachable", "version", "peer_address", "checked_index", "alarms", "note")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CHECKED_INDEX_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    role: str
    term: int
    commit_index: int
    applied_index: int
    reachable: bool
    version: str
    peer_address: str
    checked_index: int
    alarms: _containers.RepeatedScalarFieldContainer[str]
    note: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., commit_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., reachable: _Optional[bool] = ..., version: _Optional[str] = ..., peer_address: _Optional[str] = ..., checked_index: _Optional[int] = ..., alarms: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("cluster_id", "leader", "term", "revision", "members", "node_id", "state_bytes", "quota_bytes", "quota_alarm")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_ALARM_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    leader: str
    term: int
    revision: int
    members: _containers.RepeatedCompositeFieldContainer[MemberStatus]
    node_id: str
    state_bytes: int
    quota_bytes: int
    quota_alarm: bool
    def __init__(self, cluster_id: _Optional[str] = ..., leader: _Optional[str] = ..., term: _Optional[int] = ..., revision: _Optional[int] = ..., members: _Optional[_Iterable[_Union[MemberStatus, _Mapping]]] = ..., node_id: _Optional[str] = ..., state_bytes: _Optional[int] = ..., quota_bytes: _Optional[int] = ..., quota_alarm: _Optional[bool] = ...) -> None: ...

class NodeStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeStatusResponse(_message.Message):
    __slots__ = ("cluster_id", "member", "leader", "revision", "write_block_reason", "cluster_time_ms", "snapshot_index", "log_first_index", "log_last_index", "state_bytes", "quota_bytes", "quota_alarm")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITE_BLOCK_REASON_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INDEX_FIELD_NUMBER: _ClassVar[int]
    LOG_FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LOG_LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_ALARM_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    member: MemberStatus
    leader: str
    revision: int
    write_block_reason: str
    cluster_time_ms: int
    snapshot_index: int
    log_first_index: int
    log_last_index: int
    state_bytes: int
    quota_bytes: int
    quota_alarm: bool
    def __init__(self, cluster_id: _Optional[str] = ..., member: _Optional[_Union[MemberStatus, _Mapping]] = ..., leader: _Optional[str] = ..., revision: _Optional[int] = ..., write_block_reason: _Optional[str] = ..., cluster_time_ms: _Optional[int] = ..., snapshot_index: _Optional[int] = ..., log_first_index: _Optional[int] = ..., log_last_index: _Optional[int] = ..., state_bytes: _Optional[int] = ..., quota_bytes: _Optional[int] = ..., quota_alarm: _Optional[bool] = ...) -> None: ...

class NodeDigestRequest(_message.Message):
    __slots__ = ("min_applied_index", "wait_ms")
    MIN_APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    min_applied_index: int
    wait_ms: int
    def __init__(self, min_applied_index: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class NodeDigestResponse(_message.Message):
    __slots__ = ("node_id", "applied_index", "revision", "digest")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    applied_index: int
    revision: int
    digest: str
    def __init__(self, node_id: _Optional[str] = ..., applied_index: _Optional[int] = ..., revision: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class TransferLeaderRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: str
    def __init__(self, target: _Optional[str] = ...) -> None: ...

class TransferLeaderResponse(_message.Message):
    __slots__ = ("leader", "term")
    LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    leader: str
    term: int
    def __init__(self, leader: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "address", "peer_address", "learner")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    peer_address: str
    learner: bool
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., peer_address: _Optional[str] = ..., learner: _Optional[bool] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AddMemberRequest(_message.Message):
    __slots__ = ("id", "address", "peer_address")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    peer_address: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., peer_address: _Optional[str] = ...) -> None: ...

class PromoteMemberRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RemoveMemberRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetLevelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RaiseLevelRequest(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: int
    def __init__(self, level: _Optional[int] = ...) -> None: ...

class MemberLevel(_message.Message):
    __slots__ = ("id", "highest", "known")
    ID_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    id: str
    highest: int
    known: bool
    def __init__(self, id: _Optional[str] = ..., highest: _Optional[int] = ..., known: _Optional[bool] = ...) -> None: ...

class LevelResponse(_message.Message):
    __slots__ = ("level", "highest", "members")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    level: int
    highest: int
    members: _containers.RepeatedCompositeFieldContainer[MemberLevel]
    def __init__(self, level: _Optional[int] = ..., highest: _Optional[int] = ..., members: _Optional[_Iterable[_Union[MemberLevel, _Mapping]]] = ...) -> None: ...

class GetQuotaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetQuotaRequest(_message.Message):
    __slots__ = ("limit_bytes",)
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    limit_bytes: int
    def __init__(self, limit_bytes: _Optional[int] = ...) -> None: ...

class QuotaResponse(_message.Message):
    __slots__ = ("bytes", "limit_bytes", "alarm", "automatic")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    limit_bytes: int
    alarm: bool
    automatic: bool
    def __init__(self, bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., alarm: _Optional[bool] = ..., automatic: _Optional[bool] = ...) -> None: ...

class MembersResponse(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...
