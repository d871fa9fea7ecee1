"""What a handler can ask and tell while it runs.

Two forms with the same names: `TaskContext` for functions that run in a thread (its calls block the
thread, never the event loop) and `AsyncTaskContext` for coroutines (what needs the cluster is
awaited).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from agentnode.errors import SideEffectNotDoneError, TaskCancelledError
from agentnode.held import CancelReason, HeldTask
from agentnode.ledger import Intent, Recorded, SideEffectLedger
from agentnode.ports import KvApi

MAX_CHECKPOINT_BYTES = 1_048_576

_T = TypeVar("_T")


class LeaseKeeper(Protocol):
    """The part of the heartbeats a context talks to."""

    def reported(self, held: HeldTask) -> None: ...

    async def confirm(self, held: HeldTask) -> bool: ...


@dataclass(frozen=True, slots=True)
class ContextServices:
    """What contexts of one worker share."""

    kv: KvApi
    leases: LeaseKeeper
    loop: asyncio.AbstractEventLoop
    draining: Callable[[], bool]


class BaseContext:
    """One attempt at one task. Attributes can be read from any thread."""

    def __init__(self, held: HeldTask, services: ContextServices) -> None:
        claim = held.claim
        self._held = held
        self._services = services
        self._process = os.getpid()
        self._ledger = SideEffectLedger(
            services.kv,
            task_id=claim.task_id,
            attempt=claim.attempt,
            fencing_token=claim.fencing_token,
        )
        self.task_id: str = claim.task_id
        self.queue: str = claim.queue
        self.type: str = claim.type
        self.priority: int = claim.priority
        self.labels: Mapping[str, str] = dict(claim.labels)
        # 1 for the first attempt.
        self.attempt: int = claim.attempt
        self.max_attempts: int = claim.max_attempts
        # Hand it to outside systems that can refuse an older holder: it only ever grows.
        self.fencing_token: int = claim.fencing_token
        self.logger: Any = structlog.get_logger("agentnode.task").bind(
            task_id=claim.task_id, queue=claim.queue, attempt=claim.attempt
        )

    @property
    def checkpoint(self) -> bytes:
        """What the last attempt that saved a checkpoint left; b"" if none did."""
        return self._held.claim.checkpoint

    def checkpoint_json(self, default: Any = None) -> Any:
        """The same, decoded from JSON; `default` if there is none."""
        return json.loads(self.checkpoint) if self.checkpoint else default

    def save_checkpoint(self, value: Any) -> None:
        """Leave a checkpoint for the next attempt: bytes as they are, anything else as JSON.

        Returns at once: the newest checkpoint goes out with the next heartbeat (about a second
        at most), and before a failure is reported or the task is given back. `flush` waits until
        it is durable. ValueError above 1 MiB and for NaN or Infinity, TypeError if it is not
        JSON."""
        if isinstance(value, bytes):
            data = memoryview(value).tobytes()
        else:
            data = json.dumps(value, allow_nan=False).encode()
        if len(data) > MAX_CHECKPOINT_BYTES:
            raise ValueError(
                f"a checkpoint has at most {MAX_CHECKPOINT_BYTES} bytes, not {len(data)}"
            )
        self._held.report(checkpoint=data)
        self._tell()

    def report_progress(self, fraction: float) -> None:
        """Say how far the handler is, 0.0 to 1.0. Also tells that it is getting on at all."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress goes from 0 to 1, not {fraction}")
        self._held.report(progress=round(fraction * 1000))
        self._tell()

    @property
    def draining(self) -> bool:
        """The worker has been asked to leave: a long handler may save a checkpoint and stop."""
        return self._services.draining()

    @property
    def is_cancelled(self) -> bool:
        """This attempt was given up; nothing it does will be committed.

        Looks at the clock as well: a process that was suspended knows before its event loop."""
        return self._held.cancelled.is_set() or time.monotonic() >= self._held.lease_expires

    def check_cancelled(self) -> None:
        """Raise TaskCancelledError if this attempt was given up."""
        if self.is_cancelled:
            reason = self._held.cancel_reason or CancelReason.LEASE_LOST
            detail = self._held.cancel_detail
            raise TaskCancelledError(f"{reason}: {detail}" if detail else str(reason))

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "the context of a task works in the process of its handler only, not in one that"
                " was forked from it"
            )

    def _tell(self) -> None:
        self._check_process()
        try:
            self._services.loop.call_soon_threadsafe(self._services.leases.reported, self._held)
        except RuntimeError:
            # The worker is gone and its event loop closed; only a left-over thread gets here.
            raise TaskCancelledError("the worker has ended") from None

    async def _confirm(self) -> None:
        # Also when cancelled, as long as the lease holds: a handler's last words are worth keeping.
        while not await self._services.leases.confirm(self._held):
            if self._held.lost or self._held.cancelled.is_set():
                raise TaskCancelledError("the checkpoint could not be stored")
            await asyncio.sleep(0.1)


class TaskContext(BaseContext):
    """For handlers that run in a thread. Use it from that thread or from threads it starts."""

    @property
    def cancelled(self) -> Any:
        """A threading.Event that is set when the attempt is given up; `wait` on it to sleep."""
        return self._held.cancelled

    def flush(self) -> None:
        """Block until what was saved and reported so far is durable.

        TaskCancelledError if the attempt has been given up."""
        self._on_loop(self._confirm())

    def once(self, name: str, act: Callable[[], _T], *, repeatable: bool = False) -> _T:
        """Call `act` at most once for this task, over all its attempts, and return its outcome.

        The outcome (bytes or JSON) is recorded; a repeat gets it without acting. When an earlier
        attempt began and never finished, raises UnfinishedSideEffectError, or acts again if
        `repeatable`. An exception out of `act` leaves the effect unfinished, except
        SideEffectNotDoneError, which takes the intent back. `name` tells the effects of one task
        apart."""
        self.check_cancelled()
        entry = self._on_loop(self._ledger.begin(name, repeatable=repeatable))
        if isinstance(entry, Recorded):
            recorded: _T = entry.value
            return recorded
        if self.is_cancelled:
            self._on_loop(self._ledger.abandon(entry))
            self.check_cancelled()
        try:
            value = act()
        except SideEffectNotDoneError:
            self._on_loop(self._ledger.abandon(entry))
            raise
        outcome: _T = self._on_loop(self._ledger.finish(entry, value))
        return outcome

    def _on_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run `work` on the worker's event loop and wait for it here."""
        try:
            self._check_process()
        except RuntimeError:
            work.close()
            raise
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._services.loop)
        except RuntimeError:
            work.close()
            raise TaskCancelledError("the worker has ended") from None
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise TaskCancelledError("the worker has ended") from None


class AsyncTaskContext(BaseContext):
    """For coroutine handlers. A given-up attempt is cancelled like any asyncio task."""

    async def flush(self) -> None:
        """Wait until what was saved and reported so far is durable.

        TaskCancelledError if the attempt has been given up."""
        await self._confirm()

    async def once(
        self, name: str, act: Callable[[], Awaitable[_T]], *, repeatable: bool = False
    ) -> _T:
        """As `TaskContext.once`, with `act` a coroutine function."""
        self.check_cancelled()
        entry = await self._begin(name, repeatable)
        if isinstance(entry, Recorded):
            recorded: _T = entry.value
            return recorded
        if self.is_cancelled:
            await self._ledger.abandon(entry)
            self.check_cancelled()
        try:
            value = await act()
        except SideEffectNotDoneError:
            await asyncio.shield(self._ledger.abandon(entry))
            raise
        outcome: _T = await asyncio.shield(self._ledger.finish(entry, value))
        return outcome

    async def _begin(self, name: str, repeatable: bool) -> Recorded | Intent:
        """Cancelled half-way, an intent may be recorded already: take it back, nobody acted."""
        begun = asyncio.ensure_future(self._ledger.begin(name, repeatable=repeatable))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            entry = await begun
            if isinstance(entry, Intent):
                await self._ledger.abandon(entry)
            raise
