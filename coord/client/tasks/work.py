"""A worker's way to the cluster: tasks come as long as slots are free, results go back, and the
news that a task is lost comes at once. One task costs one round trip.

A slot is in use from the arrival of a task until its result is sent (`coord.client.tasks.slots`).
Nothing is lost or done twice, whatever happens to nodes and connections
(`coord.client.tasks.work_link`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final

from coord.client.context import ClientContext
from coord.client.session import Session
from coord.client.tasks.claims import claimed_task
from coord.client.tasks.held import HeldTasks
from coord.client.tasks.slots import Key, Slots
from coord.client.tasks.work_link import Listener, WorkLink, WorkTerms
from coord.client.transport.channel import ClientMethod, Rep, Req
from coord.client.transport.errors import ClientClosedError, CoordError, SessionExpiredError
from coord.client.transport.methods import HEARTBEAT
from coord.client.transport.retry import Deadline
from coord.client.types import ClaimedTask, LostTask, TaskHandle, TaskState
from coord.pb import common_pb2
from coord.pb import task_pb2 as pb

MAX_SLOTS: Final = 1_000
_STOP_TIMEOUT_S: Final = 2.0


class Work(HeldTasks):
    """Made by `Tasks.work`. Iterate over it for the tasks; complete, fail and release them here,
    which frees their slots. `on_lost` is called with each task that was taken and is lost;
    `on_trouble` with the reason when contact is lost, which is found again by itself, and
    `on_connected` when a node has accepted this worker."""

    def __init__(
        self,
        core: ClientContext,
        terms: WorkTerms,
        on_lost: Callable[[LostTask], object] | None = None,
        on_trouble: Callable[[CoordError], object] | None = None,
        on_connected: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(core, self._ask)
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._on_connected = on_connected
        self._slots = Slots(terms.slots)
        told = Listener(
            lambda: self._leases,
            self._arrive,
            self._lose,
            self._in_trouble,
            self._in_contact,
            self._changed,
        )
        self._link = WorkLink(core, terms, self._slots, told)
        self._leases: dict[Key, int] = {}  # the session each is held under
        self._arrived: dict[Key, ClaimedTask] = {}  # and not taken yet
        self._takers: dict[asyncio.Future[None], None] = {}  # wait for a task, in order
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._runner: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def in_use(self) -> int:
        """Slots with a task in them."""
        return self._slots.in_use

    async def connected(self) -> None:
        """Return once a node has accepted this worker. Raises what makes that impossible."""
        waiting = asyncio.ensure_future(self._link.connected.wait())
        assert self._runner is not None
        try:
            await asyncio.wait({waiting, self._runner}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> AsyncIterator[ClaimedTask]:
        return self

    async def __anext__(self) -> ClaimedTask:
        """The next task; the end after `stop`. Raises what makes it useless to go on: the cluster
        refuses the terms, or the client is closed."""
        while not self._arrived:
            if self._error is not None:
                raise self._error
            if self._link.quiet:
                raise StopAsyncIteration
            await self._next_arrival()
        return self._arrived.pop(next(iter(self._arrived)))

    async def _next_arrival(self) -> None:
        """Several may iterate side by side: a task that arrives wakes one of them."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._takers[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._takers:
                del self._takers[turn]
            else:  # it was this one's turn: the task is for another
                self._wake_taker()
            raise

    def _wake_taker(self) -> None:
        while self._takers:
            turn = next(iter(self._takers))
            del self._takers[turn]
            if not turn.done():
                turn.set_result(None)
                return

    async def stop(self) -> None:
        """No further tasks. Returns when none is on its way; the iteration ends after those that
        have arrived. Results and news of lost tasks travel as before."""
        self._link.stop()
        self._changed()
        while not self._link.quiet and self._error is None:
            await self._next_news()

    def keep_slot(self, task: ClaimedTask | TaskHandle) -> None:
        """The result of this task is not to free its slot; `free_slot` does."""
        self._slots.keep((task.task_id, task.fencing_token))

    def free_slot(self, task: ClaimedTask | TaskHandle) -> None:
        """The slot of this task is free, and nothing more will be said of the task here: it is
        lost, or settled already."""
        key = (task.task_id, task.fencing_token)
        self._leases.pop(key, None)
        if self._slots.leave(key):
            self._link.speak()

    async def __aenter__(self) -> Work:
        self._core.check_usable()
        self._unsubscribe = self._core.keeper.on_lost(self._session_lost)
        self._runner = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """No further tasks. Those that have arrived and were not taken go back to their queues."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self.stop()
            await self._give_back(list(self._arrived.values()))
        finally:
            await self._close()

    async def _close(self) -> None:
        """End at once; the client calls it too."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._error is None:
            self._error = ClientClosedError("the worker has left", "CLIENT_CLOSED")
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._link.close()
        await super()._close()
        self._changed()

    async def _run(self) -> None:
        try:
            self._error = await self._link.run()
        except Exception as error:
            self._error = error
        self._changed()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # ---- results

    async def _ask(
        self,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        deadline: Deadline,
    ) -> Rep:
        """See `Writer.write`."""
        while True:
            session = await self._core.keeper.get(deadline)
            try:
                return await self._ask_in(session, method, build, deadline)
            except SessionExpiredError:
                self._core.keeper.lost(session)

    async def _ask_in(
        self,
        session: Session,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        deadline: Deadline,
    ) -> Rep:
        with await session.begin(deadline) as ticket:
            request: Any = build(ticket.header())
            if method.path == HEARTBEAT.path:
                keys: set[Key] = set()
            else:
                keys = {(item.task_id, item.fencing_token) for item in request.items}
            leaving = self._slots.settle(keys)
            try:
                reply = await self._link.send(method, request, session, deadline)
            finally:
                self._slots.settled(leaving)
                if leaving.late:
                    self._link.speak()
            for key in keys:
                self._leases.pop(key, None)
            return reply

    # ---- what the link tells

    def _arrive(self, task: pb.ClaimedTask, session_id: int, since_s: float) -> None:
        key = (task.task_id, task.fencing_token)
        self._leases[key] = session_id
        self._arrived[key] = claimed_task(task, session_id, since_s)
        self._wake_taker()

    def _lose(self, lost: LostTask) -> None:
        key = (lost.task_id, lost.fencing_token)
        if self._leases.pop(key, None) is None:
            return
        if self._arrived.pop(key, None) is not None:
            self.free_slot(TaskHandle(*key))  # nobody has seen it yet
        elif self._on_lost is not None:
            self._on_lost(lost)

    def _in_trouble(self, error: CoordError) -> None:
        if self._on_trouble is not None:
            self._on_trouble(error)

    def _in_contact(self) -> None:
        if self._on_connected is not None:
            self._on_connected()

    def _changed(self) -> None:
        """Everybody who waits looks again."""
        self._news.set()
        for _ in range(len(self._takers)):
            self._wake_taker()

    def _session_lost(self, session_id: int) -> None:
        self._link.session_lost(session_id)
        for key in [key for key, under in self._leases.items() if under == session_id]:
            self._lose(LostTask(*key, TaskState.UNKNOWN, "the session has ended"))
