"""What the commands about locks ask for, as a number."""

from __future__ import annotations

from typing import Final

from coord.core.base.mixing import Mix, mix_plain
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock


def _acquire(crc: int, m: AcquireLock) -> int:
    return mix_plain(crc, (m.name, m.holder, m.ttl_ms))


def _held_lock(crc: int, m: ReleaseLock | RefreshLock) -> int:
    return mix_plain(crc, (m.name, m.fencing_token))


def _cancel_wait(crc: int, m: CancelLockWait) -> int:
    return mix_plain(crc, (m.name, m.holder))


DIGESTS: Final[dict[type, Mix]] = {
    AcquireLock: _acquire,
    ReleaseLock: _held_lock,
    RefreshLock: _held_lock,
    CancelLockWait: _cancel_wait,
}
