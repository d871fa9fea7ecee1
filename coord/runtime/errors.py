"""How a call can end badly: one exception with its status code and its machine-readable words.

A refusal of the state machine is a `Reason`; what the service itself refuses is a `ServiceReason`.
Both travel as google.rpc.ErrorInfo (see `coord.rpc.status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum

DOMAIN = "coord"
OWN_MESSAGE = "message"
"""Key in the metadata of an error whose text is etcd's: what this store says about it."""


class Code(IntEnum):
    """The canonical status codes (google/rpc/code.proto), as far as a node gives them or passes
    them on from another node."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServiceReason(StrEnum):
    """Why a node, rather than the state machine, ends a call with an error."""

    NO_LEADER = "NO_LEADER"
    NOT_LEADER = "NOT_LEADER"  # metadata: leader, leader_address
    BUSY = "BUSY"  # metadata: retry_after_ms
    DISK_FULL = "DISK_FULL"
    LOG_TOO_LARGE = "LOG_TOO_LARGE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"  # indefinite
    DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
    DEADLINE = "DEADLINE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    WRITES_BLOCKED = "WRITES_BLOCKED"  # metadata: why
    TOO_STALE = "TOO_STALE"  # metadata: age_ms, max_stale_ms
    TRANSFER_FAILED = "TRANSFER_FAILED"
    LEVEL_TOO_LOW = "LEVEL_TOO_LOW"  # metadata: level, needed
    MEMBERS_BEHIND = "MEMBERS_BEHIND"  # metadata: level
    INTERNAL = "INTERNAL"


class CallError(Exception):
    """Ends a call with a status. `definite`: the operation certainly did not happen.

    `details`: a ready google.rpc.Status to send (another node's), instead of one made of these."""

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        definite: bool = True,
        details: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.definite = definite
        self.details = details


def no_leader() -> CallError:
    """No leader became known in time; nothing was done."""
    return CallError(
        Code.UNAVAILABLE,
        ServiceReason.NO_LEADER,
        "no leader is known: the cluster has no majority, or is electing; try again",
    )


def not_leader(leader_id: str | None, address: str) -> CallError:
    """This node does not lead and must not forward; nothing was done."""
    if leader_id is None:
        return no_leader()
    return CallError(
        Code.UNAVAILABLE,
        ServiceReason.NOT_LEADER,
        f"not the leader; {leader_id} at {address or 'an unknown address'} is",
        metadata={"leader": leader_id, "leader_address": address},
    )


def busy(retry_after_ms: int) -> CallError:
    """Too much is waiting already; nothing was done."""
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        ServiceReason.BUSY,
        f"too many requests are waiting; try again after {retry_after_ms} ms",
        metadata={"retry_after_ms": str(retry_after_ms)},
    )


def log_too_large() -> CallError:
    """The log waits for a snapshot and must not take the whole disk until then; nothing was
    done."""
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        ServiceReason.LOG_TOO_LARGE,
        "the log is too large, and no snapshot has replaced it yet: until then nothing is taken "
        "that adds to the state, while reads, completions and deletes go on; the leader's log says "
        "whether snapshots fail, and why",
    )


def shutting_down() -> CallError:
    """This node is on its way out; nothing was done, another node can be asked."""
    return CallError(
        Code.UNAVAILABLE,
        ServiceReason.SHUTTING_DOWN,
        "this node is shutting down; ask another",
    )


def too_stale(age_ms: int | None, max_stale_ms: int) -> CallError:
    """What is applied here may be older than the caller accepts; another node can be asked."""
    age = "of unknown age" if age_ms is None else f"up to {age_ms} ms old"
    return CallError(
        Code.UNAVAILABLE,
        ServiceReason.TOO_STALE,
        f"what this node has is {age}; at most {max_stale_ms} ms is asked for",
        metadata={
            "age_ms": "unknown" if age_ms is None else str(age_ms),
            "max_stale_ms": str(max_stale_ms),
        },
    )


def outcome_unknown(message: str) -> CallError:
    """The operation may have happened, or may still happen."""
    return CallError(Code.UNAVAILABLE, ServiceReason.OUTCOME_UNKNOWN, message, definite=False)


def deadline_passed() -> CallError:
    """The caller's deadline passed before its request was logged; nothing was done."""
    return CallError(
        Code.DEADLINE_EXCEEDED,
        ServiceReason.DEADLINE,
        "the deadline passed before the request was logged",
    )


def unimplemented(path: str) -> CallError:
    """A newer client asks for what this node does not know; nothing was done."""
    return CallError(
        Code.UNIMPLEMENTED,
        ServiceReason.UNIMPLEMENTED,
        f"this node has no method {path}",
    )


def message_too_large(size: int, limit: int, *, like_etcd: bool = False) -> CallError:
    """The request is larger than a node takes; nothing was done. `like_etcd`: with the code and the
    text that etcd's server gives, and ours in the metadata."""
    message = f"the request is {size} bytes; at most {limit} are allowed"
    metadata = {"size": str(size), "limit": str(limit)}
    if not like_etcd:
        return CallError(
            Code.INVALID_ARGUMENT,
            ServiceReason.MESSAGE_TOO_LARGE,
            message,
            metadata=metadata,
        )
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        ServiceReason.MESSAGE_TOO_LARGE,
        f"grpc: received message larger than max ({size} vs. {limit})",
        metadata={**metadata, OWN_MESSAGE: message},
    )


def invalid(message: str, field: str = "") -> CallError:
    """The request breaks a rule; nothing was done."""
    return CallError(
        Code.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        message,
        metadata={"field": field} if field else None,
    )


def level_too_low(what: str, level: int, needed: int) -> CallError:
    """The cluster's feature level does not know this yet; nothing was done."""
    return CallError(
        Code.FAILED_PRECONDITION,
        ServiceReason.LEVEL_TOO_LOW,
        f"{what} needs feature level {needed}, and the cluster is at {level}: upgrade every node, "
        f"then run `coord cluster level raise`",
        metadata={"level": str(level), "needed": str(needed)},
    )


def members_behind(level: int, said: str) -> CallError:
    """Not every member's build supports a feature level; nothing was done."""
    return CallError(
        Code.FAILED_PRECONDITION,
        ServiceReason.MEMBERS_BEHIND,
        f"feature level {level} needs a build that supports it on every member: {said}",
        metadata={"level": str(level)},
    )


def internal() -> CallError:
    """A bug. What is behind it is in the node's log, not in the answer."""
    return CallError(
        Code.INTERNAL,
        ServiceReason.INTERNAL,
        "internal error; the node's log says more",
        definite=False,
    )


def response_too_large(limit: int, advice: str = "ask for less at a time") -> CallError:
    """The answer would be larger than a node sends; nothing was done."""
    return CallError(
        Code.RESOURCE_EXHAUSTED,
        ServiceReason.MESSAGE_TOO_LARGE,
        f"the answer would be larger than {limit} bytes; {advice}",
        metadata={"limit": str(limit)},
    )
