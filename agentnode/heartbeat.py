"""Keeps the leases of all held tasks alive, and notices when one is lost without being told.

Runs on the event loop, never in a handler's thread, so a handler that computes or blocks for hours
keeps its lease. Handlers that compute share the interpreter lock with it, though, and may leave the
loop too few turns; so a keeper, a process of its own (`agentnode.keeper`), renews the leases too if
there is one. Then this sends only what a handler reports, and steps in when there is none.

One call renews everything: it goes out when a third of the oldest lease is over, or a little after
a handler left a checkpoint, and carries the latest checkpoint and progress of every task.

Leases are judged by the local monotonic clock from the moment the call that renewed them was
*sent*. The cluster counts from when it applied that call, which is later. So a lease is given up
here before anybody else can get the task, with a margin for clocks that run at different speeds
and handlers that take a moment to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from agentnode.held import CancelReason, HeldTask, Report
from agentnode.keeping import KeeperProcess
from agentnode.outage import Outage
from agentnode.ports import CoordError, HeartbeatItem, HeldTasksApi, ItemResult

# Of checkpoints in one call, well below the largest message a node takes.
_MAX_CALL_BYTES = 2 * 1024 * 1024
# From one call to the next when the cluster does not answer.
_RETRY_S = 0.25
_MIN_TIMEOUT_MS = 250

LOST_REASONS = frozenset(
    {
        "STALE_FENCING_TOKEN",
        "TASK_FINISHED",
        "TASK_NOT_FOUND",
        "TASK_NOT_CLAIMED",
        "SESSION_NOT_FOUND",
    }
)


class Heartbeats:
    """The heartbeats of one worker. Use `run` as a task; everything belongs to the event loop."""

    def __init__(
        self,
        tasks: HeldTasksApi,
        *,
        checkpoint_delay_ms: int = 1_000,
        keeper: KeeperProcess | None = None,
    ) -> None:
        self._tasks = tasks
        self._keeper = keeper
        self._checkpoint_delay_s = checkpoint_delay_ms / 1000
        self._held: dict[tuple[str, int], HeldTask] = {}
        self._due: dict[tuple[str, int], float] = {}
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._retry_at = 0.0
        self._log = structlog.get_logger("agentnode.heartbeat")
        self._outage = Outage(
            self._log, "heartbeat failed", "heartbeats still fail", "heartbeats get through again"
        )

    def add(self, held: HeldTask) -> None:
        """Keep this task's lease from now on."""
        self._held[held.key] = held
        if self._keeper is not None:
            self._keeper.hold(held)
        self._schedule(held, held.lease_start)
        self._wake.set()

    def remove(self, held: HeldTask) -> None:
        """Stop; the task is settled or lost."""
        self._held.pop(held.key, None)
        if self._keeper is not None:
            self._keeper.drop(held)
        self._due.pop(held.key, None)
        timer = self._timers.pop(held.key, None)
        if timer is not None:
            timer.cancel()

    def reported(self, held: HeldTask) -> None:
        """A handler has left a report: bring the next call forward if it cannot wait."""
        if held.key not in self._held:
            return
        wait_s = self._report_wait_s(held)
        due = asyncio.get_running_loop().time() + wait_s
        if due < self._due[held.key]:
            self._due[held.key] = due
            self._wake.set()

    def lost(self, task_id: str, fencing_token: int, detail: str) -> None:
        """The cluster says that this lease is over."""
        held = self._held.get((task_id, fencing_token))
        if held is not None:
            self._lose(held, detail)

    def renewed(self, keys: Sequence[tuple[str, int]], sent_at: float) -> None:
        """The keeper has renewed these leases, with a call sent at that time."""
        for key in keys:
            held = self._held.get(key)
            if held is not None and sent_at > held.lease_start:
                self._schedule(held, sent_at)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        keeping = asyncio.ensure_future(self._keeper.run(self)) if self._keeper else None
        try:
            await self._run()
        finally:
            if keeping is not None:
                keeping.cancel()
                await asyncio.wait({keeping})

    async def _run(self) -> None:
        while True:
            await self._until_due()
            await self._beat(list(self._held.values()))

    async def confirm(self, held: HeldTask) -> bool:
        """Send this task's heartbeat now; true when the cluster says that it is still ours.

        What the handler had reported is then durable. False: lost, or no answer."""
        return await self._beat([held]) and not held.lost

    def _schedule(self, held: HeldTask, renewed_at: float) -> None:
        """Plan the next heartbeat and the end of the lease after a renewal sent at that time."""
        held.lease_start = renewed_at
        due = renewed_at + held.claim.lease_ttl_ms / 3000
        if held.has_checkpoint or held.has_progress:
            due = min(due, renewed_at + self._report_wait_s(held))
        self._due[held.key] = due
        timer = self._timers.pop(held.key, None)
        if timer is not None:
            timer.cancel()
        self._timers[held.key] = asyncio.get_running_loop().call_at(
            held.lease_expires, self._expire, held
        )

    def _report_wait_s(self, held: HeldTask) -> float:
        wait_s = held.claim.lease_ttl_ms / 3000
        if held.has_checkpoint:
            wait_s = min(wait_s, self._checkpoint_delay_s)
        if held.claim.progress_timeout_ms and held.has_progress:
            wait_s = min(wait_s, held.claim.progress_timeout_ms / 3000)
        return wait_s

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            due = max(min(self._due.values(), default=float("inf")), self._retry_at)
            wait_s = due - loop.time()
            if wait_s <= 0:
                return
            try:
                async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _beat(self, candidates: Sequence[HeldTask]) -> bool:
        """One call at a time, so that an older checkpoint never overtakes a newer one."""
        async with self._sending:
            held = [task for task in candidates if task.key in self._held]
            if not held:
                return False
            reports = _within_budget([task.pending() for task in held])
            items = [_item(task, report) for task, report in zip(held, reports, strict=True)]
            sent_at = asyncio.get_running_loop().time()
            try:
                results = await self._tasks.heartbeat(items, timeout_ms=_timeout_ms(held))
            except CoordError as error:
                self._retry_at = sent_at + _RETRY_S
                self._outage.failed(error, tasks=len(items))
                return False
            self._outage.worked()
            for task, report, result in zip(held, reports, results, strict=True):
                self._take_result(task, report, result, sent_at)
            return True

    def _take_result(
        self, held: HeldTask, report: Report, result: ItemResult, sent_at: float
    ) -> None:
        if held.key not in self._held:
            return
        if result.error is None:
            held.confirm(report)
            self._schedule(held, sent_at)
        elif result.error.reason in LOST_REASONS:
            self._lose(held, result.error.reason)
        else:
            # Something is wrong with the report, not with the lease: never repeat it.
            held.confirm(report)
            self._due[held.key] = asyncio.get_running_loop().time() + _RETRY_S
            self._log.error(
                "heartbeat refused", task_id=held.claim.task_id, reason=result.error.reason
            )

    def _expire(self, held: HeldTask) -> None:
        """As far as is known here, the lease is over; the keeper may have said more."""
        if self._keeper is not None:
            self._keeper.hear()
        if held.key in self._held and held.lease_expires <= asyncio.get_running_loop().time():
            self._lose(held, "no heartbeat got through before its lease ended")

    def _lose(self, held: HeldTask, detail: str) -> None:
        self.remove(held)
        if held.settling:
            # The store answers the commit itself; only retries of it are pointless from here on.
            held.lost = True
            return
        self._log.warning(
            "lease lost",
            task_id=held.claim.task_id,
            fencing_token=held.claim.fencing_token,
            detail=detail,
        )
        held.cancel(CancelReason.LEASE_LOST, detail)


def _timeout_ms(held: Sequence[HeldTask]) -> int:
    """A call that hangs must leave time for another one, on another node."""
    return max(min(task.claim.lease_ttl_ms for task in held) // 3, _MIN_TIMEOUT_MS)


def _item(held: HeldTask, report: Report) -> HeartbeatItem:
    return HeartbeatItem(
        task_id=held.claim.task_id,
        fencing_token=held.claim.fencing_token,
        checkpoint=report.checkpoint,
        progress_permille=report.progress_permille,
    )


def _within_budget(reports: Sequence[Report]) -> list[Report]:
    """Leave out the checkpoints that would make the call too large; they stay pending."""
    room = _MAX_CALL_BYTES
    kept = []
    for report in reports:
        size = len(report.checkpoint or b"")
        if size > room:
            kept.append(Report(None, None, report.mark - 1))
        else:
            room -= size
            kept.append(report)
    return kept
