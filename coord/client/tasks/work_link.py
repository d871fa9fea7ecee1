"""Keeps a work stream open for a worker: at the leader if that can be reached, else at any node.

The node claims tasks under sequences that it is given in advance, together with the free slots.
When a stream ends, sequences that are not accounted for may have brought tasks which nobody has
heard of. They are repeated as plain claims that do not wait: a repeat is answered with what the
first try brought. Until that is known, the slots they could have filled are not stated again.

A node that goes, or leads no more, is left in order: it is asked to stop, tells what is unused, and
answers what it has.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from coord.client.context import ClientContext
from coord.client.session import Session, Ticket
from coord.client.tasks.convert import lost_task
from coord.client.tasks.slots import Key, Slots
from coord.client.tasks.work_stream import PATH, WorkStream
from coord.client.transport.channel import ClientMethod, Connection, Rep, Req
from coord.client.transport.errors import (
    ClientClosedError,
    CoordError,
    DefiniteError,
    SessionExpiredError,
    UnimplementedError,
)
from coord.client.transport.methods import CLAIM
from coord.client.transport.retry import ATTEMPT_TIMEOUT_S, BACKOFF_MAX_S, BACKOFF_MIN_S, Deadline
from coord.client.types import LostTask
from coord.pb import task_pb2 as pb
from coord.pb import work_pb2

# Given to the node in advance, so that it need not wait for another before it claims again.
SEQUENCES: Final = 4
MAX_HELD: Final = 4_096  # leases that a node watches for one worker
_FEW_SEQUENCES: Final = 1
_RESTOCK_S: Final = 0.1
# A node that goes is not asked again for so long: it may still lead.
_AWAY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class WorkTerms:
    """What a worker claims, and how."""

    queues: tuple[str, ...]
    slots: int
    lease_ttl_ms: int
    worker: str


@dataclass(frozen=True, slots=True)
class Listener:
    """What is told to whoever does the work."""

    held: Callable[[], Collection[Key]]  # leases that the node is to watch
    arrived: Callable[[pb.ClaimedTask, int, float], None]  # with its session, and since when
    lost: Callable[[LostTask], None]
    trouble: Callable[[CoordError], None]  # a stream ended; another one is opened
    connected: Callable[[], None]  # a node has accepted this worker
    changed: Callable[[], None]  # `WorkLink.quiet` may be true by now


@dataclass(frozen=True, slots=True)
class _Handed:
    """A sequence that a node may claim under, and when it was given it."""

    ticket: Ticket
    at_s: float


class WorkLink:
    """The streams of one worker, one after the other. `connected`: set while one is accepted."""

    def __init__(
        self, core: ClientContext, terms: WorkTerms, slots: Slots, listener: Listener
    ) -> None:
        self.connected = asyncio.Event()
        self._core = core
        self._caller = core.caller
        self._discovery = core.caller.discovery
        self._terms = terms
        self._slots = slots
        self._listener = listener
        self._stream: WorkStream | None = None
        self._session: Session | None = None  # of the stream
        self._connection: Connection | None = None  # that it is on
        self._handed: dict[int, _Handed] = {}  # by sequence
        self._leaving = False  # the node of this stream
        self._left: Connection | None = None
        self._left_until_s = 0.0
        self._stopping = False
        self._recovering = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def quiet(self) -> bool:
        """It was stopped, and no task is on its way any more."""
        at_rest = self._stream is None or self._stream.stopped
        return self._stopping and not self._recovering and at_rest

    async def run(self) -> CoordError:
        """Keep a stream open until there is no sense in it; why."""
        failures = 0
        while True:
            self.connected.clear()
            try:
                error = await self._attend()
            except CoordError as refused:
                error = refused
            failures = 0 if self.connected.is_set() else failures + 1
            if error is None:
                continue
            if _is_final(error):
                self.connected.clear()
                return error
            self._listener.trouble(error)
            ceiling_s = min(BACKOFF_MIN_S * 2 ** min(failures, 10), BACKOFF_MAX_S)
            await asyncio.sleep(random.uniform(ceiling_s / 2, ceiling_s))

    def speak(self) -> None:
        """There may be slots to state."""
        if self._stream is not None:
            self._stream.write_soon()

    def stop(self) -> None:
        """Have no further tasks sent."""
        self._stopping = True
        if self._stream is not None:
            self._stream.stop()

    async def send(
        self, method: ClientMethod[Req, Rep], request: Req, session: Session, deadline: Deadline
    ) -> Rep:
        """The response to a request under a sequence of the session: over the stream, and if that
        ends without an answer, by a call that repeats it. Raises CoordError."""
        stream, connection, failed = self._stream, self._connection, None
        if stream is not None and stream.usable and session is self._session:
            assert connection is not None
            watch = self._discovery.liveness.begin(connection)
            try:
                limit_s = min(deadline.remaining_s, ATTEMPT_TIMEOUT_S)
                answer = await stream.ask(method.path, request, limit_s)
                return cast(Rep, answer)  # the shape of all four responses
            except CoordError as error:
                failed = error
            finally:
                self._discovery.liveness.end(connection, watch)
        return await self._caller.call(method, request, deadline, after=failed)

    def session_lost(self, session_id: int) -> None:
        """What was claimed under it is gone, and its stream of no use."""
        stream, session = self._stream, self._session
        if stream is not None and session is not None and session.session_id == session_id:
            gone = SessionExpiredError("the session has ended", "SESSION_NOT_FOUND")
            self._start(stream.close(gone))

    async def close(self) -> None:
        """End at once. Whoever runs `run` ends that."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- one stream

    async def _attend(self) -> CoordError | None:
        """One stream, from its opening to its end; why it ended, if it was not meant to."""
        deadline = Deadline(self._core.timeout_ms)
        await self._discovery.ready(deadline.remaining_s)
        session = await self._core.keeper.get(deadline)
        connection = self._pick()
        self._session, self._connection, self._leaving = session, connection, False
        rpc = connection.open_stream(PATH)
        stream = WorkStream(rpc, self._hello(session), self._fill, self._take)
        self._stream = stream
        if self._stopping:
            stream.stop()
        try:
            error = await stream.run()
        finally:
            self._stream = None
            await stream.close(_closed())
            self._account_for(session)
        self._note(connection, session, error)
        return error

    def _pick(self) -> Connection:
        """The leader, if it is known; not a node that has just sent us away if there is another."""
        connection = self._discovery.pick()
        if connection is self._left and time.monotonic() < self._left_until_s:
            return self._discovery.nearest({connection.address}) or connection
        return connection

    def _leave(self, connection: Connection) -> None:
        """The node is going, and takes a moment to."""
        self._left = connection
        self._left_until_s = time.monotonic() + _AWAY_S
        self._discovery.failed(connection, reachable=True)

    def _hello(self, session: Session) -> work_pb2.WorkerHello:
        terms = self._terms
        held = [
            work_pb2.HeldLease(task_id=task_id, fencing_token=token)
            for task_id, token in islice(self._listener.held(), MAX_HELD)
        ]
        return work_pb2.WorkerHello(
            session_id=session.session_id,
            queues=terms.queues,
            lease_ttl_ms=terms.lease_ttl_ms,
            worker=terms.worker,
            held=held,
        )

    def _note(self, connection: Connection, session: Session, error: CoordError | None) -> None:
        if isinstance(error, SessionExpiredError):
            self._core.keeper.lost(session)
        elif isinstance(error, UnimplementedError):
            self._discovery.failed(connection, reachable=True)  # a node of an older version
        elif error is not None and error.reason == "SHUTTING_DOWN":
            self._leave(connection)
        elif error is not None:
            self._caller.note(connection, error)

    def _fill(self, message: work_pb2.WorkerMessage) -> bool:
        """State what is free, and hand out sequences to claim it under."""
        message.free_slots = self._slots.state()
        session, now_s = self._session, time.monotonic()
        assert session is not None
        while len(self._handed) < SEQUENCES:
            ticket = session.try_begin(patient=True)
            if ticket is None:
                asyncio.get_running_loop().call_later(_RESTOCK_S, self.speak)
                break
            self._handed[ticket.sequence] = _Handed(ticket, now_s)
            message.claim_sequences.append(ticket.sequence)
        return bool(message.free_slots or message.claim_sequences)

    def _take(self, message: work_pb2.ServerMessage) -> None:
        stream, session, connection = self._stream, self._session, self._connection
        assert stream is not None
        assert session is not None
        assert connection is not None
        if message.welcome:
            self._discovery.answered(connection)
            self.connected.set()
            self._listener.connected()
        for assignment in message.assignments:
            self._settle(assignment.sequence)
            for task in assignment.claimed.tasks:
                self._slots.fill((task.task_id, task.fencing_token))
                since_s = assignment.since_clock_ms / 1000
                self._listener.arrived(task, session.session_id, since_s)
        for lost in message.lost:
            self._listener.lost(lost_task(lost))
        for sequence in message.unused:
            self._settle(sequence)
        if message.closing:
            self._leave(connection)
            self._leaving = stream.stopping = True
        if message.stopped:
            self._account_for(session)
            if self._leaving:
                stream.drain()
        elif message.leader_address and not self._leaving:
            self._start(self._find_leader(stream, connection, message.leader_address))
        if len(self._handed) <= _FEW_SEQUENCES:
            stream.write_soon()

    async def _find_leader(self, stream: WorkStream, connection: Connection, address: str) -> None:
        """Go to the leader, if it can be reached from here."""
        self._discovery.learn(address)
        await self._discovery.look_around()
        if stream is self._stream and self._pick() is not connection:
            self._leaving = True
            stream.stop()
            if stream.stopped:
                stream.drain()

    # ---- sequences

    def _settle(self, sequence: int) -> None:
        handed = self._handed.pop(sequence, None)
        if handed is not None:
            handed.ticket.settle()

    def _account_for(self, session: Session) -> None:
        """The node claims no more: find out what it has claimed already, as far as it did not
        say."""
        slots = self._slots.take_back()
        handed = [self._handed.pop(sequence) for sequence in sorted(self._handed)]
        if slots and handed and not session.lost.is_set():
            self._recovering += 1
            self._start(self._recover(session, handed, slots))
            return
        for one in handed:
            one.ticket.settle()
        self._slots.give(slots)
        self._listener.changed()

    async def _recover(self, session: Session, handed: Sequence[_Handed], slots: int) -> None:
        try:
            for one in handed:
                with one.ticket as ticket:
                    # With all slots filled, nothing else can have been claimed.
                    if slots and not session.lost.is_set():
                        slots -= await self._claim_again(session, ticket, one.at_s, slots)
        finally:
            self._recovering -= 1
            self._slots.give(slots)
            self.speak()
            self._listener.changed()

    async def _claim_again(
        self, session: Session, ticket: Ticket, since_s: float, slots: int
    ) -> int:
        """How many tasks came under this sequence."""
        terms = self._terms
        request = pb.ClaimRequest(
            header=ticket.header(),
            queues=terms.queues,
            max_tasks=slots,
            lease_ttl_ms=terms.lease_ttl_ms,
            worker=terms.worker,
        )
        while True:
            try:
                reply = await self._caller.call(CLAIM, request, Deadline(self._core.timeout_ms))
            except SessionExpiredError:
                self._core.keeper.lost(session)
                return 0
            except CoordError as error:
                if not error.retryable:
                    return 0  # forgotten, say: if it brought something, those leases run out
                continue
            for task in reply.tasks:
                self._slots.fill_taken((task.task_id, task.fencing_token))
                self._listener.arrived(task, session.session_id, since_s)
            return len(reply.tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_final(error: CoordError) -> bool:
    """No other node and no later time will make it right."""
    if isinstance(error, SessionExpiredError | UnimplementedError):
        return False
    return isinstance(error, ClientClosedError) or (
        isinstance(error, DefiniteError) and not error.retryable
    )


def _closed() -> CoordError:
    return ClientClosedError("the worker has left", "CLIENT_CLOSED")
