"""Refusals to gRPC: status code, text, and google.rpc.ErrorInfo in `grpc-status-details-bin`.

ErrorInfo: domain "coord", `reason` one stable word, and metadata that always says `definite`
("true": nothing was changed; "false": it may have happened or may still happen).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from coord.core.base.refusal import Reason, Rejected
from coord.core.domains import shown_metadata, text_of
from coord.pb import errors_pb2, stream_pb2
from coord.replication.port import (
    BusyError,
    MembershipRefusedError,
    NotLeaderError,
    OutcomeUnknownError,
    ReplicationError,
    WriteBlock,
    WriteBlockedError,
)
from coord.runtime import errors
from coord.runtime.errors import DOMAIN, OWN_MESSAGE, CallError, Code, ServiceReason

DETAILS_KEY: Final = "grpc-status-details-bin"

_PROPERTIES: Final[Any] = errors_pb2.properties
# Of every reason, as proto/coord/v1/errors.proto lists them.
_CODES: Final[dict[str, Code]] = {
    value.name.removeprefix("REASON_"): Code(value.GetOptions().Extensions[_PROPERTIES].code)
    for value in errors_pb2.Reason.DESCRIPTOR.values[1:]  # the first is no reason
}
_GRPC_CODES: Final = {code: grpc.StatusCode[code.name] for code in Code}

_ETCD_TOO_LARGE: Final = "etcdserver: request is too large"
# etcd's own texts (its api/v3rpc/rpctypes/error.go): clients written for etcd compare them.
_ETCD: Final[dict[Reason, tuple[Code, str]]] = {
    Reason.REVISION_COMPACTED: (
        Code.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
    ),
    Reason.REVISION_IN_FUTURE: (
        Code.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision is a future revision",
    ),
    Reason.LEASE_NOT_FOUND: (
        Code.NOT_FOUND,
        "etcdserver: requested lease not found",
    ),
    Reason.QUOTA_EXCEEDED: (
        Code.RESOURCE_EXHAUSTED,
        "etcdserver: mvcc: database space exceeded",
    ),
    Reason.KEY_NOT_FOUND: (Code.INVALID_ARGUMENT, "etcdserver: key not found"),
    Reason.DUPLICATE_KEY: (
        Code.INVALID_ARGUMENT,
        "etcdserver: duplicate key given in txn request",
    ),
}


def code_of(reason: str) -> Code:
    """The status code that a reason comes with."""
    return _CODES[reason]


def grpc_code(code: Code) -> grpc.StatusCode:
    """The same code in gRPC's own type."""
    return _GRPC_CODES[code]


def code_in(status: grpc.StatusCode) -> Code:
    """The code that a call to another node ended with."""
    return Code(status.value[0])


def refusal(rejected: Rejected) -> CallError:
    """The error that shows a refusal of the state machine to a caller."""
    return CallError(
        code_of(rejected.reason),
        rejected.reason.value,
        text_of(rejected),
        metadata=shown_metadata(rejected),
    )


def etcd_refusal(rejected: Rejected) -> CallError:
    """As `refusal`, with the status and the text that etcd itself would send."""
    error = refusal(rejected)
    if rejected.reason in _ETCD:
        error.code, error.message = _ETCD[rejected.reason]
    elif rejected.reason is Reason.TOO_LARGE and "etcdserver" not in error.message:
        # Clients written for etcd compare the whole text; what is too large is told beside it.
        error.metadata[OWN_MESSAGE] = error.message
        error.message = _ETCD_TOO_LARGE
    return error


def replication_failure(error: ReplicationError) -> CallError:
    """The error that shows what `propose` or `read_barrier` raised to a caller."""
    match error:
        case NotLeaderError():
            return errors.not_leader(error.leader_id, "")
        case BusyError():
            return errors.busy(error.retry_after_ms)
        case MembershipRefusedError():
            return CallError(code_of(error.reason), error.reason.value, str(error))
        case WriteBlockedError():
            return _blocked(error.reason)
        case OutcomeUnknownError():
            return errors.outcome_unknown(f"the outcome is not known: {error}")
        case _:
            return CallError(
                Code.UNAVAILABLE,
                ServiceReason.NO_LEADER if error.definite else ServiceReason.OUTCOME_UNKNOWN,
                str(error),
                definite=error.definite,
            )


def _blocked(why: str) -> CallError:
    if why == WriteBlock.DISK_FULL:
        return CallError(
            Code.RESOURCE_EXHAUSTED,
            ServiceReason.DISK_FULL,
            "writes are refused until there is room on a majority's disks",
        )
    return CallError(
        Code.UNAVAILABLE,
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
    status = status_pb2.Status(code=int(error.code), message=error.message, details=[detail])
    return bytes(status.SerializeToString())


def failure_message(error: CallError) -> stream_pb2.CallFailure:
    """What a unary call would have ended with, as a stream tells it."""
    return stream_pb2.CallFailure(
        code=int(error.code),
        message=error.message,
        details=error.details or details_of(error),
    )


async def abort(context: Any, error: CallError) -> NoReturn:
    """End the call with the error's status and details. Raises what ends the handler."""
    details = error.details or details_of(error)
    try:
        await context.abort(grpc_code(error.code), error.message, ((DETAILS_KEY, details),))
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:
        # The caller has gone meanwhile: there is nobody to tell, and nothing to log.
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")


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
