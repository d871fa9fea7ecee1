"""The client's session: opened when first needed, kept alive by a task of its own, replaced when it
is lost.

Every write takes the next sequence of the session and holds it until its outcome is settled;
`acked_below`, the lowest sequence still held, tells the cluster which replies it may forget. A
sequence given up without an answer is settled too: once the cluster has heard of it, a late copy of
that request is refused (SEQUENCE_FORGOTTEN), so it cannot take effect behind the caller's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from coord.client.lost import LostEvent
from coord.client.transport.channel import ClientMethod, Metadata, Rep, Req
from coord.client.transport.errors import (
    BusyError,
    ClientClosedError,
    CoordError,
    DefiniteError,
    SessionExpiredError,
    UnavailableError,
)
from coord.client.transport.methods import CLOSE_SESSION, KEEP_ALIVE, OPEN_SESSION
from coord.client.transport.retry import Caller, Deadline, given_up
from coord.pb import common_pb2
from coord.pb import session_pb2 as pb

WINDOW = 2_048  # sequences between the oldest one held and the newest; the cluster keeps 4096
CLOSE_TIMEOUT_MS = 2_000
TOO_MANY = "too many calls of this client are under way"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How sessions are opened. `kind`: "client" or "worker"; the rest is for people and workers."""

    ttl_ms: int = 15_000
    kind: str = "client"
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    slots: int = 0


class Session:
    """One session. `lost` is set when the cluster says that it is over. It is in doubt as soon as
    that is possible: a TTL after the last sign of life was sent that got an answer."""

    def __init__(self, session_id: int, ttl_ms: int, alive_at_s: float) -> None:
        self.session_id = session_id
        self.ttl_ms = ttl_ms
        self.lost = asyncio.Event()
        self.alive_until_s = alive_at_s + ttl_ms / 1_000
        self._watchers: set[LostEvent] = set()
        self._next_sequence = 1
        self._held: dict[int, bool] = {}  # sequence -> may be given up when the window is full
        self._room = asyncio.Event()
        self._doubt_timer: asyncio.TimerHandle | None = None
        self.alive(alive_at_s)

    def alive(self, sent_at_s: float) -> None:
        """The cluster answered a sign of life sent then, so the session lives a TTL from there."""
        if self._doubt_timer is not None:
            self._doubt_timer.cancel()
        for event in tuple(self._watchers):
            if event.told:
                event.set()  # somebody was told before this sign of life was heard of
        self.alive_until_s = sent_at_s + self.ttl_ms / 1_000
        left_s = self.alive_until_s - time.monotonic()
        self._doubt_timer = asyncio.get_running_loop().call_later(left_s, self._doubt)

    def end(self) -> None:
        if self._doubt_timer is not None:
            self._doubt_timer.cancel()
        self.lost.set()
        self._doubt()
        self._room.set()

    def watch(self, event: LostEvent) -> None:
        """Set `event` when the session is over or in doubt."""
        self._watchers.add(event)
        if self.lost.is_set():
            event.set()

    def unwatch(self, event: LostEvent) -> None:
        self._watchers.discard(event)

    def _doubt(self) -> None:
        for event in tuple(self._watchers):
            event.set()

    async def begin(self, deadline: Deadline, *, patient: bool = False) -> Ticket:
        """Take the next sequence. `patient` ones (calls the server may hold for long) give their
        claim to a remembered reply up when they would hold everybody else back."""
        while (ticket := self.try_begin(patient=patient)) is None:
            await self._wait_for_room(deadline)
        return ticket

    def try_begin(self, *, patient: bool = False) -> Ticket | None:
        """The same at once; None if too many are held."""
        if self._next_sequence - self._lowest() >= WINDOW:
            self._give_up_patient()
            if self._next_sequence - self._lowest() >= WINDOW:
                return None
        sequence = self._next_sequence
        self._next_sequence += 1
        self._held[sequence] = patient
        return Ticket(self, sequence)

    def settle(self, sequence: int) -> None:
        self._held.pop(sequence, None)
        self._room.set()

    def acked_below(self) -> int:
        return self._lowest()

    def _lowest(self) -> int:
        return next(iter(self._held), self._next_sequence)

    def _give_up_patient(self) -> None:
        for sequence in [s for s, patient in self._held.items() if patient]:
            del self._held[sequence]

    async def _wait_for_room(self, deadline: Deadline) -> None:
        if self.lost.is_set():
            raise SessionExpiredError("the session is over", "SESSION_NOT_FOUND")
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), deadline.remaining_s)
        except TimeoutError:
            raise BusyError(TOO_MANY, "BUSY", retryable=True) from None


@dataclass(frozen=True, slots=True)
class Ticket:
    """One sequence of one session, held until settled (leave the `with` block)."""

    session: Session
    sequence: int

    def header(self) -> common_pb2.RequestHeader:
        return common_pb2.RequestHeader(
            session_id=self.session.session_id,
            sequence=self.sequence,
            acked_below=min(self.session.acked_below(), self.sequence),
        )

    def metadata(self) -> Metadata:
        """The same for services whose messages have no header of ours."""
        header = self.header()
        return (
            ("coord-session", str(header.session_id)),
            ("coord-sequence", str(header.sequence)),
            ("coord-acked-below", str(header.acked_below)),
        )

    def settle(self) -> None:
        """Its outcome is known, or is given up."""
        self.session.settle(self.sequence)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle()


class SessionKeeper:
    """Opens the session on demand, keeps it alive, notices its loss."""

    def __init__(self, caller: Caller, options: SessionOptions, timeout_ms: int) -> None:
        self._caller = caller
        self._options = options
        self._timeout_ms = timeout_ms
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._nonce = os.urandom(16)
        self._callbacks: list[Callable[[int], object]] = []
        self._trouble: CoordError | None = None  # why no session is open yet
        self._closed = False
        self._stuck: tuple[str, ...] | None = None  # None = nothing was ever reported
        self._report_due = asyncio.Event()

    @property
    def current(self) -> Session | None:
        """The session that is open."""
        return self._session

    @property
    def session_id(self) -> int:
        """0 = none is open."""
        return self._session.session_id if self._session is not None else 0

    def on_lost(self, callback: Callable[[int], object]) -> Callable[[], None]:
        self._callbacks.append(callback)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return remove

    async def get(self, deadline: Deadline) -> Session:
        """The live session, opened if there is none."""
        if self._closed:
            raise ClientClosedError("the client is closed", "CLIENT_CLOSED")
        if self._session is not None:
            return self._session
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(_retrieve)
        try:
            return await asyncio.wait_for(asyncio.shield(self._opening), deadline.remaining_s)
        except asyncio.CancelledError:
            if self._closed and self._opening.cancelled() and not _is_cancelled():
                raise ClientClosedError("the client is closed", "CLIENT_CLOSED") from None
            raise
        except TimeoutError:
            raise self._not_opened(deadline) from None

    def _not_opened(self, deadline: Deadline) -> CoordError:
        """Nothing that needs the session was sent: whatever became of opening it, this is
        definite."""
        trouble = self._trouble
        if isinstance(trouble, DefiniteError):
            return given_up(trouble, deadline)
        why = f": {trouble}" if trouble is not None else ""
        message = f"no session could be opened within {deadline.timeout_ms} ms{why}"
        return UnavailableError(message, "UNREACHABLE", retryable=True)

    def _note_trouble(self, error: CoordError) -> None:
        self._trouble = error

    def lost(self, session: Session) -> None:
        """The cluster said that this session is over."""
        if session is not self._session:
            return
        self._session = None
        session.end()
        if self._keeping is not None and self._keeping is not asyncio.current_task():
            self._keeping.cancel()
        self._keeping = None
        loop = asyncio.get_running_loop()
        for callback in tuple(self._callbacks):
            loop.call_soon(callback, session.session_id)

    async def close(self, *, end_session: bool = True) -> None:
        self._closed = True
        for task in (self._opening, self._keeping):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        session, self._session = self._session, None
        if session is None:
            return
        session.end()
        if end_session:
            request = pb.CloseSessionRequest(session_id=session.session_id)
            with contextlib.suppress(CoordError):  # then it ends by itself, a TTL from now
                timeout_ms = min(self._timeout_ms, CLOSE_TIMEOUT_MS)
                await self._caller.call(CLOSE_SESSION, request, Deadline(timeout_ms), last=True)

    async def _open(self) -> Session:
        """The nonce makes every repeat open the same session; a new one is drawn only after
        success, so that an open of unknown outcome leaves nothing behind."""
        options = self._options
        request = pb.OpenSessionRequest(
            ttl_ms=options.ttl_ms,
            nonce=self._nonce,
            kind=options.kind,
            name=options.name,
            labels=dict(options.labels),
            queues=options.queues,
            slots=options.slots,
        )
        sent_at_s = time.monotonic()
        self._trouble = None
        reply = await self._caller.call(
            OPEN_SESSION, request, Deadline(self._timeout_ms), on_failure=self._note_trouble
        )
        self._nonce = os.urandom(16)
        session = Session(reply.session_id, reply.ttl_ms or options.ttl_ms, sent_at_s)
        self._session = session
        self._keeping = asyncio.get_running_loop().create_task(self._keep_alive(session))
        return session

    def report_stuck(self, task_ids: Sequence[str]) -> None:
        """Tell with the next sign of life, which is sent now, what keeps slots."""
        self._stuck = tuple(task_ids)
        self._report_due.set()

    async def _wait_to_report(self, period_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period_s):
                await self._report_due.wait()
        self._report_due.clear()

    def _sign_of_life(self, session: Session) -> pb.KeepAliveRequest:
        if self._stuck is None:
            return pb.KeepAliveRequest(session_id=session.session_id)
        report = pb.SlotReport(stuck_task_ids=self._stuck)
        return pb.KeepAliveRequest(session_id=session.session_id, report=report)

    async def _keep_alive(self, session: Session) -> None:
        period_s = session.ttl_ms / 3_000
        if self._stuck:
            self._report_due.set()
        while not session.lost.is_set():
            await self._wait_to_report(period_s)
            sent_at_s = time.monotonic()
            request = self._sign_of_life(session)
            try:
                await self._caller.call(KEEP_ALIVE, request, Deadline(max(session.ttl_ms, 1_000)))
            except SessionExpiredError:
                self.lost(session)
                return
            except CoordError:
                period_s = 0.05  # out of reach for a whole TTL; the session may still be there
                continue
            period_s = session.ttl_ms / 3_000
            session.alive(sent_at_s)


class Writer:
    """Makes writes under the session's next sequence; without sessions, undeduplicated ones, which
    are then not repeated once their outcome is unknown."""

    def __init__(self, caller: Caller, keeper: SessionKeeper, *, use_session: bool = True) -> None:
        self._caller = caller
        self._keeper = keeper
        self._use_session = use_session

    async def write(
        self,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        deadline: Deadline,
    ) -> Rep:
        """A write that belongs to no particular session: if the session turns out to be over before
        the write could happen, it is made under a new one."""
        if not self._use_session:
            request = build(common_pb2.RequestHeader())
            return await self._caller.call(method, request, deadline, repeatable=False)
        while True:
            session = await self._keeper.get(deadline)
            try:
                return await self.write_in(session, method, build, deadline)
            except SessionExpiredError:
                continue

    async def write_in(
        self,
        session: Session,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        deadline: Deadline,
        *,
        wait_ms: int = 0,
    ) -> Rep:
        """A write that is tied to this session; raises SessionExpiredError when it is over."""
        try:
            with await session.begin(deadline, patient=wait_ms > 0) as ticket:
                request = build(ticket.header())
                return await self._caller.call(method, request, deadline, wait_ms=wait_ms)
        except SessionExpiredError:
            self._keeper.lost(session)
            raise

    async def write_with_metadata(
        self, method: ClientMethod[Req, Rep], request: Req, deadline: Deadline
    ) -> Rep:
        """`write` for a service whose messages carry no header: it travels as call metadata."""
        if not self._use_session:
            return await self._caller.call(method, request, deadline, repeatable=False)
        while True:
            session = await self._keeper.get(deadline)
            try:
                with await session.begin(deadline) as ticket:
                    return await self._caller.call(
                        method, request, deadline, metadata=ticket.metadata()
                    )
            except SessionExpiredError:
                self._keeper.lost(session)


def _is_cancelled() -> bool:
    """Whether somebody has cancelled the current task itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _retrieve(task: asyncio.Task[Session]) -> None:
    if not task.cancelled():
        task.exception()  # its waiters may all be gone
