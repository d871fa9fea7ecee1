"""The guard of a command under a lock: nobody works on without the lock, however it was lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from coord.cli import guard

GUARD = [sys.executable, "-I", "-S", str(Path(guard.__file__))]
# Starts a child that ignores SIGTERM, says who both are, and waits.
STUBBORN = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\nprint('up', flush=True)\\ntime.sleep(60)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


class Guarded:
    """A guard with a command below it."""

    def __init__(self, command: list[str], *, lease_s: float, grace_s: float) -> None:
        self.link, theirs = socket.socketpair()
        self.tell(lease_s)
        with theirs:
            self.process = subprocess.Popen(
                [*GUARD, str(theirs.fileno()), str(grace_s), "--", *command],
                pass_fds=(theirs.fileno(),),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def tell(self, lease_s: float) -> None:
        self.lease_end_s = time.monotonic() + lease_s
        self.link.send(guard.LEASE_END.pack(self.lease_end_s))

    def pids(self) -> list[int]:
        assert self.process.stdout is not None
        return [int(pid) for pid in self.process.stdout.readline().split()]


@contextlib.contextmanager
def guarded(
    command: list[str], *, lease_s: float = 60.0, grace_s: float = 1.0
) -> Iterator[Guarded]:
    running = Guarded(command, lease_s=lease_s, grace_s=grace_s)
    try:
        yield running
    finally:
        running.link.close()
        running.process.wait(20)
        for stream in (running.process.stdout, running.process.stderr):
            assert stream is not None
            stream.close()


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def gone(pids: list[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stubborn() -> list[str]:
    return [sys.executable, "-c", STUBBORN]


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_that_of_the_command(command: str, code: int) -> None:
    with guarded(["sh", "-c", command]) as running:
        assert running.process.wait(20) == code
        assert running.link.recv(16) == b"", "it was not ended for the lease"


def test_a_command_that_cannot_run() -> None:
    with guarded(["/no/such/command"]) as running:
        assert running.process.wait(20) == 127
        assert running.process.stderr is not None
        assert running.process.stderr.read() == "coord: command not found: /no/such/command\n"


def test_all_that_the_command_started_ends_with_the_lease() -> None:
    with guarded(stubborn(), grace_s=1.5) as running:
        pids = running.pids()
        assert len(pids) == 2
        running.tell(2.5)
        running.process.wait(20)
        ended_at_s = time.monotonic()
        assert gone(pids)
        # The child ignores SIGTERM, so it took SIGKILL, at the end of the lease and not later.
        assert running.lease_end_s <= ended_at_s < running.lease_end_s + 5
        assert running.link.recv(16) == guard.ENDED_IT


def test_a_lease_that_is_renewed_keeps_the_command() -> None:
    with guarded(["sh", "-c", "echo up; sleep 2; exit 3"], grace_s=0.2) as running:
        assert running.process.stdout is not None
        running.process.stdout.readline()
        running.tell(1.5)
        running.tell(60)
        assert running.process.wait(20) == 3


def test_the_end_of_the_parent_is_the_end_of_the_command() -> None:
    with guarded(stubborn(), grace_s=1.0) as running:
        pids = running.pids()
        running.tell(2.0)
        running.link.close()  # as the system does when the parent is killed
        running.process.wait(20)
        assert gone(pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_the_command_dies_with_a_killed_guard() -> None:
    with guarded(["sh", "-c", "echo $$; exec sleep 60"]) as running:
        pids = running.pids()
        running.process.kill()
        until(lambda: gone(pids))


def test_sigterm_is_passed_on_and_sigint_is_not() -> None:
    script = "trap 'exit 9' TERM; trap 'exit 8' INT; echo up; while :; do sleep 0.05; done"
    with guarded(["sh", "-c", script]) as running:
        assert running.process.stdout is not None
        running.process.stdout.readline()
        os.kill(running.process.pid, signal.SIGINT)
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(20) == 9
