"""`coord queue`: the queues and whether they hand out tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coord.cli.output import duration
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.client import QueueInfo

app = group("queue", "Queues of tasks.")

Queue = Annotated[str, typer.Argument(metavar="QUEUE")]

COLUMNS = (
    "queue",
    "state",
    "ready",
    "scheduled",
    "claimed",
    "completed",
    "dead",
    "lost leases",
    "oldest ready",
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
    )


@remote(app, "pause")
async def pause(cli: Remote, queue: Queue) -> None:
    """Let a queue accept tasks but hand out none."""
    async with cli.client() as client:
        await client.queues.pause(queue)
    report(cli, queue, paused=True)


@remote(app, "resume")
async def resume(cli: Remote, queue: Queue) -> None:
    """Let a paused queue hand out tasks again."""
    async with cli.client() as client:
        await client.queues.resume(queue)
    report(cli, queue, paused=False)


def report(cli: Remote, queue: str, *, paused: bool) -> None:
    if cli.out.is_json:
        cli.out.json({"queue": queue, "paused": paused})
    else:
        cli.out.line(f"{queue} {'paused' if paused else 'resumed'}")


def queue_json(queue: QueueInfo) -> dict[str, Any]:
    counts = {name: getattr(queue, name) for name in COUNTS}
    return {"queue": queue.queue, "paused": queue.paused, **counts}
