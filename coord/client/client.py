"""The client, wired together."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from coord.client.cluster import Cluster
from coord.client.context import ClientContext
from coord.client.kv import Kv
from coord.client.locks import Locks
from coord.client.session import SessionKeeper, SessionOptions, Writer
from coord.client.sessions import Sessions
from coord.client.tasks.queues import Queues
from coord.client.tasks.tasks import Tasks
from coord.client.transport.discovery import Discovery
from coord.client.transport.endpoints import endpoints_of
from coord.client.transport.forks import check_new, forks
from coord.client.transport.retry import Caller


class Client:
    """A connection to the cluster through any of its nodes; use it as `async with Client(...)`.

    `endpoints`: "host:port,host:port" or an iterable of "host:port"; without any, those of
    COORD_ENDPOINTS, or else 127.0.0.1:7400. ValueError when one is not HOST:PORT. `name`: who this
    is, for people (default: host:pid). Nothing happens until the first call: then the leader is
    looked for. The first write opens a session of `session_ttl_ms`, which is kept alive from then
    on. `timeout_ms` bounds each call, retries included.

    `use_session=False`: writes are not deduplicated, hence not repeated once their outcome is
    unknown; locks and claims open a session all the same. `end_session=False`: the session is left
    to run out on close.

    `kind`, `labels`, `queues`, `slots` describe the session to others; workers set them.

    Belongs to the event loop it is first used on. Does not survive a fork: in a child it raises
    ClientClosedError, and so does a new client there if the parent had used one."""

    def __init__(
        self,
        endpoints: str | Iterable[str] | None = None,
        *,
        name: str = "",
        session_ttl_ms: int = 15_000,
        timeout_ms: int = 10_000,
        kind: str = "client",
        labels: Mapping[str, str] | None = None,
        queues: Sequence[str] = (),
        slots: int = 0,
        use_session: bool = True,
        end_session: bool = True,
    ) -> None:
        check_new()
        parts = endpoints_of(endpoints)
        options = SessionOptions(
            ttl_ms=session_ttl_ms,
            kind=kind,
            name=name or f"{socket.gethostname()}:{os.getpid()}",
            labels=dict(labels or {}),
            queues=tuple(queues),
            slots=slots,
        )
        self._end_session = end_session
        self._discovery = Discovery(parts)
        caller = Caller(self._discovery)
        keeper = SessionKeeper(caller, options, timeout_ms)
        writer = Writer(caller, keeper, use_session=use_session)
        self._core = ClientContext(
            caller, keeper, writer, timeout_ms, options.name, made_after_forks=forks()
        )
        self.tasks = Tasks(self._core)
        self.queues = Queues(self._core)
        self.locks = Locks(self._core)
        self.kv = Kv(self._core)
        self.sessions = Sessions(self._core)
        self.cluster = Cluster(self._core)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every node known so far, the given ones first."""
        return self._discovery.addresses

    @property
    def session_id(self) -> int:
        """0 = no session is open."""
        return self._core.keeper.session_id

    async def open_session(self, *, timeout_ms: int | None = None) -> int:
        """Open the session now instead of with the first write; returns its id."""
        session = await self._core.keeper.get(self._core.deadline(timeout_ms))
        return session.session_id

    def report_stuck(self, task_ids: Sequence[str]) -> None:
        """For workers: tell the cluster of all tasks whose handlers do not end and keep slots.
        `sessions.list` shows them. To be called on the event loop."""
        self._core.keeper.report_stuck(task_ids)

    def on_session_lost(self, callback: Callable[[int], object]) -> Callable[[], None]:
        """Call back with the session's id when the cluster says that it is over: its locks are
        released, its tasks handed to others. Later calls open a new one. Returns what removes the
        callback. Called on the event loop."""
        return self._core.keeper.on_lost(callback)

    async def close(self) -> None:
        """End the session and all connections. Calls under way end at once: with
        ClientClosedError, or OutcomeUnknownError if they may have been carried out. Idempotent."""
        if self._core.closed:
            return
        self._core.closed = True
        if self._core.made_after_forks != forks():
            return  # everything belongs to the parent
        await self._core.caller.close()
        await self.tasks._close()
        await self.locks._close()
        await self._core.keeper.close(end_session=self._end_session)
        await self._discovery.close()

    async def __aenter__(self) -> Client:
        self._core.check_usable()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        closing = asyncio.ensure_future(self.close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing})
            raise
