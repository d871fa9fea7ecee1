"""`coord worker`: who works."""

from __future__ import annotations

from collections.abc import Sequence

from coord.cli.output import Column
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.terminal.text import duration

ALL_WORKERS = 1_000_000
MAX_SHOWN = 5

app = group("worker", "Agents that claim tasks.")


@remote(app, "list")
async def list_workers(
    cli: Remote,
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """List the workers with what they serve and what they hold."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        workers = await client.sessions.list(kind="worker", limit=ALL_WORKERS, stale=allowed)
    show_age(allowed)
    if cli.out.is_json:
        cli.out.json(
            {
                "workers": [
                    {
                        "session_id": w.session_id,
                        "name": w.name,
                        "queues": list(w.queues),
                        "slots": w.slots,
                        "labels": dict(w.labels),
                        "tasks_held": w.tasks_held,
                        "stuck": list(w.stuck),
                        "locks_held": w.locks_held,
                        "ttl_ms": w.ttl_ms,
                        "remaining_ms": w.remaining_ms,
                        "opened_unix_ms": w.opened_unix_ms,
                    }
                    for w in workers
                ],
                **age_json(allowed),
            }
        )
        return
    cli.out.table(
        (
            Column("session", rank=1),
            Column("name", wraps=True),
            Column("queues", wraps=True),
            Column("labels", rank=3, wraps=True),
            "slots",
            "busy",
            Column("stuck", wraps=True),
            Column("expires in", rank=2),
        ),
        [
            (
                w.session_id,
                w.name,
                ",".join(w.queues),
                ",".join(f"{key}={value}" for key, value in sorted(w.labels.items())),
                w.slots,
                w.tasks_held,
                stuck_slots(w.stuck),
                duration(w.remaining_ms),
            )
            for w in workers
        ],
        "no workers are connected",
    )


def stuck_slots(task_ids: Sequence[str]) -> str:
    """How many slots hang, and on which tasks."""
    if not task_ids:
        return ""
    shown = ",".join(task_ids[:MAX_SHOWN])
    return f"{len(task_ids)}: {shown}" + (",..." if len(task_ids) > MAX_SHOWN else "")
