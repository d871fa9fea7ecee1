"""Who is connected: the sessions the cluster knows."""

from __future__ import annotations

import builtins

from coord.client.context import ClientContext
from coord.client.transport.methods import CLOSE_SESSION, KEEP_ALIVE, LIST_SESSIONS
from coord.client.transport.stale import Stale
from coord.client.types import SessionInfo
from coord.pb import session_pb2 as pb


class Sessions:
    """Look at sessions, and end them."""

    def __init__(self, core: ClientContext) -> None:
        self._core = core

    async def list(
        self,
        kind: str = "",
        limit: int = 1_000,
        after: int = 0,
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[SessionInfo]:
        """Sessions of a kind ("client", "worker"; empty = all) in order of their ids, those behind
        the id `after`."""
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()
        found: builtins.list[SessionInfo] = []
        while True:
            request = pb.ListSessionsRequest(
                kind=kind,
                limit=limit - len(found),
                after_session_id=found[-1].session_id if found else after,
            )
            reply = await self._core.ask(LIST_SESSIONS, request, deadline, stale)
            found += [_info(session) for session in reply.sessions]
            if not reply.more or not reply.sessions or len(found) >= limit:
                return found

    async def keep_alive(self, session_id: int, *, timeout_ms: int | None = None) -> int:
        """Push the end of any session to now + its TTL, which is returned. A client does so for its
        own session by itself. Raises SessionExpiredError when it is over."""
        request = pb.KeepAliveRequest(session_id=session_id)
        return (await self._core.read(KEEP_ALIVE, request, timeout_ms)).ttl_ms

    async def close(self, session_id: int, *, timeout_ms: int | None = None) -> None:
        """End any session now, a stuck worker's say: its locks are released and its tasks go back
        to their queues. Raises SessionExpiredError when it is over already."""
        await self._core.read(
            CLOSE_SESSION, pb.CloseSessionRequest(session_id=session_id), timeout_ms
        )


def _info(session: pb.SessionInfo) -> SessionInfo:
    return SessionInfo(
        session_id=session.session_id,
        kind=session.kind,
        name=session.name,
        labels=dict(session.labels),
        queues=tuple(session.queues),
        slots=session.slots,
        ttl_ms=session.ttl_ms,
        remaining_ms=session.remaining_ms,
        tasks_held=session.tasks_held,
        locks_held=session.locks_held,
        create_revision=session.create_revision,
        opened_unix_ms=session.opened_unix_ms,
        stuck=tuple(session.stuck_task_ids),
    )
