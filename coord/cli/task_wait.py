"""Waiting for the end of tasks, with a bound or without, and saying how they ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from coord.cli.exits import REFUSED, CommandError, explain
from coord.cli.output import Column, bytes_cell, note
from coord.cli.remote import Remote
from coord.cli.task_views import state_name, task_json
from coord.client import Client, Task, TaskState
from coord.client.transport.errors import CoordError, DefiniteError, NoLeaderError, UnavailableError
from coord.terminal.text import counted, duration, gist

LONGEST_WAIT_MS = 366 * 86_400_000


async def wait_for(
    cli: Remote, client: Client, task_ids: Sequence[str], wait_ms: int | None
) -> list[Task]:
    """The tasks once all are at their end, or as they are after `wait_ms`. Gives up when the
    cluster does not answer for as long as a call may take."""
    until_s = None if wait_ms is None else time.monotonic() + wait_ms / 1_000
    try:
        while True:
            left_ms = None if until_s is None else max(1, round((until_s - time.monotonic()) * 1e3))
            step_ms = cli.timeout_ms if left_ms is None else min(cli.timeout_ms, left_ms)
            tasks = await client.tasks.wait(task_ids, timeout_ms=step_ms)
            if all(task.finished for task in tasks) or step_ms == left_ms:
                return tasks
    except asyncio.CancelledError:
        note(f"interrupted; {how_to_go_on(task_ids)}")
        raise
    except CoordError as error:
        raise _given_up(cli, error, task_ids) from error


def how_to_go_on(task_ids: Sequence[str]) -> str:
    named = " ".join(task_ids[:20]) + (" ..." if len(task_ids) > 20 else "")
    return f"'coord task wait {named}' goes on waiting"


def report_end(cli: Remote, task: Task, wait_ms: int | None) -> None:
    """Prints the result; a task that did not complete is an error."""
    if cli.out.is_json:
        cli.out.json(task_json(task))
    if not task.finished:
        raise _not_in_time([task], wait_ms)
    if task.state is not TaskState.COMPLETED:
        why = f": {gist(task.last_error)}" if task.last_error else ""
        raise CommandError(f"task {task.task_id} is {state_name(task.state)}{why}", REFUSED)
    if not cli.out.is_json:
        cli.out.line(bytes_cell(task.result))


def report_ends(cli: Remote, tasks: Sequence[Task], wait_ms: int | None) -> None:
    """Prints a line for each; one that did not complete is an error."""
    if cli.out.is_json:
        cli.out.json({"tasks": [task_json(task) for task in tasks]})
    else:
        cli.out.table(
            ("task", "state", Column("result or error", wraps=True)),
            [
                (
                    task.task_id,
                    state_name(task.state),
                    bytes_cell(task.result) or gist(task.last_error),
                )
                for task in tasks
            ],
        )
    open_ = [task for task in tasks if not task.finished]
    if open_:
        raise _not_in_time(open_, wait_ms)
    failed = sum(task.state is not TaskState.COMPLETED for task in tasks)
    if failed:
        raise CommandError(f"{counted(failed, 'task')} of {len(tasks):,} did not complete")


def _not_in_time(tasks: Sequence[Task], wait_ms: int | None) -> CommandError:
    ids = [task.task_id for task in tasks]
    who = f"task {ids[0]} is" if len(ids) == 1 else f"{len(ids):,} tasks are"
    state = f" ({state_name(tasks[0].state)})" if len(ids) == 1 else ""
    return CommandError(
        f"{who} not at an end after {duration(wait_ms or 0)}{state}; {how_to_go_on(ids)}", REFUSED
    )


def _given_up(cli: Remote, error: CoordError, task_ids: Sequence[str]) -> CommandError:
    """Waiting changes nothing, so nothing of it can have happened."""
    known = explain(error)
    if isinstance(error, DefiniteError) and not isinstance(error, NoLeaderError | UnavailableError):
        return known
    what = f"no node answers at {cli.endpoints}: {error} ({error.reason})"
    return CommandError(f"{what}; {how_to_go_on(task_ids)}", known.code)
