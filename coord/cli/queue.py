"""`coord queue`: the queues and whether they hand out tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coord.cli.exits import CommandError
from coord.cli.output import Column
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.client import Client, QueueInfo
from coord.client.errors import NotFoundError
from coord.terminal.text import duration

app = group("queue", "Queues of tasks.")

Queue = Annotated[str, typer.Argument(metavar="QUEUE")]

COLUMNS = (
    Column("queue", wraps=True),
    "state",
    "ready",
    Column("scheduled", rank=2),
    "claimed",
    Column("completed", rank=1),
    "dead",
    Column("lost leases", rank=4),
    Column("oldest ready", rank=3),
)
COUNTS = (
    "ready",
    "scheduled",
    "claimed",
    "dead",
    "submitted_total",
    "completed_total",
    "dead_total",
    "cancelled_total",
    "lost_leases_total",
    "retried_total",
    "oldest_ready_ms",
)


@remote(app, "list")
async def list_queues(
    cli: Remote,
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """List the queues with their counters."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        queues = await client.queues.list(stale=allowed)
    show_age(allowed)
    if cli.out.is_json:
        cli.out.json({"queues": [queue_json(queue) for queue in queues], **age_json(allowed)})
        return
    cli.out.table(
        COLUMNS,
        [
            (
                q.queue,
                "paused" if q.paused else "running",
                q.ready,
                q.scheduled,
                q.claimed,
                q.completed_total,
                q.dead,
                q.lost_leases_total,
                duration(q.oldest_ready_ms) if q.ready else "",
            )
            for q in queues
        ],
        "no queues; a queue begins with its first task",
    )


@remote(app, "pause")
async def pause(
    cli: Remote,
    queue: Queue,
    create: Annotated[
        bool, typer.Option("--create", help="Also pause a queue that had no task so far.")
    ] = False,
) -> None:
    """Let a queue accept tasks but hand out none."""
    async with cli.client() as client:
        if not create:
            await must_exist(client, queue, "--create pauses it before its first task")
        await client.queues.pause(queue)
    report(cli, queue, paused=True)


@remote(app, "resume")
async def resume(cli: Remote, queue: Queue) -> None:
    """Let a paused queue hand out tasks again."""
    async with cli.client() as client:
        await must_exist(client, queue, "'coord queue list' shows those there are")
        await client.queues.resume(queue)
    report(cli, queue, paused=False)


async def must_exist(client: Client, queue: str, advice: str) -> None:
    """Refuse a name that is no queue: it is a slip more often than not."""
    try:
        await client.queues.get(queue)
    except NotFoundError:
        raise CommandError(f"no queue {queue!r}; {advice} (QUEUE_NOT_FOUND)") from None


def report(cli: Remote, queue: str, *, paused: bool) -> None:
    if cli.out.is_json:
        cli.out.json({"queue": queue, "paused": paused})
    else:
        cli.out.line(f"{queue} {'paused' if paused else 'resumed'}")


def queue_json(queue: QueueInfo) -> dict[str, Any]:
    counts = {name: getattr(queue, name) for name in COUNTS}
    return {"queue": queue.queue, "paused": queue.paused, **counts}
