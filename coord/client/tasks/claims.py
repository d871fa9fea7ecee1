"""Claims for equal terms (queues, lease, worker) share calls, and no task handed out is lost.

A caller waits in line; one poll at a time asks for as many tasks as the line wants. Tasks that come
back go to the line in order. Whatever nobody waits for any more - the caller was cancelled or its
time was up when the reply came - is released at once, which gives the task back without counting
the attempt. A poll that nobody waits for is cut short: its call is cancelled and repeated once
under the same sequence without waiting, because the cluster may have handed out tasks already; a
repeat is answered with the same ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from coord.client.session import Session, SessionKeeper
from coord.client.transport.errors import (
    ClientClosedError,
    CoordError,
    OutcomeUnknownError,
    SessionExpiredError,
)
from coord.client.transport.methods import CLAIM
from coord.client.transport.retry import Caller, Deadline
from coord.client.types import ClaimedTask
from coord.pb import task_pb2 as pb

MAX_CLAIM_TASKS = 1_000
POLL_MS = 10_000  # one call is held no longer than this, so that a silent node is noticed
MIN_POLL_TIMEOUT_MS = 2_000


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """Claims that are equal in all of these can share a call."""

    queues: tuple[str, ...]
    lease_ttl_ms: int
    worker: str
    waits: bool  # a claim that wants its answer at once never stands behind one that waits


@dataclass(slots=True, eq=False)
class _Waiting:
    max_tasks: int
    wait: Deadline | None
    deadline: Deadline
    answer: asyncio.Future[list[ClaimedTask]]
    asked: bool = False  # a call for it is or was under way
    timer: asyncio.TimerHandle | None = None


Release = Callable[[Sequence[ClaimedTask]], Awaitable[None]]


class ClaimLine:
    """The callers that wait for tasks on the same terms."""

    def __init__(
        self, terms: ClaimTerms, caller: Caller, keeper: SessionKeeper, release: Release
    ) -> None:
        self._terms = terms
        self._caller = caller
        self._keeper = keeper
        self._release = release
        self._line: dict[_Waiting, None] = {}  # in order of arrival
        self._driver: asyncio.Task[None] | None = None
        self._unwanted = asyncio.Event()
        self._giving_back: set[asyncio.Future[None]] = set()

    @property
    def idle(self) -> bool:
        return not self._line and not self._giving_back and self._driver_is_done()

    def _driver_is_done(self) -> bool:
        return self._driver is None or self._driver.done()

    async def claim(self, max_tasks: int, wait_ms: int, timeout_ms: int) -> list[ClaimedTask]:
        """Up to `max_tasks` tasks; empty when there was none within `wait_ms`."""
        loop = asyncio.get_running_loop()
        deadline = Deadline(wait_ms + timeout_ms)
        waiting = _Waiting(
            max_tasks, Deadline(wait_ms) if wait_ms else None, deadline, loop.create_future()
        )
        self._line[waiting] = None
        self._unwanted.clear()
        if self._driver_is_done():
            self._driver = loop.create_task(self._drive())
        if wait_ms:
            waiting.timer = loop.call_later(wait_ms / 1_000, _wait_is_over, loop, waiting)
        else:
            _wait_is_over(loop, waiting)
        answer = waiting.answer
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and not answer.exception():
                self._give_back(answer.result())
            raise
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()
            self._leave(waiting)
            if not self._line:
                self._unwanted.set()

    async def close(self) -> None:
        closed = ClientClosedError("the client is closed", "CLIENT_CLOSED")
        for waiting in tuple(self._line):
            _fail(waiting, closed)
        self._line.clear()
        pending = {*self._giving_back, *([self._driver] if self._driver else [])}
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    async def _drive(self) -> None:
        while self._line:
            asked = tuple(self._line)
            for waiting in asked:
                waiting.asked = True
            try:
                tasks = await self._poll(asked)
            except Exception as error:
                for waiting in asked:
                    _fail(waiting, error.copy() if isinstance(error, CoordError) else error)
                    self._leave(waiting)
            else:
                self._hand_out(tasks, asked)

    async def _poll(self, asked: Sequence[_Waiting]) -> list[ClaimedTask]:
        """One call for all of them, under one sequence however often it is repeated."""
        deadline = asked[0].deadline
        for waiting in asked[1:]:
            deadline = deadline.later(waiting.deadline)
        wait_ms = min((w.wait.remaining_ms if w.wait else 0) for w in asked)
        wait_ms = min(wait_ms, POLL_MS)
        while True:
            session = await self._keeper.get(deadline)
            try:
                return await self._poll_in(session, asked, wait_ms, deadline)
            except SessionExpiredError:
                self._keeper.lost(session)
            except OutcomeUnknownError as error:
                if "session_ended" not in error.metadata:
                    raise  # else what it may have claimed is back in its queue
                self._keeper.lost(session)

    async def _poll_in(
        self, session: Session, asked: Sequence[_Waiting], wait_ms: int, deadline: Deadline
    ) -> list[ClaimedTask]:
        with await session.begin(deadline, patient=wait_ms > 0) as ticket:
            request = pb.ClaimRequest(
                header=ticket.header(),
                queues=self._terms.queues,
                max_tasks=min(sum(w.max_tasks for w in asked), MAX_CLAIM_TASKS),
                lease_ttl_ms=self._terms.lease_ttl_ms,
                wait_ms=wait_ms,
                worker=self._terms.worker,
            )
            asked_at_s = time.monotonic()
            reply = await self._call_while_wanted(request, deadline)
        return [claimed_task(task, session.session_id, asked_at_s) for task in reply.tasks]

    async def _call_while_wanted(
        self, request: pb.ClaimRequest, deadline: Deadline
    ) -> pb.ClaimResponse:
        call = asyncio.ensure_future(self._call(request, deadline))
        unwanted = asyncio.ensure_future(self._unwanted.wait())
        try:
            await asyncio.wait({call, unwanted}, return_when=asyncio.FIRST_COMPLETED)
            if call.done() or not request.wait_ms:
                return await call
            call.cancel()
            await asyncio.wait({call})
            if not call.cancelled():
                return call.result()
            request.wait_ms = 0
            timeout = Deadline(max(deadline.remaining_ms, MIN_POLL_TIMEOUT_MS))
            return await self._call(request, timeout)
        finally:
            for task in (call, unwanted):
                task.cancel()
            await asyncio.wait({call, unwanted})

    async def _call(self, request: pb.ClaimRequest, deadline: Deadline) -> pb.ClaimResponse:
        try:
            return await self._caller.call(CLAIM, request, deadline, wait_ms=request.wait_ms)
        except CoordError as error:
            if error.reason == "SEQUENCE_FORGOTTEN":
                return pb.ClaimResponse()  # given up in favour of other calls: poll anew
            raise

    def _hand_out(self, tasks: list[ClaimedTask], asked: Sequence[_Waiting]) -> None:
        served = set(asked)
        begin = 0
        for waiting in tuple(self._line):
            own = tasks[begin : begin + waiting.max_tasks]
            begin += len(own)
            if own or (waiting in served and _is_over(waiting)):
                if not waiting.answer.done():
                    waiting.answer.set_result(own)
                else:
                    self._give_back(own)
                self._leave(waiting)
        self._give_back(tasks[begin:])

    def _leave(self, waiting: _Waiting) -> None:
        self._line.pop(waiting, None)

    def _give_back(self, tasks: Sequence[ClaimedTask]) -> None:
        if tasks:
            giving = asyncio.ensure_future(self._release(tasks))
            self._giving_back.add(giving)
            giving.add_done_callback(self._giving_back.discard)


def _is_over(waiting: _Waiting) -> bool:
    return waiting.wait is None or waiting.wait.remaining_s == 0.0


def _wait_is_over(loop: asyncio.AbstractEventLoop, waiting: _Waiting) -> None:
    """The answer of a call under way is waited for; without one it got no task, as those before it
    in the line."""
    if waiting.asked or waiting.wait is None:
        left_s = waiting.deadline.remaining_s + 0.1
        waiting.timer = loop.call_later(left_s, _answer_nothing, waiting)
    else:
        _answer_nothing(waiting)


def _answer_nothing(waiting: _Waiting) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result([])


def claimed_task(task: pb.ClaimedTask, session_id: int, claimed_at_s: float) -> ClaimedTask:
    """As users see it."""
    labels = task.labels
    return ClaimedTask(
        task.task_id,
        task.queue,
        task.type,
        task.payload,
        task.fencing_token,
        task.attempt,
        task.max_attempts,
        task.lease_ttl_ms,
        task.checkpoint,
        task.priority,
        dict(labels) if labels else {},
        task.attempt_timeout_ms,
        task.progress_timeout_ms,
        session_id,
        claimed_at_s,
        task.lost_leases,
    )


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
        waiting.answer.exception()
