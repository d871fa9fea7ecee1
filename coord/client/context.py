"""What the parts of the client share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coord.client.session import SessionKeeper, Writer
from coord.client.transport.channel import ClientMethod, Rep, Req
from coord.client.transport.errors import ClientClosedError
from coord.client.transport.forks import check_same_process
from coord.client.transport.retry import Caller, Deadline
from coord.client.transport.stale import Stale
from coord.pb import common_pb2


@dataclass(slots=True)
class ClientContext:
    """The wired-up middle of a client; made on its event loop, closed with it."""

    caller: Caller
    keeper: SessionKeeper
    writer: Writer
    timeout_ms: int
    name: str = ""
    closed: bool = False
    made_after_forks: int = 0

    def deadline(self, timeout_ms: int | None, *, wait_ms: int = 0) -> Deadline:
        """The deadline of a call that starts now. Raises ClientClosedError when it must not."""
        self.check_usable()
        return Deadline((self.timeout_ms if timeout_ms is None else timeout_ms) + wait_ms)

    def check_usable(self) -> None:
        if self.closed:
            raise ClientClosedError("the client is closed", "CLIENT_CLOSED")
        check_same_process(self.made_after_forks)

    async def read(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        timeout_ms: int | None,
        *,
        wait_ms: int = 0,
        stale: Stale | None = None,
    ) -> Rep:
        deadline = self.deadline(timeout_ms, wait_ms=wait_ms)
        if stale is not None:
            stale.begin()
        return await self.ask(method, request, deadline, stale, wait_ms=wait_ms)

    async def ask(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        deadline: Deadline,
        stale: Stale | None,
        *,
        wait_ms: int = 0,
    ) -> Rep:
        """One call of a read that may take several."""
        if stale is None:
            return await self.caller.call(method, request, deadline, reads=True, wait_ms=wait_ms)
        return await self.caller.call_nearest(method, request, deadline, stale)

    async def write(
        self,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        timeout_ms: int | None,
    ) -> Rep:
        return await self.writer.write(method, build, self.deadline(timeout_ms))
