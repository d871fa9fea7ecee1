"""What the commands about sessions ask for, as a number."""

from __future__ import annotations

from typing import Final

from coord.core.base.mixing import Mix, mix_plain
from coord.core.base.request import labels_of
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession


def _open_session(crc: int, m: OpenSession) -> int:
    labels = labels_of(m.labels)
    return mix_plain(crc, (m.ttl_ms, m.nonce, m.kind, m.name, labels, tuple(m.queues), m.slots))


def _keep_alive(crc: int, m: KeepAlive) -> int:
    return mix_plain(crc, (m.session_id, m.stuck))


def _close_session(crc: int, m: CloseSession) -> int:
    return mix_plain(crc, (m.session_id,))


DIGESTS: Final[dict[type, Mix]] = {
    OpenSession: _open_session,
    KeepAlive: _keep_alive,
    CloseSession: _close_session,
}
