"""Refusals to gRPC: status code, text, and google.rpc.ErrorInfo in `grpc-status-details-bin`.

ErrorInfo: domain "coord", `reason` one stable word, and metadata that always says `definite`
("true": nothing was changed; "false": it may have happened or may still happen).
"""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from coord.core.reasons import Reason
from coord.core.replies import Rejected
from coord.replication.port import (
    BusyError,
    MembershipRefusal,
    MembershipRefusedError,
    NotLeaderError,
    OutcomeUnknownError,
    ReplicationError,
    WriteBlock,
    WriteBlockedError,
)
from coord.rpc import errors
from coord.rpc.errors import DOMAIN, OWN_MESSAGE, CallError, ServiceReason

DETAILS_KEY: Final = "grpc-status-details-bin"

_CODES: Final[dict[Reason, grpc.StatusCode]] = {
    Reason.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.DUPLICATE_KEY: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.LIMIT_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.QUOTA_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.IDEMPOTENCY_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.QUEUE_NOT_EMPTY: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.QUEUE_BEING_DELETED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SESSION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.TASK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.QUEUE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.LOCK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.LEASE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.KEY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.SEQUENCE_REUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEQUENCE_FORGOTTEN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TASK_NOT_CLAIMED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TASK_FINISHED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TASK_NOT_FINISHED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.STALE_FENCING_TOKEN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.LOCK_NOT_HELD: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVISION_COMPACTED: grpc.StatusCode.OUT_OF_RANGE,
    Reason.REVISION_IN_FUTURE: grpc.StatusCode.OUT_OF_RANGE,
}

_MEMBERSHIP_CODES: Final = {
    MembershipRefusal.UNKNOWN_MEMBER: grpc.StatusCode.NOT_FOUND,
    MembershipRefusal.MEMBER_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    MembershipRefusal.ADDRESS_IN_USE: grpc.StatusCode.ALREADY_EXISTS,
}

_ETCD_TOO_LARGE: Final = "etcdserver: request is too large"
# etcd's own texts (its api/v3rpc/rpctypes/error.go): clients written for etcd compare them.
_ETCD: Final[dict[Reason, tuple[grpc.StatusCode, str]]] = {
    Reason.REVISION_COMPACTED: (
        grpc.StatusCode.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
    ),
    Reason.REVISION_IN_FUTURE: (
        grpc.StatusCode.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision is a future revision",
    ),
    Reason.LEASE_NOT_FOUND: (
        grpc.StatusCode.NOT_FOUND,
        "etcdserver: requested lease not found",
    ),
    Reason.QUOTA_EXCEEDED: (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "etcdserver: mvcc: database space exceeded",
    ),
    Reason.KEY_NOT_FOUND: (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: key not found"),
    Reason.DUPLICATE_KEY: (
        grpc.StatusCode.INVALID_ARGUMENT,
        "etcdserver: duplicate key given in txn request",
    ),
}


def code_of(reason: Reason) -> grpc.StatusCode:
    """The gRPC status code a reason of the state machine is shown as."""
    return _CODES[reason]


def refusal(rejected: Rejected) -> CallError:
    """The error that shows a refusal of the state machine to a caller."""
    return CallError(
        _CODES[rejected.reason],
        rejected.reason.value,
        rejected.message,
        metadata=dict(rejected.metadata),
    )


def etcd_refusal(rejected: Rejected) -> CallError:
    """As `refusal`, with the status and the text that etcd itself would send."""
    error = refusal(rejected)
    if rejected.reason in _ETCD:
        error.code, error.message = _ETCD[rejected.reason]
    elif rejected.reason is Reason.TOO_LARGE and "etcdserver" not in rejected.message:
        # Clients written for etcd compare the whole text; what is too large is told beside it.
        error.message = _ETCD_TOO_LARGE
        error.metadata[OWN_MESSAGE] = rejected.message
    return error


def replication_failure(error: ReplicationError) -> CallError:
    """The error that shows what `propose` or `read_barrier` raised to a caller."""
    match error:
        case NotLeaderError():
            return errors.not_leader(error.leader_id, "")
        case BusyError():
            return errors.busy(error.retry_after_ms)
        case MembershipRefusedError():
            code = _MEMBERSHIP_CODES.get(error.reason, grpc.StatusCode.FAILED_PRECONDITION)
            return CallError(code, error.reason.value, str(error))
        case WriteBlockedError():
            return _blocked(error.reason)
        case OutcomeUnknownError():
            return errors.outcome_unknown(f"the outcome is not known: {error}")
        case _:
            return CallError(
                grpc.StatusCode.UNAVAILABLE,
                ServiceReason.NO_LEADER if error.definite else ServiceReason.OUTCOME_UNKNOWN,
                str(error),
                definite=error.definite,
            )


def _blocked(why: str) -> CallError:
    if why == WriteBlock.DISK_FULL:
        return CallError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            ServiceReason.DISK_FULL,
            "writes are refused until there is room on a majority's disks",
        )
    return CallError(
        grpc.StatusCode.UNAVAILABLE,
        ServiceReason.WRITES_BLOCKED,
        f"writes are refused for the moment: {why}",
        metadata={"why": why},
    )


def details_of(error: CallError) -> bytes:
    """The serialized google.rpc.Status for `grpc-status-details-bin`."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={**error.metadata, "definite": "true" if error.definite else "false"},
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=error.code.value[0], message=error.message, details=[detail])
    return bytes(status.SerializeToString())


def reason_in(details: bytes) -> str:
    """The reason in a serialized google.rpc.Status; empty if there is none of ours."""
    info = error_details_pb2.ErrorInfo()
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return ""
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return str(info.reason)
    return ""
