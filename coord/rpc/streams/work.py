"""The streams of workers: tasks go out as there are free slots, results come back.

Whatever is asked for on such a stream is served as a call of the Tasks service would be: checked,
handed on to the leader, deduplicated by its session and sequence. Claims are made here, on behalf
of the worker, within what it has granted (`coord.rpc.streams.credit`), and wait at the leader for
tasks. They wait only while the worker was heard of lately: one that is cut off is sent nothing. A
claim that comes back empty is made again under its sequence. So that a worker can tell since when
its leases run, its own clock is echoed.

A lost lease is told when it is applied here. A stream ends with the error of a claim that cannot be
made here any more; the worker then repeats what was not answered, under the old sequences.

When the node goes, the claims that wait end, everything else is answered, and the worker leaves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from coord.codec import wire
from coord.core.base.refusal import Reason, session_not_found
from coord.core.base.request import Event, EventKind
from coord.core.tasks.commands import ClaimTasks
from coord.core.validate import validate
from coord.pb import task_pb2 as tasks
from coord.pb import work_pb2 as pb
from coord.rpc.dispatcher import Dispatcher
from coord.rpc.services.context import Backend
from coord.rpc.status import failure_message, refusal
from coord.rpc.streams.credit import Credit, CreditError
from coord.rpc.streams.protocol import Stream, StreamHandle, StreamService
from coord.runtime import errors
from coord.runtime.errors import CallError, ServiceReason
from coord.runtime.lease_watch import LeaseWatch, Lost
from coord.runtime.parts import Leadership

PATH: Final = "/coord.v1.Work/Work"
MAX_HELD: Final = 4_096  # leases that one stream watches
MAX_OPEN_REQUESTS: Final = 64
# So long after the last word of a worker, or a third of the lease, nothing is claimed for it.
MAX_SILENCE_MS: Final = 10_000

_BUSY_PAUSE_S: Final = 0.1
_TASKS: Final = "/coord.v1.Tasks/"
_REQUESTS: Final = ("complete", "fail", "release", "heartbeat")
_ENDS_LEASES: Final = frozenset({"complete", "fail", "release"})
_ANSWERS: Final = pb.ServerMessage.ANSWERS_FIELD_NUMBER
_RESULTS: Final = pb.WorkAnswer.RESULTS_FIELD_NUMBER
_ASSIGNMENTS: Final = pb.ServerMessage.ASSIGNMENTS_FIELD_NUMBER
_CLAIMED: Final = pb.Assignment.CLAIMED_FIELD_NUMBER


class WorkStreams(StreamService["_WorkerStream"]):
    """The streams of the workers at this node. What is asked for on them goes to `dispatcher`,
    which serves it wherever the leader is."""

    path = PATH
    message = pb.WorkerMessage

    def __init__(self, backend: Backend, dispatcher: Dispatcher) -> None:
        super().__init__()
        self.dispatcher = dispatcher
        self.claim = dispatcher.method(f"{_TASKS}Claim")
        self.requests = {
            kind: dispatcher.method(f"{_TASKS}{kind.capitalize()}") for kind in _REQUESTS
        }
        self.leases = LeaseWatch(lambda: backend.state)
        self.max_message_bytes = dispatcher.max_message_bytes
        self._leadership = backend.leadership
        self._node_id = backend.node_id
        self._by_session: dict[int, set[_WorkerStream]] = {}

    def open(self, handle: StreamHandle) -> _WorkerStream:
        """See `StreamService.open`."""
        return _WorkerStream(self, handle)

    def on_applied(self, events: Iterable[Event]) -> None:
        """Tell the workers whose leases or sessions have ended."""
        if not self.streams:
            return
        self.leases.dispatch(events)
        for event in events:
            if event.kind is EventKind.SESSION_ENDED:
                for stream in tuple(self._by_session.get(event.token, ())):
                    stream.session_ended(event.token)

    def on_restored(self) -> None:
        """Tell the workers whose leases are over."""
        self.leases.look_everywhere()

    def on_leader_change(self, leadership: Leadership) -> None:
        """Tell the workers: who works at a follower goes a longer way than it needs to."""
        address = self.leader_elsewhere()
        if address:
            for stream in self.streams:
                stream.say_leader(address)

    def works_in(self, session_id: int, stream: _WorkerStream) -> None:
        """The worker of this stream has said hello: it is told when the session ends."""
        self._by_session.setdefault(session_id, set()).add(stream)

    def forget(self, session_id: int, stream: _WorkerStream) -> None:
        """The stream is over."""
        streams = self._by_session.get(session_id)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._by_session[session_id]

    def leader_elsewhere(self) -> str:
        """Where the leader is; empty if it is here, or not known."""
        leadership = self._leadership
        return "" if leadership.leader_id == self._node_id else leadership.leader_address()


class _WorkerStream(Stream):
    def __init__(self, streams: WorkStreams, handle: StreamHandle) -> None:
        self._streams = streams
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._hello: pb.WorkerHello | None = None
        self._clock = (0, self._loop.time())  # the worker's, and when it came
        self._heard = asyncio.Event()
        self._credit = Credit()
        self._claims: dict[int, asyncio.Task[None]] = {}  # by sequence
        self._doubtful: set[int] = set()  # claims that were cut short, and may have had success
        self._requests: dict[int, asyncio.Task[None]] = {}  # by sequence
        self._held: dict[tuple[str, int], None] = {}  # watched leases, the oldest first
        self._tell: Callable[[Lost], None] = self._say_lost
        self._stopping = self._stopped = False

    @property
    def session_id(self) -> int:
        """Of the hello; 0 before it."""
        return 0 if self._hello is None else self._hello.session_id

    async def finish(self) -> None:
        """See `Stream.finish`."""
        self.stop()
        while work := [*self._claims.values(), *self._requests.values()]:
            await asyncio.wait(work)

    def leave(self) -> None:
        """See `Stream.leave`."""
        self._put(pb.ServerMessage(closing=True))
        self.stop()

    def stop(self) -> None:
        """Claim nothing more. A claim that waits is made once more without waiting, because it may
        have brought tasks already."""
        if self._stopping:
            return
        self._stopping = True
        for task in self._claims.values():
            task.cancel()
        self._say_stopped()

    def say_leader(self, address: str) -> None:
        """There is a shorter way. Told after the welcome."""
        if self._hello is not None:
            self._put(pb.ServerMessage(leader_address=address))

    def session_ended(self, session_id: int) -> None:
        """Nothing can be claimed under it any more."""
        if self._hello is not None and self._hello.session_id == session_id:
            self._handle.fail(refusal(session_not_found(session_id)))

    async def close(self) -> None:
        """See `Stream.close`."""
        work = [*self._claims.values(), *self._requests.values()]
        for task in work:
            task.cancel()
        for task_id, token in self._held:
            self._streams.leases.unwatch(task_id, token, self._tell)
        self._held.clear()
        self._streams.forget(self.session_id, self)
        await asyncio.gather(*work, return_exceptions=True)

    # ---- what the worker says

    async def on_message(self, message: pb.WorkerMessage) -> None:
        """See `Stream.on_message`."""
        if message.HasField("hello") is (self._hello is not None):
            raise errors.invalid("the first message, and no other, has a hello", "hello")
        self._clock = (message.clock_ms, self._loop.time())
        self._heard.set()
        if message.HasField("hello"):
            self._greet(message.hello)
        # First the requests, so that a result is logged before the claim for its slot.
        for kind in _REQUESTS:
            if message.HasField(kind):
                self._begin(kind, getattr(message, kind))
        self._grant(message)

    def _greet(self, hello: pb.WorkerHello) -> None:
        if not hello.session_id:
            raise errors.invalid("session_id must name an open session", "hello.session_id")
        command = ClaimTasks(tuple(hello.queues), 1, hello.lease_ttl_ms, hello.worker)
        refused = validate(command)
        if refused is not None:
            raise refusal(refused)
        if len(hello.held) > MAX_HELD:
            raise errors.invalid(
                f"held has {len(hello.held)} leases; allowed are {MAX_HELD}", "hello.held"
            )
        self._hello = hello
        self._streams.works_in(hello.session_id, self)
        leader = self._streams.leader_elsewhere()
        self._put(pb.ServerMessage(welcome=True, leader_address=leader))
        for lease in hello.held:
            self._watch(lease.task_id, lease.fencing_token)

    def _grant(self, message: pb.WorkerMessage) -> None:
        try:
            self._credit.grant(message.free_slots, message.claim_sequences)
        except CreditError as error:
            raise errors.invalid(str(error), error.field) from error
        if message.stop:
            self.stop()
        elif self._stopping:
            self._say_unused()
        else:
            self._claim_more()

    # ---- requests

    def _begin(self, kind: str, request: Any) -> None:
        assert self._hello is not None
        header = request.header
        sequence = header.sequence
        if header.session_id != self._hello.session_id or not sequence:
            raise errors.invalid(
                "a request on this stream has the session of the hello and a sequence",
                f"{kind}.header",
            )
        if sequence in self._requests:
            raise errors.invalid(f"request {sequence} is under way", f"{kind}.header")
        if len(self._requests) >= MAX_OPEN_REQUESTS:
            raise errors.invalid(f"more than {MAX_OPEN_REQUESTS} requests are under way", kind)
        self._requests[sequence] = self._loop.create_task(self._serve(kind, sequence, request))

    async def _serve(self, kind: str, sequence: int, request: Any) -> None:
        dispatcher = self._streams.dispatcher
        call = dispatcher.call(request, self._handle.context)
        outcome = await dispatcher.serve(self._streams.requests[kind], call)
        del self._requests[sequence]
        if isinstance(outcome, CallError):
            answer = pb.WorkAnswer(sequence=sequence, failure=failure_message(outcome))
            data = answer.SerializeToString()
        else:
            answer = pb.WorkAnswer(sequence=sequence)
            data = answer.SerializeToString() + wire.field(_RESULTS, outcome)
            if kind in _ENDS_LEASES:
                for item in request.items:
                    self._unwatch(item.task_id, item.fencing_token)
        self._handle.put(wire.field(_ANSWERS, data))

    # ---- claims

    def _claim_more(self) -> None:
        while (claim := self._credit.next_claim()) is not None:
            sequence, slots = claim
            self._claims[sequence] = self._loop.create_task(self._run_claim(sequence, slots))

    async def _run_claim(self, sequence: int, slots: int) -> None:
        try:
            await self._claim(sequence, slots)
        except CallError as error:
            self._handle.fail(error)
            return
        finally:
            self._claims.pop(sequence, None)
        if self._stopping:
            self._say_stopped()
        else:
            self._claim_more()

    async def _claim(self, sequence: int, slots: int) -> None:
        """Until the claim has brought something, or nothing is to be claimed any more."""
        dispatcher = self._streams.dispatcher
        while True:
            try:
                wait_ms = await self._patience_ms()
                asked_at = self._loop.time()
                request = self._claim_request(sequence, slots, wait_ms)
                call = dispatcher.call(request, self._handle.context)
                outcome = await dispatcher.serve(self._streams.claim, call)
            except asyncio.CancelledError:
                if not self._stopping or sequence in self._doubtful:
                    raise
                self._doubtful.add(sequence)
                _revive_current_task()
                continue
            if isinstance(outcome, CallError):
                if not await self._is_repeated(sequence, outcome):
                    return
                continue
            claimed = call.answered(tasks.ClaimResponse, outcome)
            # Answered at once and empty: it was used before, and what it brought is lost by now.
            waited = self._loop.time() - asked_at >= wait_ms / 2000
            if claimed.tasks or not waited:
                self._assign(sequence, claimed, outcome, asked_at)
                return
            if self._stopping:
                self._credit.untouched(sequence)
                return

    async def _patience_ms(self) -> int:
        """How long a claim may wait now; returns once the worker was heard of lately."""
        assert self._hello is not None
        silence_ms = min(self._hello.lease_ttl_ms // 3, MAX_SILENCE_MS)
        while not self._stopping:
            left_ms = silence_ms - int((self._loop.time() - self._clock[1]) * 1000)
            if left_ms > 0:
                return left_ms
            self._heard.clear()
            await self._heard.wait()
        return 0

    def _claim_request(self, sequence: int, slots: int, wait_ms: int) -> tasks.ClaimRequest:
        hello = self._hello
        assert hello is not None
        return tasks.ClaimRequest(
            header={"session_id": hello.session_id, "sequence": sequence},
            queues=hello.queues,
            max_tasks=slots,
            lease_ttl_ms=hello.lease_ttl_ms,
            wait_ms=wait_ms,
            worker=hello.worker,
        )

    async def _is_repeated(self, sequence: int, error: CallError) -> bool:
        """Whether a claim that was refused is made again. Raises what ends the stream."""
        if error.reason == ServiceReason.BUSY:
            await asyncio.sleep(_BUSY_PAUSE_S)
            return True
        if error.reason == Reason.SEQUENCE_FORGOTTEN:
            self._credit.filled(sequence, 0)
            self._put(pb.ServerMessage(unused=[sequence]))
            return False
        if error.reason == ServiceReason.SHUTTING_DOWN and self._stopping:
            if sequence in self._doubtful:
                self._credit.filled(sequence, 0)  # not answered: the worker asks another node
            else:
                self._credit.untouched(sequence)
            return False
        raise error

    def _assign(
        self, sequence: int, claimed: tasks.ClaimResponse, raw: bytes, asked_at: float
    ) -> None:
        clock_ms, came_at = self._clock
        # It was read there before it came here: early, never late.
        since_ms = max(0, clock_ms + math.floor((asked_at - came_at) * 1000))
        self._credit.filled(sequence, len(claimed.tasks))
        head = pb.Assignment(sequence=sequence, since_clock_ms=since_ms).SerializeToString()
        self._handle.put(wire.field(_ASSIGNMENTS, head + wire.field(_CLAIMED, raw)))
        for task in claimed.tasks:
            self._watch(task.task_id, task.fencing_token)

    def _say_stopped(self) -> None:
        """Once no claim is out: the worker can count on what it has."""
        if self._claims or self._stopped:
            return
        self._stopped = True
        self._say_unused()
        self._put(pb.ServerMessage(stopped=True))

    def _say_unused(self) -> None:
        sequences = self._credit.take_sequences()
        if sequences:
            self._put(pb.ServerMessage(unused=sequences))

    # ---- leases

    def _watch(self, task_id: str, token: int) -> None:
        if len(self._held) >= MAX_HELD:
            # Settled by other means than this stream; if it was not, a heartbeat will tell.
            self._unwatch(*next(iter(self._held)))
        self._held[task_id, token] = None
        self._streams.leases.watch(task_id, token, self._tell)

    def _unwatch(self, task_id: str, token: int) -> None:
        if self._held.pop((task_id, token), self) is None:
            self._streams.leases.unwatch(task_id, token, self._tell)

    def _say_lost(self, lost: Lost) -> None:
        self._held.pop((lost.task_id, lost.fencing_token), None)
        state: Any = lost.state
        message = pb.LeaseLost(
            task_id=lost.task_id, fencing_token=lost.fencing_token, state=state, reason=lost.reason
        )
        self._put(pb.ServerMessage(lost=[message]))

    def _put(self, message: pb.ServerMessage) -> None:
        self._handle.put(message.SerializeToString())


def _revive_current_task() -> None:
    """What was cancelled goes on after all."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
