"""Tells the cluster how an attempt ended, and repeats that until somebody has heard it.

Repeating is safe: every call carries the fencing token, so at worst the store says that the task
is not ours any more, and then nothing of this attempt counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from agentnode.heartbeat import LOST_REASONS, Heartbeats
from agentnode.held import CancelReason, HeldTask
from agentnode.outcome import Done, Failed, Outcome, Stopped, Unhandled, bounded
from agentnode.ports import CoordError, HeldTasksApi, IndefiniteError, is_worth_repeating

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 2.0
_RETURN_FIRST_MS = 1_000
_RETURN_MAX_MS = 30_000
_MAX_RETURNS = 10_000


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
        self._returns = Returns()

    async def settle(self, held: HeldTask, outcome: Outcome) -> Ending:
        """Do what the outcome asks for; a cancelled attempt can at most still commit."""
        if held.lost:
            return Ending("task dropped", logging.WARNING, {"reason": held.cancel_detail})
        if isinstance(outcome, Done):
            return await self._commit(held, outcome)
        if isinstance(outcome, Unhandled):
            return await self._pass_on(held, outcome)
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

    async def _pass_on(self, held: HeldTask, outcome: Unhandled) -> Ending:
        """Release the task with a delay that grows each time it comes back: another worker may be
        able to handle it. The attempt does not count."""
        delay_ms = self._returns.next_delay_ms(held.claim.task_id)
        refusal = await _deliver(
            held, lambda: self._tasks.release(held.claim, delay_ms=delay_ms, reason=outcome.reason)
        )
        facts = {"reason": outcome.reason, "delay_ms": delay_ms}
        level = logging.WARNING if self._returns.is_news(outcome.reason) else logging.DEBUG
        return _refused(refusal) or Ending("task passed on", level, facts)

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


class Returns:
    """How often this worker has given back tasks that it cannot handle; of the latest of them."""

    def __init__(self, most: int = _MAX_RETURNS) -> None:
        self._most = most
        self._times: OrderedDict[str, int] = OrderedDict()
        self._reasons: set[str] = set()

    def next_delay_ms(self, task_id: str) -> int:
        """A second the first time, then twice as long each time, at most half a minute; up to a
        fifth less, so that tasks of one moment do not come back in one moment."""
        times = self._times.pop(task_id, 0)
        self._times[task_id] = times + 1
        if len(self._times) > self._most:
            self._times.popitem(last=False)
        delay_ms = min(_RETURN_FIRST_MS * 2 ** min(times, 10), _RETURN_MAX_MS)
        return int(delay_ms * random.uniform(0.8, 1.0))

    def is_news(self, reason: str) -> bool:
        """Whether this is the first task with this reason."""
        known = reason in self._reasons
        if len(self._reasons) < self._most:
            self._reasons.add(reason)
        return not known


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
