"""Leaving the queue of a lock when the call that waited has ended, in the background.

Whoever waits no longer is taken out by a proposal of its own, of which only a few are under way at
a time: ten thousand calls that end together are ten thousand small steps in some eighty entries,
and not one large entry that holds up everybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from typing import Final

import structlog

from coord.codec.kinds import CommandKind
from coord.core.base.principal import Principal
from coord.core.base.request import RequestId
from coord.core.batch import Reply
from coord.core.locks.commands import CancelLockWait
from coord.core.locks.queries import is_waiting
from coord.pb import lock_pb2 as pb
from coord.replication.port import ReplicationError
from coord.rpc.services.context import Backend
from coord.runtime.errors import CallError

Contender = tuple[str, int, str]
"""Lock, session, holder."""

MAX_UNDER_WAY: Final = 128


class LockLeaving:
    """Takes contenders out of queues. `waiting`: those a call still waits for."""

    def __init__(self, backend: Backend, waiting: Container[Contender]) -> None:
        self._backend = backend
        self._waiting = waiting
        self._queue: deque[tuple[Contender, Principal]] = deque()
        self._working: asyncio.Task[None] | None = None  # while the queue is not empty
        self._log = structlog.get_logger("coord.rpc")

    def add(
        self, contender: Contender, principal: Principal, proposal: asyncio.Future[Reply]
    ) -> None:
        """A call of this contender has ended. Whether it stands in the queue is known once its
        request, `proposal`, is applied."""
        if proposal.done():
            self._add(contender, principal, proposal)
        else:
            proposal.add_done_callback(lambda done: self._add(contender, principal, done))

    def _add(
        self, contender: Contender, principal: Principal, proposal: asyncio.Future[Reply]
    ) -> None:
        refused = proposal.cancelled() or proposal.exception() is not None
        if refused or not self._is_left_over(contender):
            return
        self._queue.append((contender, principal))
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    def _is_left_over(self, contender: Contender) -> bool:
        """It stands in the queue, and nobody waits for it."""
        return contender not in self._waiting and is_waiting(self._backend.state, *contender)

    async def _work(self) -> None:
        try:
            while self._queue:
                some = [self._queue.popleft() for _ in range(min(MAX_UNDER_WAY, len(self._queue)))]
                proposals = [
                    self._propose(contender, principal)
                    for contender, principal in some
                    if self._is_left_over(contender)
                ]
                outcomes = await asyncio.gather(*proposals, return_exceptions=True)
                self._note(outcomes)
        except (CallError, ReplicationError) as error:
            # Then their waits end by themselves, when their time or their session is over.
            self._queue.clear()
            self._log.debug("lock.waits_not_cancelled", error=str(error))
        finally:
            self._working = None

    def _note(self, outcomes: list[Reply | BaseException]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, CallError | ReplicationError):
                raise outcome

    def _propose(self, contender: Contender, principal: Principal) -> asyncio.Future[Reply]:
        name, session_id, holder = contender
        raw = pb.CancelWaitRequest(
            header={"session_id": session_id}, name=name, holder=holder
        ).SerializeToString()
        return self._backend.proposer.submit(
            CommandKind.CANCEL_LOCK_WAIT,
            raw,
            CancelLockWait(name, holder),
            principal=principal,
            request_id=RequestId(session_id, 0, 0),
        )
