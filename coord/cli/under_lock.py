"""Running a command under a lock: through a guard (`coord.cli.guard`), which ends it when the lock
may be somebody else's."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from coord.cli import guard
from coord.cli.exits import CommandError
from coord.client import LockGrant

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as shells report them
MAX_GRACE_S = 10.0
_TELLS_PER_TTL = 10
_GUARD = str(Path(guard.__file__).resolve())


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended. `for_the_lease`: it was told to, as the lock was not certain."""

    code: int
    for_the_lease: bool


async def run_under(command: Sequence[str], grant: LockGrant) -> Ended:
    """Run the command until it ends by itself or has to."""
    check_executable(command[0])
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    grace_s = min(MAX_GRACE_S, grant.ttl_ms / 3_000)
    with ours:
        with theirs:
            lease = _Lease(ours, grant, grace_s)
            lease.tell()
            process = await _start(command, theirs, grace_s, _environment(grant))
        telling = asyncio.create_task(lease.keep_telling())
        try:
            with signals_go_to(process):
                code = await process.wait()
        finally:
            telling.cancel()
        # It says so before it ends; nothing else comes on this socket.
        with suppress(BlockingIOError, OSError):
            return Ended(code, ours.recv(16) == guard.ENDED_IT)
    return Ended(code, for_the_lease=False)


class _Lease:
    """What the guard is told of it."""

    def __init__(self, link: socket.socket, grant: LockGrant, grace_s: float) -> None:
        self._link = link
        self._grant = grant
        self._grace_s = grace_s
        self._told_s = 0.0

    def tell(self) -> None:
        """Up to when the lock is certainly held."""
        until_s = self._grant.lost.until_s
        if self._grant.lost.is_set():
            until_s = min(until_s, time.monotonic() + self._grace_s)
        if until_s != self._told_s:
            self._told_s = until_s
            with suppress(OSError):
                self._link.send(guard.LEASE_END.pack(until_s))

    async def keep_telling(self) -> None:
        pause_s = self._grant.ttl_ms / 1_000 / _TELLS_PER_TTL
        while not self._grant.lost.is_set():
            self.tell()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._grant.lost.wait(), pause_s)
        self.tell()


def check_executable(name: str) -> None:
    """CommandError, as a shell would say it, when there is nothing to run."""
    if shutil.which(name) is not None:
        return
    if Path(name).exists() and os.sep in name:
        raise CommandError(f"cannot run {name}: Permission denied", NOT_EXECUTABLE)
    raise CommandError(f"command not found: {name}", NOT_FOUND)


async def _start(
    command: Sequence[str], link: socket.socket, grace_s: float, environment: Mapping[str, str]
) -> Process:
    # Isolated and without site packages: it needs neither, and starts in a moment.
    python = [sys.executable, "-I", "-S", _GUARD]
    return await asyncio.create_subprocess_exec(
        *python,
        str(link.fileno()),
        f"{grace_s:.3f}",
        "--",
        *command,
        env=environment,
        pass_fds=(link.fileno(),),
    )


def _environment(grant: LockGrant) -> dict[str, str]:
    own = {"COORD_FENCING_TOKEN": str(grant.fencing_token), "COORD_LOCK_NAME": grant.name}
    return os.environ | own


@contextmanager
def signals_go_to(process: Process) -> Iterator[None]:
    """The command decides what a signal means; the lock is kept until it has ended."""
    loop = asyncio.get_running_loop()

    def forward(number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    # A terminal sends SIGINT to the command as well.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, forward, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
