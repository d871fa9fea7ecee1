"""Settings of one worker, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_LEASE_TTL_MS = 15_000
DEFAULT_DRAIN_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker serves and how. Times in milliseconds; ValueError names a bad field."""

    queues: tuple[str, ...]
    slots: int = 1
    name: str = "worker"
    labels: Mapping[str, str] = field(default_factory=dict)
    lease_ttl_ms: int = DEFAULT_LEASE_TTL_MS
    # From the first signal until running handlers are cancelled and given back.
    drain_timeout_ms: int = DEFAULT_DRAIN_TIMEOUT_MS
    # What a cancelled handler gets to clean up in.
    cancel_grace_ms: int = 2_000
    # A checkpoint waits at most this long for the next heartbeat.
    checkpoint_delay_ms: int = 1_000
    # Until the first answer of the cluster; afterwards a worker never gives up.
    connect_timeout_ms: int = 30_000
    # With all slots stuck for so long the worker ends, to be started again. 0 = never.
    restart_stuck_after_ms: int = 0

    def __post_init__(self) -> None:
        if not self.queues or not all(self.queues):
            raise ValueError("queues: name at least one queue")
        for name, low, high in (
            ("slots", 1, 1_000),
            ("lease_ttl_ms", 100, 86_400_000),
            ("drain_timeout_ms", 0, 86_400_000),
            ("cancel_grace_ms", 0, 600_000),
            ("checkpoint_delay_ms", 0, 600_000),
            ("connect_timeout_ms", 0, 86_400_000),
            ("restart_stuck_after_ms", 0, 86_400_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: must be {low} to {high}, not {value}")
