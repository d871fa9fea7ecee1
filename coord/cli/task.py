"""`coord task`: submitting work and looking after it."""

from __future__ import annotations

from typing import Annotated

import typer

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import note, read_value
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.cli.task_options import with_task_options
from coord.cli.task_views import (
    ROW,
    STATES,
    explanation_facts,
    explanation_json,
    state_name,
    task_facts,
    task_json,
    task_row,
)
from coord.cli.task_wait import LONGEST_WAIT_MS, report_end, report_ends, wait_for
from coord.client import Client, SubmittedTask, TaskOptions, TaskState
from coord.client.transport.errors import NotFoundError
from coord.terminal.options import whole
from coord.terminal.text import counted

app = group("task", "Tasks: submit, look at, wait for, cancel, retry.")

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, such as t17.")]
Queue = Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="Only of this queue.")]


@remote(app, "submit")
@with_task_options
async def submit(
    cli: Remote,
    queue: Annotated[
        str, typer.Option("--queue", "-q", metavar="QUEUE", help="Queue to put the task in.")
    ],
    payload: Annotated[
        str,
        typer.Option(
            metavar="TEXT|@FILE|-",
            help="What the worker gets; - reads standard input.",
            show_default="empty",
        ),
    ] = "",
    *,
    options: TaskOptions,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end of the task; exit 1 if it failed.")
    ] = False,
    wait_ms: Annotated[
        int | None,
        whole(
            "--wait-ms",
            low=1,
            high=LONGEST_WAIT_MS,
            help="As --wait, but no longer than this.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Submit one task and print its id, or with --wait its result.

    With --wait, the id is told on standard error as soon as the task is accepted, so it is not
    lost with Ctrl-C; `coord task wait` goes on waiting."""
    content = read_value(payload)
    async with cli.client() as client:
        task = await client.tasks.submit(queue, content, **options)
        differs: list[str] = []
        if "idempotency_key" in options and task.existed:
            differs = await differences(client, task, queue, options.get("type", ""), content)
            if differs:
                note(
                    f"warning: {task.task_id} was submitted before under this idempotency key "
                    f"with another {' and '.join(differs)}; yours was not submitted"
                )
        if wait or wait_ms is not None:
            note(f"{task.task_id} is submitted; waiting for its end")
            (ended,) = await wait_for(cli, client, [task.task_id], wait_ms)
            report_end(cli, ended, wait_ms)
            return
    if cli.out.is_json:
        known = {"differs": differs} if differs else {}
        cli.out.json(
            {"task_id": task.task_id, "revision": task.revision, "existed": task.existed, **known}
        )
    else:
        cli.out.line(task.task_id)


async def differences(
    client: Client, submitted: SubmittedTask, queue: str, task_type: str, payload: bytes
) -> list[str]:
    """In what a task that existed already differs from the one that was to be submitted."""
    try:
        task = await client.tasks.get(submitted.task_id)
    except NotFoundError:  # its retention is over just now
        return []
    pairs_ = {
        "queue": (task.queue, queue),
        "type": (task.type, task_type),
        "payload": (task.payload, payload),
    }
    return [name for name, (kept, given) in pairs_.items() if kept != given]


@remote(app, "wait")
async def wait_command(
    cli: Remote,
    task_ids: Annotated[list[str], typer.Argument(metavar="TASK...", help="Task ids.")],
    wait_ms: Annotated[
        int | None,
        whole(
            "--wait-ms",
            low=1,
            high=LONGEST_WAIT_MS,
            help="Wait no longer than this.",
            show_default="no bound",
        ),
    ] = None,
) -> None:
    """Wait until all of these tasks are at their end.

    Exit 0 when all completed; 1 when one is dead or cancelled, or not at its end in time."""
    async with cli.client() as client:
        tasks = await wait_for(cli, client, list(dict.fromkeys(task_ids)), wait_ms)
    report_ends(cli, tasks, wait_ms)


@remote(app, "get")
async def get(
    cli: Remote,
    task_id: TaskId,
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """Show one task."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        task = await client.tasks.get(task_id, stale=allowed)
    if cli.out.is_json:
        cli.out.json({**task_json(task), **age_json(allowed)})
    else:
        cli.out.facts(task_facts(task))
    show_age(allowed)


@remote(app, "list")
async def list_tasks(
    cli: Remote,
    queue: Queue = "",
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE", help=f"Only in this state; may be repeated: {', '.join(STATES)}."
        ),
    ] = None,
    limit: Annotated[int, whole("--limit", low=1, high=10_000, help="At most so many.")] = 100,
    after: Annotated[str, typer.Option(metavar="TASK", help="Only those behind this one.")] = "",
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """List tasks in order of submission."""
    for name in state or ():
        if name not in STATES:
            raise CommandError(f"--state must be one of {', '.join(STATES)}, not {name!r}", USAGE)
    states = [TaskState[name.upper()] for name in state or ()]
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        tasks = await client.tasks.list(
            queue=queue, states=states, limit=limit, after=after, stale=allowed
        )
    if cli.out.is_json:
        cli.out.json({"tasks": [task_json(task) for task in tasks], **age_json(allowed)})
    else:
        nothing = "no such tasks" if queue or states or after else "no tasks"
        cli.out.table(ROW, [task_row(task) for task in tasks], nothing)
    if len(tasks) == limit:
        note(f"only {limit:,} are listed; --after {tasks[-1].task_id} lists those behind them")
    show_age(allowed)


@remote(app, "cancel")
async def cancel(
    cli: Remote,
    task_id: TaskId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the task.")] = "",
) -> None:
    """Cancel a task that is not at its end."""
    async with cli.client() as client:
        await client.tasks.cancel(task_id, reason=reason)
    report_state(cli, task_id, "cancelled")


@remote(app, "retry")
async def retry(cli: Remote, task_id: TaskId) -> None:
    """Put a dead or cancelled task back in its queue with fresh attempts."""
    async with cli.client() as client:
        state = await client.tasks.retry(task_id)
    report_state(cli, task_id, state_name(state))


@remote(app, "redrive")
async def redrive(
    cli: Remote,
    queue: Annotated[str, typer.Argument(metavar="QUEUE")],
    limit: Annotated[int, whole("--limit", low=1, high=10_000, help="At most so many.")] = 1_000,
) -> None:
    """Put the dead tasks of a queue back."""
    async with cli.client() as client:
        count = await client.tasks.redrive(queue, limit=limit)
    if cli.out.is_json:
        cli.out.json({"queue": queue, "redriven": count})
    else:
        cli.out.line(f"{counted(count, 'task')} put back in {queue}")


@remote(app, "explain")
async def explain(cli: Remote, task_id: TaskId) -> None:
    """Say why a task is not running; of a dead one, why, and what can be done."""
    async with cli.client() as client:
        found = await client.tasks.explain(task_id)
        dead = found.state in {TaskState.DEAD, TaskState.CANCELLED}
        task = await client.tasks.get(task_id, omit_payload=True) if dead else None
    if cli.out.is_json:
        cli.out.json(explanation_json(task_id, found, task))
    else:
        cli.out.line(found.summary)
        cli.out.facts(explanation_facts(found, task))


def report_state(cli: Remote, task_id: str, state: str) -> None:
    if cli.out.is_json:
        cli.out.json({"task_id": task_id, "state": state})
    else:
        cli.out.line(f"{task_id} {state}")
