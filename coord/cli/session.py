"""`coord session`: who is connected, and ending what is stuck."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coord.cli.output import Column
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.cli.task_views import moment
from coord.client import SessionInfo
from coord.terminal.options import whole
from coord.terminal.text import duration

app = group("session", "Sessions of clients and workers.")

MAX_ID = 2**64 - 1
COLUMNS = (
    "session",
    "kind",
    Column("name", wraps=True),
    Column("tasks", rank=2),
    Column("locks", rank=1),
    Column("expires in", rank=3),
    Column("opened", rank=4),
)


@remote(app, "list")
async def list_sessions(
    cli: Remote,
    kind: Annotated[
        str, typer.Option(metavar="client|worker", help="Only sessions of this kind.")
    ] = "",
    limit: Annotated[int, whole("--limit", low=1, high=10_000, help="At most so many.")] = 1_000,
    after: Annotated[
        int, whole("--after", high=MAX_ID, metavar="SESSION", help="Only those behind this one.")
    ] = 0,
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """List the open sessions in order of their ids."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        sessions = await client.sessions.list(kind=kind, limit=limit, after=after, stale=allowed)
    if cli.out.is_json:
        cli.out.json({"sessions": [session_json(one) for one in sessions], **age_json(allowed)})
    else:
        cli.out.table(
            COLUMNS,
            [
                (
                    one.session_id,
                    one.kind,
                    one.name,
                    one.tasks_held,
                    one.locks_held,
                    duration(one.remaining_ms),
                    moment(one.opened_unix_ms),
                )
                for one in sessions
            ],
            "no sessions are open",
        )
    show_age(allowed)


@remote(app, "close")
async def close(
    cli: Remote,
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="Session id.")],
) -> None:
    """End a session now: its locks are released, its tasks go back to their queues.

    For sessions of clients that are stuck or gone; one that is alive opens another."""
    number = as_session_id(session_id)
    async with cli.client() as client:
        await client.sessions.close(number)
    if cli.out.is_json:
        cli.out.json({"session_id": number, "closed": True})
    else:
        cli.out.line(f"session {number} is closed")


def as_session_id(text: str) -> int:
    """The number; a usage error when it is none."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_ID):
        raise typer.BadParameter(f"a session id is a whole number above 0, not {text!r}")
    return int(text)


def session_json(one: SessionInfo) -> dict[str, Any]:
    """Every property of a session under a stable key."""
    return {
        "session_id": one.session_id,
        "kind": one.kind,
        "name": one.name,
        "queues": list(one.queues),
        "slots": one.slots,
        "labels": dict(one.labels),
        "tasks_held": one.tasks_held,
        "locks_held": one.locks_held,
        "ttl_ms": one.ttl_ms,
        "remaining_ms": one.remaining_ms,
        "opened_unix_ms": one.opened_unix_ms,
    }
