"""`coord queue`: the queues and whether they hand out tasks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import Column
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.client import Client, QueueInfo, RetentionPolicy
from coord.client.transport.errors import NotFoundError
from coord.terminal.options import whole
from coord.terminal.text import duration

app = group("queue", "Queues of tasks.")

Queue = Annotated[str, typer.Argument(metavar="QUEUE")]


class Policy(StrEnum):
    """The retention policies as they are given."""

    REFUSE = "refuse"
    DROP_RESULTS_OLDEST = "drop_results_oldest"


LARGEST_QUOTA = 1 << 53
POLICIES = {policy: RetentionPolicy[policy.name] for policy in Policy}

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
    "kept",
    "size_bytes",
    "tombstones",
    "forgotten_early_total",
    "quota_tasks",
    "quota_bytes",
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
                queue_state(q),
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


@remote(app, "get")
async def get(
    cli: Remote, queue: Queue, stale: HoweverOld = False, max_stale_ms: AtMost = None
) -> None:
    """Show one queue: what it holds, its quotas, and whether it takes new tasks."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        found = await client.queues.get(queue, stale=allowed)
    show_age(allowed)
    if cli.out.is_json:
        cli.out.json({**queue_json(found), **age_json(allowed)})
    else:
        cli.out.facts(queue_facts(found))


@remote(app, "set")
async def set_queue(
    cli: Remote,
    queue: Queue,
    quota_tasks: Annotated[
        int | None,
        whole(
            "--quota-tasks",
            high=LARGEST_QUOTA,
            help="Tasks it may keep, finished ones too; 0 means any number.",
            show_default=False,
        ),
    ] = None,
    quota_bytes: Annotated[
        int | None,
        whole(
            "--quota-bytes",
            high=LARGEST_QUOTA,
            help="Memory they may take; 0 means any.",
            show_default=False,
        ),
    ] = None,
    retention_policy: Annotated[
        Policy | None,
        typer.Option(help="When a quota is used up: refuse new tasks, or drop the oldest results."),
    ] = None,
) -> None:
    """Set the quotas of a queue, and what it does when they are used up. Makes the queue."""
    if quota_tasks is None and quota_bytes is None and retention_policy is None:
        raise CommandError("say what to set: a quota or the retention policy", USAGE)
    policy = None if retention_policy is None else POLICIES[retention_policy]
    async with cli.client() as client:
        await client.queues.configure(
            queue, quota_tasks=quota_tasks, quota_bytes=quota_bytes, policy=policy
        )
        found = await client.queues.get(queue)
    if cli.out.is_json:
        cli.out.json(queue_json(found))
    else:
        cli.out.facts(queue_facts(found))


@remote(app, "delete")
async def delete(
    cli: Remote,
    queue: Queue,
    force: Annotated[bool, typer.Option("--force", help="Cancel its unfinished tasks.")] = False,
) -> None:
    """Delete a queue and all that it keeps: results, dead tasks, idempotency keys.

    A queue with unfinished tasks is deleted only with --force, which cancels them."""
    async with cli.client() as client:
        deleted = await client.queues.delete(queue, force=force)
    if cli.out.is_json:
        cli.out.json({"queue": queue, "deleted": deleted})
    else:
        cli.out.line(f"{queue} deleted, with {deleted} {'task' if deleted == 1 else 'tasks'}")


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
    return {
        "queue": queue.queue,
        "paused": queue.paused,
        **counts,
        "retention_policy": policy_name(queue.policy),
        "full_by": queue.full_by,
        "deleting": queue.deleting,
    }


def queue_state(queue: QueueInfo) -> str:
    """What first hinders the queue."""
    if queue.deleting:
        return "deleting"
    if queue.full_by:
        return f"full ({queue.full_by})"
    return "paused" if queue.paused else "running"


def queue_facts(queue: QueueInfo) -> dict[str, object]:
    """The same for people."""
    return {
        "queue": queue.queue,
        "state": queue_state(queue),
        "ready": queue.ready,
        "scheduled": queue.scheduled,
        "claimed": queue.claimed,
        "dead": queue.dead,
        "oldest ready": duration(queue.oldest_ready_ms) if queue.ready else "",
        "kept": f"{queue.kept} tasks, {queue.size_bytes} bytes",
        "quota of tasks": queue.quota_tasks or "none",
        "quota of bytes": queue.quota_bytes or "none",
        "retention policy": policy_name(queue.policy),
        "forgotten early": queue.forgotten_early_total,
        "tombstones": queue.tombstones,
        "submitted": queue.submitted_total,
        "completed": queue.completed_total,
        "ended dead": queue.dead_total,
        "cancelled": queue.cancelled_total,
        "lost leases": queue.lost_leases_total,
        "retried": queue.retried_total,
    }


def policy_name(policy: RetentionPolicy) -> str:
    """refuse, drop_results_oldest: as in every input and output."""
    return policy.name.lower()
