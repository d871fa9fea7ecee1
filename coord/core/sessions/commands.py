"""Commands about sessions, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class OpenSession:
    ttl_ms: int
    nonce: bytes
    kind: str = "client"
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    slots: int = 0


@dataclass(slots=True)
class KeepAlive:
    """`stuck`: tasks whose handlers do not end; None = as they were."""

    session_id: int
    stuck: tuple[str, ...] | None = None


@dataclass(slots=True)
class CloseSession:
    session_id: int


class SessionOpened(NamedTuple):
    session_id: int
    ttl_ms: int
    revision: int


class SessionKept(NamedTuple):
    ttl_ms: int
