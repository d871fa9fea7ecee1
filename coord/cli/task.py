"""`coord task`: submitting work and looking after it."""

from __future__ import annotations

from typing import Annotated

import typer

from coord.cli.exits import REFUSED, USAGE, CommandError
from coord.cli.output import bytes_cell, duration, pairs, read_value
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.cli.task_views import (
    ROW,
    STATES,
    state_name,
    task_facts,
    task_json,
    task_row,
)
from coord.client import Client, Task, TaskState

app = group("task", "Tasks: submit, look at, cancel, retry.")

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, such as t17.")]
WAIT_STEP_MS = 30_000


@remote(app, "submit")
async def submit(
    cli: Remote,
    queue: Annotated[str, typer.Option("--queue", "-q", help="Queue to put the task in.")],
    payload: Annotated[
        str,
        typer.Option(metavar="TEXT|@FILE|-", help="What the worker gets; - reads standard input."),
    ] = "",
    task_type: Annotated[str, typer.Option("--type", help="Which handler is meant.")] = "",
    priority: Annotated[
        int, typer.Option(min=-(2**31), max=2**31 - 1, help="Larger is sooner.")
    ] = 0,
    delay_ms: Annotated[int, typer.Option(min=0, help="Not claimable before.")] = 0,
    max_attempts: Annotated[int, typer.Option(min=0, help="0 = the default (3).")] = 0,
    idempotency_key: Annotated[
        str, typer.Option(help="A second submit with this key returns the first task.")
    ] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end of the task; exit 1 if it failed.")
    ] = False,
) -> None:
    """Submit one task and print its id, or with --wait its result."""
    content = read_value(payload)
    labels = pairs(label or (), "--label")
    async with cli.client() as client:
        task = await client.tasks.submit(
            queue,
            content,
            type=task_type,
            priority=priority,
            delay_ms=delay_ms,
            max_attempts=max_attempts,
            idempotency_key=idempotency_key,
            labels=labels,
        )
        if wait:
            report_end(cli, await wait_for(client, task.task_id))
            return
    if cli.out.is_json:
        cli.out.json({"task_id": task.task_id, "revision": task.revision, "existed": task.existed})
    else:
        cli.out.line(task.task_id)


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
    queue: Annotated[str, typer.Option("--queue", "-q", help="Only of this queue.")] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help=f"Only in this state; may be repeated: {STATES}."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
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
        cli.out.table(ROW, [task_row(task) for task in tasks])
    show_age(allowed)


@remote(app, "cancel")
async def cancel(
    cli: Remote,
    task_id: TaskId,
    reason: Annotated[str, typer.Option(help="Kept with the task.")] = "",
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
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="At most so many.")] = 1_000,
) -> None:
    """Put the dead tasks of a queue back."""
    async with cli.client() as client:
        count = await client.tasks.redrive(queue, limit=limit)
    if cli.out.is_json:
        cli.out.json({"queue": queue, "redriven": count})
    else:
        cli.out.line(f"{count} put back in {queue}")


@remote(app, "explain")
async def explain(cli: Remote, task_id: TaskId) -> None:
    """Say why a task is not running."""
    async with cli.client() as client:
        found = await client.tasks.explain(task_id)
    if cli.out.is_json:
        cli.out.json(
            {
                "task_id": task_id,
                "state": state_name(found.state),
                "summary": found.summary,
                "reasons": list(found.reasons),
                "ahead": found.ahead,
                "ready_in_ms": found.ready_in_ms,
                "workers": found.workers,
            }
        )
        return
    cli.out.line(found.summary)
    cli.out.facts(
        {
            "state": state_name(found.state),
            "reasons": ", ".join(found.reasons),
            "ahead": found.ahead or "",
            "ready in": duration(found.ready_in_ms) if found.ready_in_ms else "",
            "workers": found.workers,
        }
    )


async def wait_for(client: Client, task_id: str) -> Task:
    """The task once it is at its end, however long that takes."""
    while True:
        (task,) = await client.tasks.wait([task_id], timeout_ms=WAIT_STEP_MS)
        if task.finished:
            return task


def report_end(cli: Remote, task: Task) -> None:
    """Prints the result; a task that did not complete is an error."""
    if cli.out.is_json:
        cli.out.json(task_json(task))
    if task.state is not TaskState.COMPLETED:
        why = f": {task.last_error}" if task.last_error else ""
        raise CommandError(f"task {task.task_id} is {state_name(task.state)}{why}", REFUSED)
    if not cli.out.is_json:
        cli.out.line(bytes_cell(task.result))


def report_state(cli: Remote, task_id: str, state: str) -> None:
    if cli.out.is_json:
        cli.out.json({"task_id": task_id, "state": state})
    else:
        cli.out.line(f"{task_id} {state}")
