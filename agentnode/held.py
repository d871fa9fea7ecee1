"""A task this worker holds, from the claim to the settlement of its result.

Shared between the event loop and the handler's thread: the handler leaves checkpoints and progress
here and the heartbeats pick them up; the loop leaves the order to stop here and the handler sees
it. Nothing in here waits for anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agentnode.ports import ClaimedTask

# A handler is told to stop this much (or a tenth of the lease) before its lease ends, because
# neither clocks nor threads are exact.
_MAX_MARGIN_S = 1.0


class CancelReason(StrEnum):
    """Why a handler is told to stop."""

    LEASE_LOST = "lease lost"
    TIMEOUT = "timed out"
    DRAIN = "worker is leaving"


@dataclass(frozen=True, slots=True)
class Report:
    """What a handler has left for the next heartbeat; `mark` says up to which report."""

    checkpoint: bytes | None
    progress_permille: int | None
    mark: int


class HeldTask:
    """One attempt at one task. `cancel` and `on_cancel` belong to the event loop."""

    def __init__(self, claim: ClaimedTask, *, lease_start: float) -> None:
        self.claim = claim
        self.lease_start = lease_start
        self.cancelled = threading.Event()
        self.cancel_reason: CancelReason | None = None
        self.cancel_detail = ""
        # Lost for good: nothing this attempt says counts any more.
        self.lost = False
        # The handler is done and its outcome is on the way; the end of the task is then no news.
        self.settling = False
        self._cancel_callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._checkpoint: bytes | None = None
        self._progress_permille: int | None = None
        self._reports = 0
        self._confirmed = 0

    @property
    def lease_expires(self) -> float:
        """On the local monotonic clock: soon after this, somebody else may hold the task."""
        ttl_s = self.claim.lease_ttl_ms / 1000
        return self.lease_start + ttl_s - min(ttl_s / 10, _MAX_MARGIN_S)

    @property
    def key(self) -> tuple[str, int]:
        """The task and the token it is held under."""
        return self.claim.task_id, self.claim.fencing_token

    def cancel(self, reason: CancelReason, detail: str = "") -> None:
        """Tell the handler to stop. The first reason stays, but a lost lease overrules."""
        if reason is CancelReason.LEASE_LOST:
            if self.lost:
                return
            self.lost = True
        elif self.cancel_reason is not None:
            return
        self.cancel_reason = reason
        self.cancel_detail = detail
        self.cancelled.set()
        callbacks, self._cancel_callbacks = self._cancel_callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the handler is told to stop, at once if it has been."""
        if self.cancel_reason is not None:
            callback()
        else:
            self._cancel_callbacks.append(callback)

    def report(self, *, checkpoint: bytes | None = None, progress: int | None = None) -> None:
        """Leave something for the next heartbeat; newer replaces older. From any thread."""
        with self._lock:
            self._reports += 1
            if checkpoint is not None:
                self._checkpoint = checkpoint
            if progress is not None:
                self._progress_permille = progress

    def pending(self) -> Report:
        """What the cluster does not have yet."""
        with self._lock:
            return Report(self._checkpoint, self._progress_permille, self._reports)

    @property
    def has_checkpoint(self) -> bool:
        """A checkpoint waits to be sent."""
        with self._lock:
            return self._checkpoint is not None

    @property
    def has_progress(self) -> bool:
        """A progress report waits to be sent."""
        with self._lock:
            return self._progress_permille is not None

    def confirm(self, report: Report) -> None:
        """The cluster has this report; what came in meanwhile stays pending."""
        with self._lock:
            if self._checkpoint is report.checkpoint:
                self._checkpoint = None
            if self._reports == report.mark:
                self._progress_permille = None
            self._confirmed = max(self._confirmed, report.mark)
