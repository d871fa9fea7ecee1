"""What the commands about keys ask for, as a number."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from coord.core.base.mixing import Mix, mix_bytes, mix_plain, started
from coord.core.kv.commands import KvCompact, KvCompare, KvDelete, KvOp, KvPut, KvRange, KvTxn


def _range(crc: int, m: KvRange) -> int:
    crc = mix_bytes(mix_bytes(crc, m.key), m.range_end)
    orders = (int(m.sort_order), int(m.sort_target), m.keys_only, m.count_only)
    bounds = (
        m.min_mod_revision,
        m.max_mod_revision,
        m.min_create_revision,
        m.max_create_revision,
    )
    return mix_plain(crc, (m.limit, m.revision, orders, bounds))


def _put(crc: int, m: KvPut) -> int:
    key, value = m.key, m.value
    crc = crc32(value, crc32(key, crc ^ len(key)) ^ len(value))
    if m.lease or m.prev_kv or m.ignore_value or m.ignore_lease:
        return mix_plain(crc, (m.lease, m.prev_kv, m.ignore_value, m.ignore_lease))
    return crc


def _delete(crc: int, m: KvDelete) -> int:
    key, end = m.key, m.range_end
    crc = crc32(end, crc32(key, crc ^ len(key)) ^ len(end))
    return crc32(b"(True,)" if m.prev_kv else b"(False,)", crc)  # as `mix_plain` has it


def _compare(crc: int, m: KvCompare) -> int:
    crc = mix_bytes(mix_bytes(crc, m.key), m.range_end)
    if isinstance(m.operand, bytes):
        crc = mix_bytes(crc, m.operand)
        return mix_plain(crc, (int(m.target), int(m.result)))
    return mix_plain(crc, (int(m.target), int(m.result), m.operand))


def _operation(crc: int, m: KvOp) -> int:
    start, mix = _STARTED[type(m)]
    return mix(crc ^ start, m)


def _txn(crc: int, m: KvTxn) -> int:
    crc = mix_plain(crc, (len(m.compare), len(m.success), len(m.failure)))
    for compare in m.compare:
        crc = _compare(crc, compare)
    for operation in m.success:
        crc = _operation(crc, operation)
    for operation in m.failure:
        crc = _operation(crc, operation)
    return crc


def _compact(crc: int, m: KvCompact) -> int:
    return mix_plain(crc, (m.revision,))


DIGESTS: Final[dict[type, Mix]] = {
    KvRange: _range,
    KvPut: _put,
    KvDelete: _delete,
    KvTxn: _txn,
    KvCompact: _compact,
}
_STARTED: Final = started(DIGESTS)
