"""Repeating a call until it has an answer or its time is up.

The bytes of a request, and with them its session and sequence, stay the same over all attempts, so
the cluster answers a repeat with the first reply instead of doing it twice (Raft dissertation,
section 6.3). That is why an attempt of unknown outcome is repeated too - if, and only if, the
request is such (`repeatable`: deduplicated, or a read). A refusal that follows an attempt of
unknown outcome says nothing about that attempt unless it comes from the replicated state. A read
has no outcome beside its reply, so of its attempts only the last counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from coord.client.transport.channel import ClientMethod, Connection, Metadata, Rep, Req
from coord.client.transport.discovery import Discovery
from coord.client.transport.errors import (
    BusyError,
    ClientClosedError,
    CoordError,
    DeadlineError,
    DefiniteError,
    NoLeaderError,
    OutcomeUnknownError,
    SessionExpiredError,
    TooStaleError,
    UnavailableError,
)
from coord.client.transport.stale import Stale

ATTEMPT_TIMEOUT_S = 4.0  # more than a follower waits for a leader (2 s), less than most time-outs
BACKOFF_MIN_S = 0.02
BACKOFF_MAX_S = 0.5
MIN_ATTEMPT_S = 0.005
# Nodes refuse some 50 ms before a deadline. An attempt that could not hear of that would make an
# unknown outcome of a refusal.
LAST_ATTEMPT_S = 0.06
_TURNS_TO_END = 1_000  # of the event loop, for calls to tell their callers that they have ended


class Deadline:
    """A moment on the monotonic clock. `timeout_ms`: how far away it was when made."""

    __slots__ = ("_at_s", "timeout_ms")

    def __init__(self, timeout_ms: int) -> None:
        if timeout_ms <= 0:
            raise ValueError(f"timeout_ms must be positive, not {timeout_ms}")
        self.timeout_ms = timeout_ms
        self._at_s = time.monotonic() + timeout_ms / 1_000

    @property
    def remaining_s(self) -> float:
        """Seconds left; 0.0 when over."""
        return max(0.0, self._at_s - time.monotonic())

    @property
    def remaining_ms(self) -> int:
        return int(self.remaining_s * 1_000)

    def later(self, other: Deadline) -> Deadline:
        return self if self._at_s >= other._at_s else other


class Caller:
    """Makes calls on whichever node can answer."""

    def __init__(self, discovery: Discovery, attempt_timeout_s: float = ATTEMPT_TIMEOUT_S) -> None:
        self.discovery = discovery
        self._attempt_timeout_s = attempt_timeout_s
        self._closed = False
        self._under_way: Counter[asyncio.Task[Any]] = Counter()

    async def close(self) -> None:
        """End the calls under way, and refuse others, all but `last` ones."""
        self._closed = True
        for task in tuple(self._under_way):
            task.cancel()
        for _ in range(_TURNS_TO_END):
            if not self._under_way:
                return
            await asyncio.sleep(0)

    async def call(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        deadline: Deadline,
        *,
        repeatable: bool = True,
        reads: bool = False,
        wait_ms: int = 0,
        metadata: Metadata = (),
        after: CoordError | None = None,
        on_failure: Callable[[CoordError], object] | None = None,
        last: bool = False,
    ) -> Rep:
        """The reply; or, when the deadline passes first, the error that says most: DeadlineError if
        some attempt's outcome is unknown, else the last refusal.

        `reads`: it changes nothing. `wait_ms`: how long the server may hold the call on purpose.
        `after`: what became of a first attempt that was made another way. `on_failure`: is told
        what became of each attempt that failed. `last`: it belongs to the end of the client."""
        attempts = _Attempts(deadline, repeatable, reads=reads, on_failure=on_failure)
        if after is not None:
            attempts.failed(after)
        if last:
            return await self._call(method, request, attempts, wait_ms, metadata)
        with self._until_closed(attempts):
            return await self._call(method, request, attempts, wait_ms, metadata)

    @contextlib.contextmanager
    def _until_closed(self, attempts: _Attempts) -> Iterator[None]:
        """The end of the client interrupts what is awaited here, and only that."""
        if self._closed:
            raise attempts.closed()
        task = asyncio.current_task()
        assert task is not None
        self._under_way[task] += 1
        try:
            yield
        except asyncio.CancelledError:
            if not self._closed or task.uncancel():
                raise  # the caller itself was cancelled
            raise attempts.closed() from None
        finally:
            self._under_way[task] -= 1
            if not self._under_way[task]:
                del self._under_way[task]

    async def _call(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        attempts: _Attempts,
        wait_ms: int,
        metadata: Metadata,
    ) -> Rep:
        deadline = attempts.deadline
        await self.discovery.ready(deadline.remaining_s)
        while True:
            attempts.check_time()
            connection = self.discovery.pick()
            limit_s = min(deadline.remaining_s, self._attempt_timeout_s + wait_ms / 1_000)
            watch = None if wait_ms else self.discovery.liveness.begin(connection)
            attempts.under_way = True
            try:
                reply = await connection.call(method, request, limit_s, metadata)
            except CoordError as error:
                attempts.under_way = False
                self.note(connection, error)
                attempts.failed(error)
            else:
                self.discovery.answered(connection, reply)
                return reply
            finally:
                if watch is not None:
                    self.discovery.liveness.end(connection, watch)
            await asyncio.sleep(attempts.pause_s(self.discovery.has_unsuspected()))

    async def call_nearest(
        self, method: ClientMethod[Req, Rep], request: Req, deadline: Deadline, stale: Stale
    ) -> Rep:
        """The reply of the first endpoint whose state is not too old. Raises TooStaleError when
        all that answer have refused."""
        attempts = _Attempts(deadline, repeatable=True, reads=True)
        with self._until_closed(attempts):
            return await self._call_nearest(method, request, attempts, stale)

    async def _call_nearest(
        self, method: ClientMethod[Req, Rep], request: Req, attempts: _Attempts, stale: Stale
    ) -> Rep:
        deadline = attempts.deadline
        passed_over: set[str] = set()
        refusal: TooStaleError | None = None
        while True:
            attempts.check_time()
            connection = self.discovery.nearest(passed_over)
            if connection is None:
                if refusal is not None:
                    raise refusal
                passed_over.clear()
                await asyncio.sleep(attempts.pause_s(another_node=False))
                continue
            passed_over.add(connection.address)
            limit_s = min(deadline.remaining_s, self._attempt_timeout_s)
            watch = self.discovery.liveness.begin(connection)
            try:
                asked = stale.metadata()
                return await connection.call(method, request, limit_s, asked, stale.note)
            except TooStaleError as error:
                refusal = error
            except CoordError as error:
                self.note(connection, error)
                attempts.failed(error)
            finally:
                self.discovery.liveness.end(connection, watch)

    def note(self, connection: Connection, error: CoordError) -> None:
        """An attempt there ended so: remember what that says of the node."""
        if isinstance(error, NoLeaderError):
            self.discovery.learn(error.metadata.get("leader_address", ""))
            self.discovery.failed(connection, reachable=True)
        elif isinstance(error, UnavailableError | DeadlineError | OutcomeUnknownError):
            self.discovery.failed(connection, reachable=bool(error.metadata))
        else:
            self.discovery.answered(connection)


class _Attempts:
    """What the attempts of one call have shown so far."""

    def __init__(
        self,
        deadline: Deadline,
        repeatable: bool,
        *,
        reads: bool,
        on_failure: Callable[[CoordError], object] | None = None,
    ) -> None:
        self.deadline = deadline
        self.under_way = False  # an attempt was sent and has not ended
        self._repeatable = repeatable
        self._reads = reads
        self._on_failure = on_failure
        self._unknown: CoordError | None = None
        self._last: CoordError | None = None
        self._no_leader: CoordError | None = None  # what a node that answered said of it
        self._count = 0

    def check_time(self) -> None:
        least_s = MIN_ATTEMPT_S if self._last is None else LAST_ATTEMPT_S
        if self.deadline.remaining_s < least_s:
            raise self._given_up()

    def failed(self, error: CoordError) -> None:
        """Returns if the call should be tried again; raises how it ends otherwise."""
        self._count += 1
        self._last = error
        error.read_only = self._reads
        if isinstance(error, NoLeaderError):
            self._no_leader = error
        if self._on_failure is not None:
            self._on_failure(error)
        if self._reads:
            self._unknown = None
        if not isinstance(error, DefiniteError):
            self._unknown = error
            if not (self._repeatable and error.retryable):
                raise error
        elif isinstance(error, NoLeaderError | UnavailableError | BusyError):
            if not error.retryable:
                raise error
        elif self._unknown is None:
            raise error
        elif isinstance(error, SessionExpiredError):
            raise _unknown_since_session_ended(error) from self._unknown
        elif not error.retryable:
            raise error  # from the replicated state: it is the answer to the first attempt as well

    def pause_s(self, another_node: bool) -> float:
        """How long to wait before the next attempt."""
        error = self._last
        assert error is not None
        if isinstance(error, BusyError):
            pause_s = error.retry_after_ms / 1_000 or BACKOFF_MIN_S
            if pause_s >= self.deadline.remaining_s:
                raise self._given_up()
            return min(pause_s * random.uniform(1.0, 1.5), self.deadline.remaining_s)
        if another_node and self._count <= 2:
            return 0.0
        ceiling_s = min(BACKOFF_MIN_S * 2 ** min(self._count, 10), BACKOFF_MAX_S)
        return min(random.uniform(ceiling_s / 2, ceiling_s), self.deadline.remaining_s)

    def closed(self) -> CoordError:
        """How the call ends when the client is closed."""
        unknown = self._unknown is not None or (self.under_way and not self._reads)
        if unknown:
            message = "the client was closed before there was an answer"
            return OutcomeUnknownError(message, "OUTCOME_UNKNOWN")
        return ClientClosedError("the client is closed", "CLIENT_CLOSED")

    def _given_up(self) -> CoordError:
        error = self._last_word()
        error.read_only = self._reads
        return error

    def _last_word(self) -> CoordError:
        within = f"within {self.deadline.timeout_ms} ms"
        if self._unknown is not None:
            message = f"no answer {within}; last: {self._last}"
            return DeadlineError(message, "DEADLINE_EXCEEDED", self._unknown.metadata, True)
        if self._last is None:
            return UnavailableError(f"no time was left {within}", "DEADLINE_TOO_SHORT", None, True)
        # A node that answers knows more than those that do not.
        if isinstance(self._last, UnavailableError) and self._no_leader is not None:
            return given_up(self._no_leader, self.deadline)
        return given_up(self._last, self.deadline)


def given_up(last: CoordError, deadline: Deadline) -> CoordError:
    """The refusal that stood at the end of the time."""
    message = f"{last.message} (within {deadline.timeout_ms} ms)"
    return type(last)(message, last.reason, last.metadata, True)


def _unknown_since_session_ended(error: SessionExpiredError) -> CoordError:
    return OutcomeUnknownError(
        f"the session ended before the outcome was known: {error.message}",
        "OUTCOME_UNKNOWN",
        {"session_ended": "true"},
    )
