"""What every service stands on: writing through the log, reading behind a barrier, answering."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from google.protobuf.message import Message

from coord.codec.commands import message_in, request_in
from coord.codec.errors import CodecError, TooManyPartsError
from coord.codec.kinds import ETCD_KINDS, KIND_LEVEL, CommandKind
from coord.codec.lookup import StateLookup
from coord.codec.replies import ReplyEncoder
from coord.codec.shape import SCANNED_BYTES, check_bytes
from coord.codec.validate import validate, validate_request_id
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Command, Reply
from coord.core.cost import cost_us
from coord.core.state import State
from coord.replication.port import Replicator
from coord.rpc.call import AGE_KEY, APPLIED_KEY, UNKNOWN_AGE, Call, Method
from coord.rpc.forwarding import Forwarder
from coord.rpc.status import etcd_refusal, refusal
from coord.runtime import errors
from coord.runtime.claim_queue import ClaimQueue
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.errors import CallError
from coord.runtime.leader_view import LeaderView
from coord.runtime.level_keeper import LevelKeeper
from coord.runtime.proposer import Proposer
from coord.runtime.shares import Shares
from coord.runtime.state_machine import ReplicatedStateMachine
from coord.runtime.state_quota import StateQuota
from coord.runtime.watches import Watches

T = TypeVar("T")

# What a long poll leaves of the caller's deadline, so that its answer still arrives.
_ANSWER_MARGIN_S = 0.05
MAX_PARKED: Final = 32_768  # calls of a node that wait for something to happen
_PARKED_RETRY_MS: Final = 1_000


def numeric_id(text: str) -> int:
    """The number by which etcd's API knows a cluster or a node: stable, from its name."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(slots=True)
class Backend:
    """The parts of one node that services use."""

    cluster_id: str
    node_id: str
    replicator: Replicator
    state_machine: ReplicatedStateMachine
    clock: ClusterClock
    proposer: Proposer[asyncio.Future[Reply]]
    watches: Watches
    claim_queue: ClaimQueue[asyncio.Future[bool]]
    leadership: LeaderView
    levels: LevelKeeper[asyncio.Future[Reply]]
    forwarder: Forwarder
    encoder: ReplyEncoder
    quota: StateQuota
    hold_back_ms: int = 250
    _parked: Shares = field(default_factory=lambda: Shares(MAX_PARKED))

    @property
    def state(self) -> State:
        """The state applied here."""
        return self.state_machine.machine.state

    def table(self, path: str, kinds: Mapping[str, CommandKind]) -> Iterator[Method]:
        """Rows for the methods that are nothing but a command: method name -> its kind."""
        for name, kind in kinds.items():
            yield Method(f"{path}{name}", partial(self.write, kind), writes=True)

    def decode(
        self,
        kind: CommandKind,
        call: Call,
        refuse: Callable[[Rejected], CallError] = refusal,
        *,
        keep: bool = False,
    ) -> tuple[Command, RequestId | None]:
        """The command in a call, within bounds; raises CallError. `keep`: there is more in the
        message than in the command, so it stays with the call."""
        try:
            message = call.message
            if message is None:
                message = message_in(kind, call.raw)
                if keep:
                    call.message = message
            elif message.ByteSize() > SCANNED_BYTES:
                check_bytes(kind, call.raw)
            command, request_id = request_in(kind, message)
        except TooManyPartsError as error:
            raise refuse(error.refusal) from error
        except CodecError as error:
            raise errors.invalid(str(error)) from error
        refused = validate(command) or validate_request_id(request_id)
        if refused is not None:
            raise refuse(refused)
        return command, request_id

    def submit(
        self,
        kind: CommandKind,
        call: Call,
        command: Command,
        request_id: RequestId | None,
        hold_ms: int = 0,
    ) -> asyncio.Future[Reply]:
        """Have a decoded call logged; the future ends with its reply."""
        needed = KIND_LEVEL.get(kind, 0)
        if needed > self.state.level:
            raise errors.level_too_low(kind.name, self.state.level, needed)
        refused = self.quota.check(self.state, self.leadership.members.values(), kind, command)
        if refused is not None:
            raise etcd_refusal(refused) if kind in ETCD_KINDS else refusal(refused)
        raw = call.raw
        return self.proposer.submit(
            kind,
            raw,
            command,
            principal=call.principal,
            request_id=request_id,
            owner=call.owner,
            expires_at=call.expires_at,
            hold_ms=hold_ms,
            cost_us=cost_us(self.state, command, len(raw)),
        )

    async def write(self, kind: CommandKind, call: Call) -> bytes:
        """Log a call and return the response; a refusal is raised as CallError."""
        command, request_id = self.decode(kind, call)
        reply = accepted(await self.submit(kind, call, command, request_id))
        return self.respond(call, kind, command, reply)

    def respond(self, call: Call, kind: CommandKind, command: Command, reply: Reply) -> bytes:
        """The response to a command that was carried out."""
        state, encoder = self.state_machine.machine.state, self.encoder
        encoder.at(self.leadership.term, state.revision)
        lookup = StateLookup(state, self.clock.now_ms())
        if call.message is None:
            return encoder.encode(kind, command, reply, lookup)
        call.response = encoder.message(kind, command, reply, lookup)
        return encoder.encode_message(kind, call.response)

    def show(self, message: Message) -> bytes:
        """The response to a read: `message`, with a header in front."""
        self.encoder.at(self.leadership.term, self.state_machine.machine.state.revision)
        return self.encoder.with_header(message)

    async def read(self, call: Call, *, answer_bytes: int = 0) -> State:
        """The state, at least as new as when this was called, on a node that certainly leads; or
        what is applied here, if that is what the call asks for. `answer_bytes`: what the answer can
        have, if that is much; there is room for it then."""
        if call.asks_stale:
            await call.room(answer_bytes)
            return self.read_stale(call)
        await self.replicator.read_barrier()
        await call.room(answer_bytes)
        return self.state_machine.machine.state

    async def newest(self) -> State:
        """The state, at least as new as when this was called, on a node that certainly leads."""
        await self.replicator.read_barrier()
        return self.state_machine.machine.state

    def read_stale(self, call: Call) -> State:
        """The state applied here, whoever leads; the answer says how old it can be."""
        max_stale_ms, age_ms = call.max_stale_ms, self.replicator.age_ms()
        if not math.isinf(max_stale_ms) and (age_ms is None or age_ms > max_stale_ms):
            raise errors.too_stale(age_ms, int(max_stale_ms))
        call.tell(
            {
                AGE_KEY: UNKNOWN_AGE if age_ms is None else str(age_ms),
                APPLIED_KEY: str(self.replicator.status().applied_index),
            }
        )
        return self.state_machine.machine.state

    def wait_until(self, call: Call, wait_ms: int, *, grace_s: float = 0.0) -> float:
        """Event loop time at which a long poll is over; raises CallError for an endless wait.
        `grace_s`: how much longer the call is to last, if its deadline allows that."""
        if wait_ms > LIMITS.max_duration_ms:
            raise errors.invalid(
                f"wait_ms is {wait_ms}; allowed is 0 to {LIMITS.max_duration_ms}", "wait_ms"
            )
        now = asyncio.get_running_loop().time()
        return min(now + wait_ms / 1000 + grace_s, call.expires_at - _ANSWER_MARGIN_S)

    @contextmanager
    def parked(self, call: Call) -> Iterator[None]:
        """While a call waits for something to happen, it takes one of the places there are for
        that. Raises CallError BUSY when the caller has its share of them."""
        owner = call.owner
        if not self._parked.try_take(owner, 1):
            raise errors.busy(_PARKED_RETRY_MS)
        try:
            yield
        finally:
            self._parked.give_back(owner, 1)

    def hold_for(self, remaining_ms: int) -> int:
        """How long a renewal may be held back: not so long that what it renews could end."""
        return max(0, min(self.hold_back_ms, remaining_ms // 4))


def accepted(reply: Reply) -> Reply:
    """The reply, unless it is a refusal: that is raised as CallError."""
    if isinstance(reply, Rejected):
        raise refusal(reply)
    return reply


def checked(answer: T | Rejected) -> T:
    """The answer of a query, unless it is a refusal."""
    if isinstance(answer, Rejected):
        raise refusal(answer)
    return answer
