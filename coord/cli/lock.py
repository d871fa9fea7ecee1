"""`coord lock`: taking locks from scripts, and seeing who has them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace
from typing import Annotated, Any

import typer

from coord.cli.exits import CommandError
from coord.cli.output import duration
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.cli.under_lock import run_under
from coord.client import Client, LockInfo
from coord.client.transport.errors import LockNotAcquiredError
from coord.terminal.options import whole

app = group("lock", "Locks with fencing tokens.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
# As good as for ever, and what the store allows at most.
LONGEST_WAIT_MS = 86_400_000
WAITERS_SHOWN = 10
MOST_WAITERS = 10_000  # that one lock can have
ALL_LOCKS = 1_000_000


@remote(app, "acquire")
async def acquire(
    cli: Remote,
    name: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="Runs under the lock.")
    ] = None,
    wait_ms: Annotated[
        int,
        whole("--wait-ms", high=LONGEST_WAIT_MS, help="0 tries once.", show_default="a day"),
    ] = LONGEST_WAIT_MS,
    ttl_ms: Annotated[
        int,
        whole(
            "--ttl-ms",
            low=100,
            high=LONGEST_WAIT_MS,
            help="How long the lock outlives this process if it is killed.",
        ),
    ] = 15_000,
) -> None:
    """Take a lock, and hold it while CMD runs, or until Ctrl-C when there is no CMD.

    CMD finds the fencing token in COORD_FENCING_TOKEN and the name in COORD_LOCK_NAME; its exit
    code becomes that of this command. When the lock is lost or cannot be confirmed, CMD and all it
    has started get SIGTERM, and SIGKILL before somebody else can have the lock; the exit code is 1.
    The same happens when this process is killed. The lock is released when CMD ends or on Ctrl-C.
    Without CMD, the token is printed as soon as the lock is held."""
    async with cli.client(session_ttl_ms=ttl_ms) as client:
        try:
            async with client.locks.lock(
                name, holder=this_process(), ttl_ms=ttl_ms, wait_ms=wait_ms
            ) as grant:
                if command:
                    ended = await run_under(command, grant)
                    if ended.for_the_lease:
                        grant.lost.set()
                    code = ended.code
                else:
                    code = await hold(cli, name, grant.fencing_token, grant.lost)
                lost = grant.lost.is_set()
        except LockNotAcquiredError:
            raise CommandError(f"lock {name!r} {await holder_of(client, name)}") from None
    if lost:
        raise CommandError(f"lock {name!r} was lost: taken away, or not confirmed in time")
    raise typer.Exit(code)


@remote(app, "release")
async def release(
    cli: Remote,
    name: Name,
    token: Annotated[
        int, whole("--token", low=1, high=2**64 - 1, help="Fencing token it was granted with.")
    ],
) -> None:
    """Take a lock away from whoever holds it under this fencing token."""
    async with cli.client() as client:
        await client.locks.release_by_token(name, token)
    if cli.out.is_json:
        cli.out.json({"name": name, "released": True})
    else:
        cli.out.line(f"{name} released")


@remote(app, "get")
async def get(
    cli: Remote,
    name: Name,
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """Show who holds a lock and who waits for it."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        lock = await client.locks.get(name, stale=allowed)
        if lock is not None and cli.out.is_json and lock.waiter_count > len(lock.waiters):
            waiters = await client.locks.waiters(name, MOST_WAITERS, stale=allowed)
            lock = replace(lock, waiters=tuple(waiters))
    show_age(allowed)
    if lock is None:
        raise CommandError(f"nobody holds lock {name!r} or waits for it")
    if cli.out.is_json:
        cli.out.json({**lock_json(lock), **age_json(allowed)})
        return
    cli.out.facts(
        {
            "lock": lock.name,
            "held": "yes" if lock.held else "no",
            "holder": lock.holder,
            "session": lock.session_id if lock.held else "",
            "fencing token": lock.fencing_token if lock.held else "",
            "ends in": duration(lock.remaining_ms) if lock.remaining_ms else "",
            "waiting": waiting_text(lock),
        }
    )


@remote(app, "list")
async def list_locks(
    cli: Remote,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only names that begin so.")] = "",
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """List the locks that are held or waited for."""
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        locks = await client.locks.list(prefix, ALL_LOCKS, stale=allowed)
    show_age(allowed)
    if cli.out.is_json:
        cli.out.json({"locks": [lock_json(lock) for lock in locks], **age_json(allowed)})
        return
    cli.out.table(
        ("lock", "holder", "session", "token", "waiting"),
        [
            (lock.name, lock.holder, lock.session_id, lock.fencing_token, lock.waiter_count)
            for lock in locks
        ],
        "no lock is held or waited for",
    )


async def hold(cli: Remote, name: str, token: int, lost: asyncio.Event) -> int:
    """Keeps the lock until a signal comes or it is lost."""
    if cli.out.is_json:
        cli.out.json({"name": name, "acquired": True, "fencing_token": token})
    else:
        cli.out.line(f"{name} held under fencing token {token}; Ctrl-C releases it")
    cli.out.flush()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    await first_of(asked.wait(), lost.wait())
    return 0


async def first_of(*waits: Any) -> int:
    """Waits for the first of these and gives up the others; returns its position."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(i for i, task in enumerate(tasks) if task.done())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def this_process() -> str:
    """Who holds the lock, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def holder_of(client: Client, name: str) -> str:
    lock = await client.locks.get(name)
    if lock is None or not lock.held:
        return "was not free in time"
    return f"is held by {lock.holder or 'session'} ({lock.session_id})"


def waiting_text(lock: LockInfo) -> str:
    """The first who wait, and how many more do."""
    shown = lock.waiters[:WAITERS_SHOWN]
    text = ", ".join(f"{one.holder or '-'} ({one.session_id})" for one in shown)
    more = lock.waiter_count - len(shown)
    return f"{text} and {more} more" if more > 0 else text


def lock_json(lock: LockInfo) -> dict[str, Any]:
    return {
        "name": lock.name,
        "held": lock.held,
        "holder": lock.holder,
        "session_id": lock.session_id,
        "fencing_token": lock.fencing_token,
        "remaining_ms": lock.remaining_ms,
        "waiter_count": lock.waiter_count,
        "waiters": [{"session_id": w.session_id, "holder": w.holder} for w in lock.waiters],
    }
