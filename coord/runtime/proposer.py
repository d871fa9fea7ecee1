"""From requests to log entries: natural batching.

Requests gather while earlier entries are on their way; as soon as the pipeline has room, everything
that waits leaves as one entry. A lone request leaves at once, a flood leaves in large entries, and
no timer is involved - except for requests that may be held back (heartbeats, keep-alives): they
leave with the next entry, at the latest when their time to be held is over.

What ends a request, and what its caller is told:
- its entry is applied: the reply;
- refused by replication at once, or its caller gave up while it was queued: definite;
- the entry was proposed and its fate is not known: indefinite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from coord.codec.envelope import BatchCache, EnvelopeItem, encode_envelope
from coord.codec.principal import principal_text
from coord.core.base.principal import INTERNAL, Principal
from coord.core.base.request import RequestId
from coord.core.batch import Applied, Batch, Command, Reply, Request
from coord.replication.port import (
    BusyError,
    OutcomeUnknownError,
    WriteBlockedError,
)
from coord.runtime import errors
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.fair_queue import FairQueue
from coord.runtime.growth import grows
from coord.runtime.scheduler import Outcome, OutcomeT, Scheduler, Timer
from coord.runtime.shares import Shares
from coord.runtime.sliced_calls import SlicedCalls

_REQUEST_OVERHEAD_BYTES = 64
_LOOK_FOR_BLOCK_S = 0.05
_TOLD_A_TURN = 128
_REQUEST_COST_US = 10  # of one that says nothing else
_NO_IDENTITY = RequestId(0, 0, 0)


@dataclass(frozen=True, slots=True)
class ProposerLimits:
    """`max_waiting*`: what may queue before callers are told BUSY. `max_entry_*`: one log entry
    holds at most this, but always at least one request: bytes, and time that applying it takes, by
    estimate. `pipeline`: entries in flight.

    Connections share the queue and take turns: one that floods the node leaves room for others, and
    holds them up for a short turn only."""

    max_waiting: int = 20_000
    max_waiting_bytes: int = 256 * 1024 * 1024
    max_entry_requests: int = 4_096
    max_entry_bytes: int = 4 * 1024 * 1024
    max_entry_cost_us: int = 40_000
    pipeline: int = 3
    retry_after_ms: int = 100


class _Pending:
    """One request on its way into the log."""

    __slots__ = ("cost_us", "done", "expires_at", "item", "owner", "request", "size")

    def __init__(
        self,
        item: EnvelopeItem,
        request: Request,
        expires_at: float,
        done: Outcome[Any],
        owner: str,
        cost_us: int,
    ) -> None:
        self.owner = owner
        self.item = item
        self.request = request
        self.expires_at = expires_at
        self.done = done
        self.cost_us = cost_us
        self.size = len(item.raw) + _REQUEST_OVERHEAD_BYTES


_Told = tuple[_Pending, Reply | BaseException]


class EntryLog(Protocol):
    """What the proposer needs of replication; a `Replicator` has it."""

    @property
    def write_block_reason(self) -> str | None: ...
    @property
    def growth_block_reason(self) -> str | None: ...
    def propose(self, data: bytes) -> Outcome[object]:
        """See `Replicator.propose`."""
        ...


class Proposer(Generic[OutcomeT]):
    """Gathers requests and proposes entries. `cache` is given every batch that is proposed, so that
    applying it here need not decode it again. `scheduler` makes the outcomes that callers get."""

    def __init__(
        self,
        replicator: EntryLog,
        clock: ClusterClock,
        cache: BatchCache,
        scheduler: Scheduler[OutcomeT],
        limits: ProposerLimits | None = None,
    ) -> None:
        self._replicator = replicator
        self._clock = clock
        self._cache = cache
        self._limits = limits or ProposerLimits()
        self._scheduler = scheduler
        self._new_outcome = scheduler.create_future
        self._waiting: FairQueue[_Pending] = FairQueue(_owner_of)
        self._held: list[_Pending] = []
        self._requests = Shares(self._limits.max_waiting)
        self._bytes = Shares(self._limits.max_waiting_bytes)
        # Whose request is answered goes on in the next turn of the loop: not too many in one.
        self._telling: SlicedCalls[_Told] = SlicedCalls(scheduler.call_soon, _tell, _TOLD_A_TURN)
        self._in_flight = 0
        self._empty_wanted = False
        self._flush_scheduled = False
        self._retry_timer: Timer | None = None
        self._hold_timer: Timer | None = None
        self._hold_due = 0.0  # when that timer fires
        self._block_timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """Requests that are not in an entry yet."""
        return len(self._waiting) + len(self._held)

    @property
    def in_flight(self) -> int:
        """Entries proposed whose outcome is not known yet."""
        return self._in_flight

    def submit(
        self,
        kind: int,
        raw: bytes,
        command: Command,
        *,
        principal: Principal = INTERNAL,
        request_id: RequestId | None = None,
        owner: str = "",
        expires_at: float = float("inf"),
        hold_ms: int = 0,
        cost_us: int = _REQUEST_COST_US,
    ) -> OutcomeT:
        """Queue one request; the outcome is its reply. Cancelling it before it is logged drops the
        request.

        `owner`: the connection it came on; empty: the node's own. `expires_at`: the scheduler's
        time after which the caller is gone. `hold_ms`: it may be held back this long to travel
        with others. `cost_us`: what applying it takes, by estimate.

        Raises CallError BUSY or LOG_TOO_LARGE; the outcome may be a CallError (definite) or a
        ReplicationError, which says whether it is definite."""
        limits = self._limits
        if self._replicator.growth_block_reason is not None and grows(command):
            raise errors.log_too_large()
        size = len(raw) + _REQUEST_OVERHEAD_BYTES
        if not self._has_room(owner, size):
            raise errors.busy(limits.retry_after_ms)
        done = self._new_outcome()
        identity = request_id or _NO_IDENTITY
        item = EnvelopeItem(
            kind,
            principal_text(principal),
            identity.session_id,
            identity.sequence,
            identity.acked_below,
            raw,
        )
        request = Request(command, request_id, principal)
        pending = _Pending(item, request, expires_at, done, owner, cost_us)
        if hold_ms > 0:
            self._held.append(pending)
            self._schedule_held(hold_ms)
        else:
            self._waiting.append(pending)
            self._schedule_flush()
        return done

    def propose_empty(self) -> None:
        """Have an entry written soon even if there is nothing to put in: it moves cluster time."""
        self._empty_wanted = True
        self._schedule_flush()

    def fail_waiting(self, error: Exception) -> None:
        """End every request that is not in an entry yet with `error` (a definite one)."""
        self._empty_wanted = False
        self._take_held()
        while self._waiting:
            pending = self._waiting.pop()
            self._discount(pending)
            self._telling.add((pending, error))
        self._cancel_retry()

    def _has_room(self, owner: str, size: int) -> bool:
        """Whether there is room for one more request; it is taken then."""
        if not self._requests.try_take(owner, 1):
            return False
        if self._bytes.try_take(owner, size):
            return True
        self._requests.give_back(owner, 1)
        return False

    def _count(self, pending: _Pending) -> None:
        self._requests.take(pending.owner, 1)
        self._bytes.take(pending.owner, pending.size)

    def _discount(self, pending: _Pending) -> None:
        self._requests.give_back(pending.owner, 1)
        self._bytes.give_back(pending.owner, pending.size)

    # ---- gathering

    def _schedule_flush(self) -> None:
        if self._flush_scheduled or self._retry_timer:
            return
        self._flush_scheduled = True
        self._scheduler.call_soon(self._flush)

    def _schedule_held(self, hold_ms: int) -> None:
        due = self._scheduler.time() + hold_ms / 1000
        if self._hold_timer is not None:
            if self._hold_due <= due:
                return
            self._hold_timer.cancel()
        self._hold_due = due
        self._hold_timer = self._scheduler.call_at(due, self._hold_is_over)

    def _hold_is_over(self) -> None:
        self._hold_timer = None
        self._take_held()
        self._schedule_flush()

    def _take_held(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        self._waiting.extend(self._held)
        self._held.clear()

    def _gather(self) -> list[_Pending]:
        """Take the next entry's requests off the queue; those nobody waits for any more go."""
        limits, now = self._limits, self._scheduler.time()
        requests: list[_Pending] = []
        size = cost_us = 0
        while self._waiting and len(requests) < limits.max_entry_requests:
            pending = self._waiting.first()
            if requests and (
                size + pending.size > limits.max_entry_bytes
                or cost_us + pending.cost_us > limits.max_entry_cost_us
            ):
                break
            self._waiting.pop()
            self._discount(pending)
            if pending.done.done():
                continue
            if pending.expires_at <= now:
                pending.done.set_exception(errors.deadline_passed())
                continue
            requests.append(pending)
            size += pending.size
            cost_us += pending.cost_us
        return requests

    # ---- proposing

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._waiting or self._empty_wanted:
            self._take_held()
        if self._in_flight >= self._limits.pipeline:
            self._look_for_block()
            return
        while (self._waiting or self._empty_wanted) and self._in_flight < self._limits.pipeline:
            requests = self._gather()
            if not requests and not self._empty_wanted:
                return
            if not self._propose(requests):
                return
            self._empty_wanted = False

    def _look_for_block(self) -> None:
        """Entries that nobody can keep may fill the pipeline: who waits behind them is told soon,
        and not when its time is over. Nothing else happens then, so it is looked at by a timer."""
        self._refuse_if_blocked()
        if self._waiting and self._block_timer is None:
            self._block_timer = self._call_later(_LOOK_FOR_BLOCK_S, self._look_again)

    def _look_again(self) -> None:
        self._block_timer = None
        if self._waiting and self._in_flight >= self._limits.pipeline:
            self._look_for_block()

    def _refuse_if_blocked(self) -> None:
        reason = self._replicator.write_block_reason
        if reason is not None:
            self._clock.stop()
            self.fail_waiting(WriteBlockedError(reason))

    def _propose(self, requests: list[_Pending]) -> bool:
        """Whether replication can be given more."""
        now_ms, wall_ms = self._clock.now_ms(), self._clock.wall_ms()
        try:
            data = encode_envelope(now_ms, wall_ms, [p.item for p in requests])
            self._cache.put(data, Batch(now_ms, wall_ms, [p.request for p in requests]))
            outcome = self._replicator.propose(data)
        except BusyError as error:
            self._put_back(requests, error.retry_after_ms)
            return False
        except WriteBlockedError as error:
            self._clock.stop()  # nobody can renew a lease now, so none may run out
            self._fail(requests, error)
            return True
        except Exception as error:  # whatever it was, nothing was proposed
            self._fail(requests, error)
            return True
        self._clock.start()  # from where it stood still, if it did
        self._in_flight += 1
        outcome.add_done_callback(lambda done: self._on_outcome(requests, done))
        return True

    def _put_back(self, requests: list[_Pending], retry_after_ms: int) -> None:
        self._waiting.put_back(requests)
        for pending in requests:
            self._count(pending)
        self._cancel_retry()
        self._retry_timer = self._call_later(retry_after_ms / 1000, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        self._schedule_flush()

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self._scheduler.call_at(self._scheduler.time() + delay_s, callback)

    def _cancel_retry(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None

    def _on_outcome(self, requests: list[_Pending], outcome: Outcome[object]) -> None:
        self._in_flight -= 1
        if self._waiting or self._empty_wanted:
            self._schedule_flush()
        if outcome.cancelled():
            self._fail(requests, OutcomeUnknownError("the proposal was given up"))
            return
        error = outcome.exception()
        if error is not None:
            self._fail(requests, error)
            return
        applied = outcome.result()
        if not isinstance(applied, Applied):
            self._fail(requests, OutcomeUnknownError("applied without an outcome"))
            return
        told = zip(requests, applied.replies, strict=True)
        if len(requests) <= _TOLD_A_TURN and not self._telling:
            for one in told:
                _tell(one)
        else:
            for one in told:
                self._telling.add(one)

    def _fail(self, requests: Sequence[_Pending], error: BaseException) -> None:
        for pending in requests:
            self._telling.add((pending, error))


def _owner_of(pending: _Pending) -> str:
    return pending.owner


def _tell(told: _Told) -> None:
    pending, outcome = told
    if pending.done.done():
        return
    if isinstance(outcome, BaseException):
        pending.done.set_exception(outcome)
    else:
        pending.done.set_result(outcome)
