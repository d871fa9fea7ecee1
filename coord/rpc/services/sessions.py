"""coord.v1.Sessions."""

from __future__ import annotations

from collections.abc import Iterable

from coord.codec.kinds import CommandKind
from coord.core.base.paging import page_limit
from coord.core.base.refusal import session_not_found
from coord.core.listing import session_step
from coord.core.sessions.commands import KeepAlive
from coord.core.sessions.queries import SessionInfo, session_info
from coord.pb import session_pb2 as pb
from coord.rpc.call import Call, Method, asks_stale
from coord.rpc.paging import MAX_PAGE_BYTES, page_of
from coord.rpc.services.context import Backend, accepted
from coord.rpc.status import refusal

_PATH = "/coord.v1.Sessions/"


class SessionService:
    """Opens, keeps and closes sessions."""

    name = "coord.v1.Sessions"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield from self._backend.table(
            _PATH, {"Open": CommandKind.OPEN_SESSION, "Close": CommandKind.CLOSE_SESSION}
        )
        yield Method(f"{_PATH}KeepAlive", self.keep_alive, writes=True)
        yield Method(
            f"{_PATH}List",
            self.list_sessions,
            local_if=asks_stale,
            answer_bytes=lambda _: MAX_PAGE_BYTES,
        )

    async def keep_alive(self, call: Call) -> bytes:
        """Push a session's end. Held back a little, so that many share one log entry."""
        backend = self._backend
        command, request_id = backend.decode(CommandKind.KEEP_ALIVE, call)
        assert isinstance(command, KeepAlive)
        session = backend.state.sessions.get(command.session_id)
        if session is None:
            # Certain only behind a barrier; then refused without a log entry.
            session = (await backend.newest()).sessions.get(command.session_id)
            if session is None:
                raise refusal(session_not_found(command.session_id))
        hold_ms = backend.hold_for(session.expires_at_ms - backend.clock.now_ms())
        reply = accepted(
            await backend.submit(CommandKind.KEEP_ALIVE, call, command, request_id, hold_ms)
        )
        return backend.respond(call, CommandKind.KEEP_ALIVE, command, reply)

    async def list_sessions(self, call: Call) -> bytes:
        """Open sessions by id, a page at a time."""
        request = call.parse(pb.ListSessionsRequest)
        backend = self._backend
        state = await backend.read(call, answer_bytes=MAX_PAGE_BYTES)

        def show(session_id: int) -> pb.SessionInfo:
            session = backend.state.sessions[session_id]
            return _session_info(session_info(backend.state, session, backend.clock.now_ms()))

        page = await page_of(
            lambda count, behind: session_step(backend.state, request.kind, count, behind),
            show,
            page_limit(state.limits, request.limit),
            request.after_session_id,
        )
        return backend.show(pb.ListSessionsResponse(sessions=page.items, more=page.more))


def _session_info(info: SessionInfo) -> pb.SessionInfo:
    return pb.SessionInfo(
        session_id=info.session_id,
        kind=info.kind,
        name=info.name,
        labels=dict(info.labels),
        queues=info.queues,
        slots=info.slots,
        ttl_ms=info.ttl_ms,
        remaining_ms=info.remaining_ms,
        tasks_held=info.tasks_held,
        locks_held=info.locks_held,
        create_revision=info.create_revision,
        opened_unix_ms=info.opened_unix_ms,
        stuck_task_ids=info.stuck,
    )
