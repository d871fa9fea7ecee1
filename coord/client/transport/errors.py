"""What a call can end with. Every error says whether the operation certainly did not happen
(`DefiniteError`) or may have happened, or may still happen (`IndefiniteError`).

On the wire an error is a gRPC status with a google.rpc.ErrorInfo detail of domain "coord"; without
one (the transport itself failed, or a proxy answered) the status code decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from coord.client.transport.wording import not_connected, own_words
from coord.pb import errors_pb2

ERROR_DOMAIN = "coord"
_DETAILS_KEY = "grpc-status-details-bin"
# gRPC core says this when it never had a connection, so nothing was sent.
_NEVER_SENT = (
    *("failed to connect", "connections to all backends failing", "dns resolution failed"),
    "errors resolving",
)


class CoordError(Exception):
    """Base of everything this client raises.

    `reason` is a stable word (STALE_FENCING_TOKEN, NO_LEADER ...), `metadata` its particulars.
    `retryable`: the same call may succeed if it is made again later."""

    def __init__(
        self,
        message: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retryable = retryable
        self.read_only = False

    @property
    def definite(self) -> bool:
        """The operation certainly did not happen. A read changes nothing, whatever became of it
        (`read_only`)."""
        return isinstance(self, DefiniteError) or self.read_only

    @property
    def retry_after_ms(self) -> int:
        """How long the cluster asks to wait before the next try; 0 = it does not say."""
        return _integer(self.metadata, "retry_after_ms")

    def copy(self) -> CoordError:
        """An equal error of its own: one object raised in many tasks collects their tracebacks."""
        own: CoordError = type(self).__new__(type(self))
        own.args = self.args
        own.__dict__.update(self.__dict__)
        own.__cause__ = self.__cause__
        return own


class DefiniteError(CoordError):
    """The operation did not happen, and will not."""


class IndefiniteError(CoordError):
    """The operation may have happened, or may still happen."""


class InvalidArgumentError(DefiniteError):
    """The call is malformed, too large, or over a limit that waiting does not change."""


class NotFoundError(DefiniteError):
    """The task, queue, lock or key is not known."""


class StaleFencingTokenError(DefiniteError):
    """Somebody else holds the task or lock by now, or nobody does."""

    @property
    def current(self) -> int:
        """The token that is valid now; 0 = not held."""
        return _integer(self.metadata, "current")


class FailedPreconditionError(DefiniteError):
    """The state of the task or lock does not allow it (finished, not finished, not held)."""


class RevisionError(DefiniteError):
    """The revision asked for is compacted or lies in the future."""


class SessionExpiredError(DefiniteError):
    """The session is over: its locks are released, its tasks are back in their queues."""


class ResourceExhaustedError(DefiniteError):
    """The cluster has no room for it (disk full, a limit reached)."""


class BusyError(DefiniteError):
    """Too much is under way; try again after `retry_after_ms`."""


class NoLeaderError(DefiniteError):
    """No leader was found in time; nothing was proposed."""


class UnavailableError(DefiniteError):
    """No node could be reached, or the node refused before it did anything."""


class TooStaleError(UnavailableError):
    """What the nodes that answered have may be older than the call allows."""


class ClientClosedError(DefiniteError):
    """The client was closed, or is used in a process forked after it was made."""


class UnimplementedError(DefiniteError):
    """The node does not know this call (an older version)."""


class LockNotAcquiredError(DefiniteError):
    """The lock was not free within the time allowed."""


class TaskFailedError(DefiniteError):
    """`result()` of a task that ended without one. `state`: DEAD or CANCELLED, by name."""

    def __init__(self, message: str, *, task_id: str, state: str, last_error: str) -> None:
        super().__init__(message, "TASK_FAILED", {"task_id": task_id, "state": state})
        self.task_id = task_id
        self.state = state
        self.last_error = last_error


class OutcomeUnknownError(IndefiniteError):
    """The request was sent and its fate is not known."""


class DeadlineError(IndefiniteError):
    """The time-out ran out while a request was under way."""


class InternalError(IndefiniteError):
    """The node failed in a way it should not; its log says more."""


_STATUS_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_PROPERTIES: Final[Any] = errors_pb2.properties

# What is more than its status code says.
_KINDS: dict[int, type[CoordError]] = {
    errors_pb2.REASON_SESSION_NOT_FOUND: SessionExpiredError,
    errors_pb2.REASON_STALE_FENCING_TOKEN: StaleFencingTokenError,
    errors_pb2.REASON_BUSY: BusyError,
    errors_pb2.REASON_NO_LEADER: NoLeaderError,
    errors_pb2.REASON_NOT_LEADER: NoLeaderError,
    errors_pb2.REASON_TOO_STALE: TooStaleError,
    errors_pb2.REASON_INTERNAL: InternalError,
}
_DEFINITE_KINDS: dict[grpc.StatusCode, type[CoordError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: FailedPreconditionError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.OUT_OF_RANGE: RevisionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
}


def _reasons() -> dict[str, tuple[type[CoordError], bool]]:
    """Every reason that nodes give -> the error it is here, and whether it is retryable: from the
    list in proto/coord/v1/errors.proto."""
    found: dict[str, tuple[type[CoordError], bool]] = {}
    for value in errors_pb2.Reason.DESCRIPTOR.values[1:]:  # the first is no reason
        about = value.GetOptions().Extensions[_PROPERTIES]
        usual = _DEFINITE_KINDS.get(_STATUS_CODES[about.code], InternalError)
        kind = _KINDS.get(value.number, OutcomeUnknownError if about.indefinite else usual)
        found[value.name.removeprefix("REASON_")] = (kind, about.retryable)
    return found


# What this client says of itself travels nowhere.
REASONS: Final[dict[str, tuple[type[CoordError], bool]]] = {
    **_reasons(),
    "UNREACHABLE": (UnavailableError, True),
    "DEADLINE_EXCEEDED": (DeadlineError, True),
}

# Where nothing but the code is known: somebody else has answered, or nobody.
_CODES: Final[dict[grpc.StatusCode, tuple[type[CoordError], bool]]] = {
    **{code: (kind, False) for code, kind in _DEFINITE_KINDS.items()},
    grpc.StatusCode.UNAUTHENTICATED: (UnavailableError, False),
    grpc.StatusCode.PERMISSION_DENIED: (UnavailableError, False),
    grpc.StatusCode.DEADLINE_EXCEEDED: (DeadlineError, True),
    grpc.StatusCode.UNAVAILABLE: (OutcomeUnknownError, True),
    grpc.StatusCode.CANCELLED: (OutcomeUnknownError, True),
    grpc.StatusCode.ABORTED: (OutcomeUnknownError, True),
}


def from_reason(reason: str, message: str, metadata: Mapping[str, str] | None = None) -> CoordError:
    """The error for a reason the cluster gave; an unknown reason is taken at its own word about
    definiteness (metadata `definite`), and as indefinite when it does not say."""
    known = REASONS.get(reason)
    if known is not None:
        kind, retryable = known
        return kind(message, reason, metadata, retryable)
    definite = (metadata or {}).get("definite") == "true"
    return (DefiniteError if definite else IndefiniteError)(message, reason, metadata)


def from_rpc_error(error: grpc.RpcError) -> CoordError:
    """The error for a failed gRPC call."""
    trailing: Iterable[Any] = error.trailing_metadata() or ()
    details = [value for key, value in trailing if key == _DETAILS_KEY]
    return _from_code(error.code(), error.details() or "", details)


def from_status(code: int, message: str, details: bytes) -> CoordError:
    """The error for a call that failed so: a gRPC status code, and a google.rpc.Status."""
    return _from_code(_STATUS_CODES.get(code, grpc.StatusCode.UNKNOWN), message, [details])


_OWN_MESSAGE = "message"  # in the metadata, where the text of an error is etcd's


def _from_code(code: grpc.StatusCode, message: str, details: Sequence[bytes]) -> CoordError:
    raw, message = message, own_words(message or code.name)
    info = _error_info(details)
    if info is not None:
        metadata = dict(info.metadata)
        return from_reason(info.reason, metadata.pop(_OWN_MESSAGE, message), metadata)
    if code is grpc.StatusCode.UNAVAILABLE and raw.lower().startswith(_NEVER_SENT):
        return UnavailableError(not_connected(raw), "UNREACHABLE", retryable=True)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in raw:
        return InvalidArgumentError(message, "MESSAGE_TOO_LARGE")  # gRPC's own bound
    kind, retryable = _CODES.get(code, (InternalError, False))
    return kind(message, code.name, retryable=retryable)


def _error_info(details: Sequence[bytes]) -> error_details_pb2.ErrorInfo | None:
    for value in details:
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
                return info
    return None


def _integer(metadata: Mapping[str, str], key: str) -> int:
    text = metadata.get(key, "")
    return int(text) if text.isdecimal() else 0
