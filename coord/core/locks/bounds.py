"""Bounds of the commands about locks."""

from __future__ import annotations

from typing import Final

from coord.core.base.bounds import (
    MAX_TOKEN,
    Check,
    check_duration,
    check_range,
    out_of_range,
    validate_name,
)
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock


def _acquire_lock(command: AcquireLock, level: int) -> Rejected | None:
    refused = validate_name("name", command.name) or validate_name(
        "holder", command.holder, empty_allowed=True
    )
    if refused:
        return refused
    ttl_ms = command.ttl_ms
    if ttl_ms and not LIMITS.min_ttl_ms <= ttl_ms <= LIMITS.max_ttl_ms:
        return out_of_range(
            "ttl_ms", ttl_ms, LIMITS.min_ttl_ms, LIMITS.max_ttl_ms, also="0 (the session's) or "
        )
    return check_duration("wait_ms", command.wait_ms)


def _held_lock(command: ReleaseLock | RefreshLock, level: int) -> Rejected | None:
    return validate_name("name", command.name) or check_range(
        "fencing_token", command.fencing_token, 0, MAX_TOKEN
    )


def _cancel_wait(command: CancelLockWait, level: int) -> Rejected | None:
    return validate_name("name", command.name) or validate_name(
        "holder", command.holder, empty_allowed=True
    )


BOUNDS: Final[dict[type, Check]] = {
    AcquireLock: _acquire_lock,
    ReleaseLock: _held_lock,
    RefreshLock: _held_lock,
    CancelLockWait: _cancel_wait,
}
