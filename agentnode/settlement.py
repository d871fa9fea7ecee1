"""Tells the cluster how an attempt ended, and repeats that until somebody has heard it.

Repeating is safe: every call carries the fencing token, so at worst the store says that the task
is not ours any more, and then nothing of this attempt counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from agentnode.heartbeat import LOST_REASONS, Heartbeats
from agentnode.held import CancelReason, HeldTask
from agentnode.outcome import Done, Failed, Outcome, Stopped, bounded
from agentnode.ports import CoordError, HeldTasksApi, IndefiniteError, is_worth_repeating

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, for the log."""

    event: str
    level: int = logging.INFO
    facts: Mapping[str, object] = field(default_factory=dict)


class Settlement:
    """Commits results, reports failures, gives tasks back."""

    def __init__(self, tasks: HeldTasksApi, heartbeats: Heartbeats) -> None:
        self._tasks = tasks
        self._heartbeats = heartbeats

    async def settle(self, held: HeldTask, outcome: Outcome) -> Ending:
        """Do what the outcome asks for; a cancelled attempt can at most still commit."""
        if held.lost:
            return Ending("task dropped", logging.WARNING, {"reason": held.cancel_detail})
        if isinstance(outcome, Done):
            return await self._commit(held, outcome)
        if held.cancel_reason is CancelReason.DRAIN:
            await self._store_last_checkpoint(held)
            return await self.give_back(held)
        if held.cancel_reason is CancelReason.TIMEOUT:
            outcome = Failed(f"{held.cancel_reason}: {held.cancel_detail}")
        if isinstance(outcome, Stopped):
            outcome = Failed("the handler stopped without being told to")
        await self._store_last_checkpoint(held)
        return await self._report_failure(held, outcome)

    async def give_back(self, held: HeldTask) -> Ending:
        """Release the task; the attempt does not count."""
        refusal = await _deliver(held, lambda: self._tasks.release(held.claim))
        return _refused(refusal) or Ending("task given back")

    async def _commit(self, held: HeldTask, outcome: Done) -> Ending:
        refusal = await _deliver(held, lambda: self._tasks.complete(held.claim, outcome.result))
        if refusal is None or held.lost or refusal.reason in LOST_REASONS:
            return _refused(refusal) or Ending("task committed")
        # The result itself is not accepted (too large, say); another attempt makes the same.
        return await self._report_failure(
            held, Failed(bounded(f"the result was refused: {refusal}"), retryable=False)
        )

    async def _report_failure(self, held: HeldTask, failed: Failed) -> Ending:
        refusal = await _deliver(
            held,
            lambda: self._tasks.fail(
                held.claim,
                failed.error,
                retryable=failed.retryable,
                retry_after_ms=failed.retry_after_ms,
            ),
        )
        return _refused(refusal) or Ending(
            "task failed",
            logging.WARNING if failed.retryable else logging.ERROR,
            {"error": failed.error, "retryable": failed.retryable},
        )

    async def _store_last_checkpoint(self, held: HeldTask) -> None:
        """The next attempt starts from what this one saved last. One try only: others wait for
        this task, and a missing checkpoint costs time, not correctness."""
        if held.has_checkpoint:
            await self._heartbeats.confirm(held)


async def _deliver(held: HeldTask, call: Callable[[], Awaitable[object]]) -> CoordError | None:
    """Call until it is answered or the lease is over; the refusal, if it is one."""
    unsure, backoff_s = False, _BACKOFF_FIRST_S
    while True:
        try:
            await call()
        except CoordError as error:
            if unsure and error.reason == "TASK_FINISHED":
                # Our own earlier call, whose answer was lost.
                return None
            if held.lost or not is_worth_repeating(error):
                return error
            unsure = unsure or isinstance(error, IndefiniteError)
        else:
            return None
        await asyncio.sleep(backoff_s)
        backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)


def _refused(refusal: CoordError | None) -> Ending | None:
    if refusal is None:
        return None
    unknown = isinstance(refusal, IndefiniteError)
    return Ending(
        "task given up, outcome unknown" if unknown else "task dropped",
        logging.WARNING,
        {"reason": refusal.reason, "error": str(refusal)},
    )
