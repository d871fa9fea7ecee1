"""Bounds of the commands about the cluster itself."""

from __future__ import annotations

from typing import Final

from coord.core.base.bounds import Check, check_range, out_of_range
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.cluster.commands import RaiseLevel, SetQuota

_MAX_LEVEL: Final = 1_000
_MAX_QUOTA: Final = 1 << 53


def _raise_level(command: RaiseLevel, level: int) -> Rejected | None:
    return check_range("level", command.level, 1, _MAX_LEVEL)


def _set_quota(command: SetQuota, level: int) -> Rejected | None:
    if 0 < command.limit_bytes < LIMITS.min_quota_bytes:
        return out_of_range(
            "limit_bytes", command.limit_bytes, LIMITS.min_quota_bytes, _MAX_QUOTA, also="0 or "
        )
    return check_range("limit_bytes", command.limit_bytes, 0, _MAX_QUOTA)


BOUNDS: Final[dict[type, Check]] = {
    RaiseLevel: _raise_level,
    SetQuota: _set_quota,
}
