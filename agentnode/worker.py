"""Takes tasks from the work stream as slots are free, runs them, settles the outcomes.

Life of a task here: arrived -> its lease kept by the heartbeats while the handler runs -> outcome
settled (committed, failed or given back), and with that its slot free. The result and the free slot
travel together, so a slot that is always busy costs one round trip a task. A lost lease, of which
the stream brings word at once, or a time-out cancels the handler on the way. A slot stays taken
until its handler has really ended, so a handler that ignores its cancellation costs a slot, never
an overload.

Stopping: no more tasks, handlers get the drain time-out to finish, what still runs then is
cancelled, its checkpoint stored and the task given back, which does not count as an attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import structlog

from agentnode.config import WorkerConfig
from agentnode.context import ContextServices
from agentnode.errors import ClusterUnreachableError, WorkerRefusedError
from agentnode.executors import Runner
from agentnode.heartbeat import Heartbeats
from agentnode.held import CancelReason, HeldTask
from agentnode.keeping import KeeperProcess
from agentnode.outage import Outage
from agentnode.outcome import Failed, Outcome, Stopped, describe
from agentnode.ports import CoordError, KvApi, LostTask, TasksApi
from agentnode.settlement import Ending, Settlement

# For giving tasks back, on top of what handlers get to clean up in.
_GIVE_BACK_S = 3.0


class WorkerClient(Protocol):
    """The part of `coord.client.Client` a worker uses."""

    @property
    def tasks(self) -> TasksApi: ...
    @property
    def kv(self) -> KvApi: ...
    def report_stuck(self, task_ids: Sequence[str]) -> None: ...


class Worker:
    """One worker: `run` it, `stop` it. Everything belongs to one event loop."""

    def __init__(
        self,
        client: WorkerClient,
        runner: Runner,
        config: WorkerConfig,
        *,
        keeper: KeeperProcess | None = None,
    ) -> None:
        self._client = client
        self._runner = runner
        self._config = config
        self._work = client.tasks.work(
            config.queues,
            slots=config.slots,
            lease_ttl_ms=config.lease_ttl_ms,
            worker=config.name,
            on_lost=self._lost,
            on_trouble=self._in_trouble,
            on_connected=self._connected,
        )
        self._heartbeats = Heartbeats(
            self._work, checkpoint_delay_ms=config.checkpoint_delay_ms, keeper=keeper
        )
        self._settlement = Settlement(self._work, self._heartbeats)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[Outcome]] = set()
        self._unsettled: set[HeldTask] = set()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._stuck: dict[tuple[str, int], str] = {}  # tasks whose handlers ignore their end
        self._restart_timer: asyncio.TimerHandle | None = None
        self._wants_restart = False
        self._trouble: CoordError | None = None
        self._log = structlog.get_logger("agentnode.worker").bind(worker=config.name)
        self._outage = Outage(
            self._log, "connection lost", "still no connection", "connected again"
        )

    def stop(self) -> None:
        """Drain and end. Called again: cancel what runs and end at once."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._work.in_use

    @property
    def wants_restart(self) -> bool:
        """It has ended because all its slots are stuck."""
        return self._wants_restart

    async def run(self) -> None:
        """Serve until stopped; returns when everything held is settled or given back.

        WorkerRefusedError when the cluster refuses to give it work, ClusterUnreachableError when
        it never answered within the time for the first contact."""
        services = ContextServices(
            kv=self._client.kv,
            leases=self._heartbeats,
            loop=asyncio.get_running_loop(),
            draining=self._stop.is_set,
        )
        async with self._work:
            heartbeats = asyncio.create_task(self._heartbeats.run())
            taking = asyncio.create_task(self._take_all(services))
            stopping = asyncio.create_task(self._stop.wait())
            queues, slots = list(self._config.queues), self._config.slots
            self._log.info("worker started", queues=queues, slots=slots)
            try:
                await asyncio.wait(
                    {heartbeats, taking, stopping}, return_when=asyncio.FIRST_COMPLETED
                )
                self._stop.set()
                await self._drain(taking)
            finally:
                await _end(taking, stopping, *self._handlers, *self._attempts)
                await _end(heartbeats)
        for task in (heartbeats, taking):
            if not task.cancelled():
                task.result()
        self._log.info("worker stopped")

    async def _take_all(self, services: ContextServices) -> None:
        """Start every task that comes, until none does any more."""
        try:
            await self._first_contact()
            async for claim in self._work:
                age_s = time.monotonic() - claim.claimed_at_s
                since = asyncio.get_running_loop().time() - age_s
                await self._take(HeldTask(claim, lease_start=since), services)
        except CoordError as error:
            raise WorkerRefusedError(f"the cluster refuses to give work: {error}") from error

    async def _first_contact(self) -> None:
        try:
            async with asyncio.timeout(self._config.connect_timeout_ms / 1000):
                await self._work.connected()
        except TimeoutError:
            why = self._trouble or "nobody is there"
            raise ClusterUnreachableError(f"no node of the cluster answers: {why}") from None

    def _lost(self, lost: LostTask) -> None:
        """The stream says that a lease is over."""
        state = lost.state.name.lower()
        detail = f"{state}: {lost.reason}" if lost.reason else state
        self._heartbeats.lost(lost.task_id, lost.fencing_token, detail)

    def _in_trouble(self, error: CoordError) -> None:
        self._trouble = error
        self._outage.failed(error)

    def _connected(self) -> None:
        self._trouble = None
        self._outage.worked()

    async def _take(self, held: HeldTask, services: ContextServices) -> None:
        if self._stop.is_set():
            # Arrived while leaving: give it back untouched.
            await self._settlement.give_back(held)
            return
        self._unsettled.add(held)
        self._all_settled.clear()
        task = asyncio.create_task(self._attempt(held, services))
        self._attempts.add(task)
        task.add_done_callback(self._attempt_ended)

    def _attempt_ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("attempt broke", exc_info=task.exception())

    async def _attempt(self, held: HeldTask, services: ContextServices) -> None:
        """From the arrival of a task until its slot is free."""
        handler = None
        try:
            handler = await self._run_and_settle(held, services)
            if handler is not None and not handler.done():
                await self._wait_for_stuck(held, handler)
        finally:
            self._work.free_slot(held.claim)

    async def _wait_for_stuck(self, held: HeldTask, handler: asyncio.Task[Outcome]) -> None:
        """A handler that ignores its cancellation keeps its slot; everybody can see that."""
        claim = held.claim
        self._log.warning(
            "handler ignores its cancellation and keeps its slot",
            task_id=claim.task_id,
            type=claim.type,
        )
        self._stuck[held.key] = claim.task_id
        self._stuck_changed()
        try:
            await asyncio.wait({handler})
        finally:
            del self._stuck[held.key]
            self._stuck_changed()

    def _stuck_changed(self) -> None:
        self._client.report_stuck(list(self._stuck.values()))
        after_ms = self._config.restart_stuck_after_ms
        if len(self._stuck) < self._config.slots or not after_ms:
            if self._restart_timer is not None:
                self._restart_timer.cancel()
                self._restart_timer = None
        elif self._restart_timer is None:
            loop = asyncio.get_running_loop()
            self._restart_timer = loop.call_later(after_ms / 1_000, self._restart)

    def _restart(self) -> None:
        self._log.error(
            "all slots are stuck: the worker ends, to be started again",
            task_ids=list(self._stuck.values()),
        )
        self._wants_restart = True
        self.stop()
        self.stop()

    async def _run_and_settle(
        self, held: HeldTask, services: ContextServices
    ) -> asyncio.Task[Outcome] | None:
        """The handler; None if it was not started."""
        claim = held.claim
        log = self._log.bind(task_id=claim.task_id, queue=claim.queue, attempt=claim.attempt)
        loop = asyncio.get_running_loop()
        self._heartbeats.add(held)
        try:
            if not await self._is_ours(held):
                log.warning("claim arrived too late")
                return None
            log.debug("task started", type=claim.type, fencing_token=claim.fencing_token)
            started_at = loop.time()
            handler = self._start(held, services)
            outcome = await self._outcome(held, handler)
            held.settling = True
            if not handler.done():
                self._work.keep_slot(claim)
            ending = await self._settle(held, outcome)
            elapsed_ms = round((loop.time() - started_at) * 1000)
            log.log(ending.level, ending.event, elapsed_ms=elapsed_ms, **ending.facts)
            return handler
        finally:
            self._heartbeats.remove(held)
            self._unsettled.discard(held)
            if not self._unsettled:
                self._all_settled.set()

    async def _settle(self, held: HeldTask, outcome: Outcome) -> Ending:
        try:
            return await self._settlement.settle(held, outcome)
        except Exception as error:
            # Whatever the handler has left behind, the task must not stay with nobody.
            failed = Failed(f"the outcome could not be settled: {describe(error)}")
            return await self._settlement.settle(held, failed)

    async def _is_ours(self, held: HeldTask) -> bool:
        """A claim whose answer took most of its lease (a failover, say) is asked about first."""
        age_ms = (asyncio.get_running_loop().time() - held.lease_start) * 1000
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
        if not handler.done() or handler.cancelled():
            return Stopped()
        broken = handler.exception()
        if broken is not None:
            return Failed(f"the attempt could not be made: {describe(broken)}")
        return handler.result()

    async def _drain(self, taking: asyncio.Task[None]) -> None:
        """Have no more tasks sent, and end those that are here."""
        leaving = asyncio.create_task(self._work.stop())
        try:
            await self._finish()
            # What was on its way is given back as it comes.
            await asyncio.wait({leaving, taking}, timeout=_GIVE_BACK_S)
        finally:
            await _end(leaving)

    async def _finish(self) -> None:
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
    *things: asyncio.Task[Any] | Coroutine[Any, Any, object], timeout_s: float | None = None
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
