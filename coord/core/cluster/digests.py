"""What the commands about the cluster ask for, as a number."""

from __future__ import annotations

from typing import Final

from coord.core.base.mixing import Mix, mix_plain
from coord.core.cluster.commands import RaiseLevel, SetQuota


def _raise_level(crc: int, m: RaiseLevel) -> int:
    return mix_plain(crc, (m.level,))


def _set_quota(crc: int, m: SetQuota) -> int:
    return mix_plain(crc, (m.limit_bytes,))


DIGESTS: Final[dict[type, Mix]] = {
    RaiseLevel: _raise_level,
    SetQuota: _set_quota,
}
