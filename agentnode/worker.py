"""The claim loop: claims as many tasks as there are free slots, runs them, settles the outcomes.

Life of a task here: claimed -> its lease kept by the heartbeats while the handler runs -> slot free
-> outcome settled (committed, failed or given back). A lost lease or a time-out cancels the handler
on the way. A slot stays taken until its handler has really ended, so a handler that ignores its
cancellation costs a slot, never an overload. The next task is claimed while the last is settled:
both calls travel together, so a slot that is always busy costs one round trip a task. When settling
takes long, at most as many tasks as there are slots are held beside those that run.

Stopping: no more claims, handlers get the drain time-out to finish, what still runs then is
cancelled, its checkpoint stored and the task given back, which does not count as an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

import structlog

from agentnode.config import WorkerConfig
from agentnode.context import ContextServices
from agentnode.errors import ClusterUnreachableError, WorkerRefusedError
from agentnode.executors import Runner
from agentnode.heartbeat import Heartbeats
from agentnode.held import CancelReason, HeldTask
from agentnode.outcome import Outcome, Stopped
from agentnode.ports import ClaimedTask, CoordError, KvApi, TasksApi, is_worth_repeating
from agentnode.settlement import Settlement

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
# Payload and checkpoint can have 1 MiB each; this bounds one answer.
_MAX_CLAIM = 64
# For giving tasks back, on top of what handlers get to clean up in.
_GIVE_BACK_S = 3.0


class WorkerClient(Protocol):
    """The part of `coord.client.Client` a worker uses."""

    @property
    def tasks(self) -> TasksApi: ...
    @property
    def kv(self) -> KvApi: ...


class Worker:
    """One worker: `run` it, `stop` it. Everything belongs to one event loop."""

    def __init__(self, client: WorkerClient, runner: Runner, config: WorkerConfig) -> None:
        self._client = client
        self._runner = runner
        self._config = config
        self._heartbeats = Heartbeats(client.tasks, checkpoint_delay_ms=config.checkpoint_delay_ms)
        self._settlement = Settlement(client.tasks, self._heartbeats)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._slot_freed = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[Outcome]] = set()
        self._unsettled: set[HeldTask] = set()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._settling = 0  # tasks whose handler has ended
        self._contacted = False
        self._log = structlog.get_logger("agentnode.worker").bind(worker=config.name)

    def stop(self) -> None:
        """Drain and end. Called again: cancel what runs and end at once."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()
        self._slot_freed.set()

    def session_lost(self, session_id: int) -> None:
        """A session of the client ended: so did every lease under it."""
        self._heartbeats.lose_session(session_id)

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._attempts) - min(self._settling, self._config.slots)

    async def run(self) -> None:
        """Serve until stopped; returns when everything held is settled or given back.

        WorkerRefusedError when the cluster refuses the claims, ClusterUnreachableError when it
        never answered within the time for the first contact."""
        services = ContextServices(
            kv=self._client.kv,
            leases=self._heartbeats,
            loop=asyncio.get_running_loop(),
            draining=self._stop.is_set,
        )
        heartbeats = asyncio.create_task(self._heartbeats.run())
        claims = asyncio.create_task(self._claim_loop(services))
        stopping = asyncio.create_task(self._stop.wait())
        self._log.info("worker started", queues=list(self._config.queues), slots=self._config.slots)
        try:
            await asyncio.wait({heartbeats, claims, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await self._drain()
        finally:
            await _end(claims, stopping, *self._handlers, *self._attempts)
            await _end(heartbeats)
        for task in (heartbeats, claims):
            if not task.cancelled():
                task.result()
        self._log.info("worker stopped")

    async def _claim_loop(self, services: ContextServices) -> None:
        loop = asyncio.get_running_loop()
        started, backoff_s = loop.time(), _BACKOFF_FIRST_S
        while await self._free_slot():
            sent_at = loop.time()
            try:
                claims = await self._claim()
            except CoordError as error:
                self._check_claim_error(error, started)
                self._log.warning("claim failed", error=str(error), retry_in_s=round(backoff_s, 1))
                await self._pause(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
                continue
            self._contacted, backoff_s = True, _BACKOFF_FIRST_S
            for claim in claims:
                await self._take(HeldTask(claim, lease_start=sent_at), sent_at, services)

    async def _claim(self) -> list[ClaimedTask]:
        return list(
            await self._client.tasks.claim(
                self._config.queues,
                max_tasks=min(self._config.slots - self.running, _MAX_CLAIM),
                lease_ttl_ms=self._config.lease_ttl_ms,
                wait_ms=self._config.claim_wait_ms,
                worker=self._config.name,
            )
        )

    def _check_claim_error(self, error: CoordError, started: float) -> None:
        # A session that ended is replaced by the client; anything else refused stays refused.
        if not is_worth_repeating(error) and error.reason != "SESSION_NOT_FOUND":
            raise WorkerRefusedError(f"the cluster refuses the claim: {error}") from error
        waited_s = asyncio.get_running_loop().time() - started
        if not self._contacted and waited_s >= self._config.connect_timeout_ms / 1000:
            raise ClusterUnreachableError(f"no node of the cluster answers: {error}") from error

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _free_slot(self) -> bool:
        """Wait for a free slot; false when the worker is to stop."""
        while self.running >= self._config.slots and not self._stop.is_set():
            self._slot_freed.clear()
            await self._slot_freed.wait()
        return not self._stop.is_set()

    async def _take(self, held: HeldTask, sent_at: float, services: ContextServices) -> None:
        if self._stop.is_set():
            # Arrived while leaving: give it back untouched.
            await self._settlement.give_back(held)
            return
        self._unsettled.add(held)
        self._all_settled.clear()
        task = asyncio.create_task(self._attempt(held, sent_at, services))
        self._attempts.add(task)
        task.add_done_callback(self._attempt_ended)

    def _attempt_ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        self._slot_freed.set()
        if not task.cancelled() and task.exception() is not None:
            self._log.error("attempt broke", exc_info=task.exception())

    async def _attempt(self, held: HeldTask, sent_at: float, services: ContextServices) -> None:
        claim = held.claim
        log = self._log.bind(task_id=claim.task_id, queue=claim.queue, attempt=claim.attempt)
        loop = asyncio.get_running_loop()
        handler: asyncio.Task[Outcome] | None = None
        self._heartbeats.add(held)
        try:
            if not await self._is_ours(held, sent_at):
                log.warning("claim arrived too late")
                return
            log.debug("task started", type=claim.type, fencing_token=claim.fencing_token)
            started_at = loop.time()
            handler = self._start(held, services)
            outcome = await self._outcome(held, handler)
            held.settling = True
            with self._slot_free_after(handler):
                ending = await self._settlement.settle(held, outcome)
            elapsed_ms = round((loop.time() - started_at) * 1000)
            log.log(ending.level, ending.event, elapsed_ms=elapsed_ms, **ending.facts)
        finally:
            self._heartbeats.remove(held)
            self._unsettled.discard(held)
            if not self._unsettled:
                self._all_settled.set()
        if not handler.done():
            log.warning("handler ignores its cancellation and keeps its slot")
            await asyncio.wait({handler})

    @contextlib.contextmanager
    def _slot_free_after(self, handler: asyncio.Task[Outcome]) -> Iterator[None]:
        """While its outcome is settled, a handler that has ended needs its slot no more."""
        ended = int(handler.done())
        self._settling += ended
        self._slot_freed.set()
        try:
            yield
        finally:
            self._settling -= ended

    async def _is_ours(self, held: HeldTask, sent_at: float) -> bool:
        """A claim whose answer took most of its lease (a failover, say) is asked about first."""
        age_ms = (asyncio.get_running_loop().time() - sent_at) * 1000
        if age_ms < held.claim.lease_ttl_ms * 2 / 3:
            return True
        return await self._heartbeats.confirm(held)

    def _start(self, held: HeldTask, services: ContextServices) -> asyncio.Task[Outcome]:
        handler = asyncio.create_task(self._runner.run(held, services))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        limits_ms = [self._runner.timeout_ms(held), held.claim.attempt_timeout_ms]
        limit_ms = min((limit for limit in limits_ms if limit), default=0)
        if limit_ms:
            timer = asyncio.get_running_loop().call_later(
                limit_ms / 1000, held.cancel, CancelReason.TIMEOUT, f"after {limit_ms} ms"
            )
            handler.add_done_callback(lambda _: timer.cancel())
        return handler

    async def _outcome(self, held: HeldTask, handler: asyncio.Task[Outcome]) -> Outcome:
        """How the handler ended; Stopped for one that ran on past its cancellation."""
        cancelled = asyncio.Event()
        held.on_cancel(cancelled.set)
        await _first(handler, cancelled.wait())
        if not handler.done():
            await _first(
                handler, self._stop_now.wait(), timeout_s=self._config.cancel_grace_ms / 1000
            )
        return handler.result() if handler.done() else Stopped()

    async def _drain(self) -> None:
        """Let handlers finish; then cancel them and give their tasks back."""
        if self._unsettled:
            self._log.info("draining", tasks=len(self._unsettled))
        await _first(
            self._all_settled.wait(),
            self._stop_now.wait(),
            timeout_s=self._config.drain_timeout_ms / 1000,
        )
        for held in list(self._unsettled):
            held.cancel(CancelReason.DRAIN)
        await _first(
            self._all_settled.wait(),
            timeout_s=self._config.cancel_grace_ms / 1000 + _GIVE_BACK_S,
        )


async def _first(
    *things: asyncio.Task[Outcome] | Coroutine[Any, Any, object], timeout_s: float | None = None
) -> None:
    """Wait until one of them is done; tasks go on, coroutines are given up."""
    own = [asyncio.create_task(thing) for thing in things if asyncio.iscoroutine(thing)]
    others = [thing for thing in things if isinstance(thing, asyncio.Task)]
    try:
        await asyncio.wait([*own, *others], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them and wait for their end, not for ever."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)
