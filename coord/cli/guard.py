"""The guard between `coord lock acquire` and its command: it ends the command when the lock may be
somebody else's, whatever has become of its parent.

    python -I -S guard.py FD GRACE_S -- CMD ...

FD is a socket to the parent, which sends the end of the lease as known so far: seconds on the
monotonic clock, which all processes of a machine share. GRACE_S before that end, and at once when
the parent is gone, the command and everything below it get SIGTERM, and at the end SIGKILL. So it
does not matter whether the parent was killed, is suspended or cannot reach the cluster. On Linux
the command is killed if the guard itself is.

A script of its own that imports the standard library only, so that it starts in a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from typing import Final, NoReturn

LEASE_END: Final = struct.Struct("!d")
ENDED_IT: Final = b"L"  # to the parent: the command was ended for the lease
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells report them
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
_SWEEP_S = 0.05


class Guard:
    """Watches one command."""

    def __init__(self, link: socket.socket, grace_s: float) -> None:
        self._link = link
        self._grace_s = grace_s
        self._lease_end_s = time.monotonic() + grace_s
        self._parent_is_gone = False
        self._told = b""
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []  # signals that came before the command was there

    def run(self, command: list[str]) -> int:
        """The exit code of the command, as shells report it."""
        woken = _wake_on_signals()
        self._hear()
        for number in _PASSED_ON:
            signal.signal(number, lambda number, _: self._pass_on(number))
        child = self._child = _start(command)
        for early in self._early:
            self._pass_on(early)
        while child.poll() is None:
            left_s = self._lease_end_s - self._grace_s - time.monotonic()
            if self._parent_is_gone or left_s <= 0:
                self._end(child)
                break
            select.select([self._link, woken], [], [], left_s)
            _drain(woken)
            self._hear()
        code = child.wait()
        return 128 - code if code < 0 else code

    def _pass_on(self, number: int) -> None:
        if self._child is None:
            self._early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    def _hear(self) -> None:
        """Take in what the parent has sent."""
        while not self._parent_is_gone:
            try:
                data = self._link.recv(4_096)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._parent_is_gone = not data
            self._told += data
        whole = len(self._told) // LEASE_END.size * LEASE_END.size
        if whole:
            (self._lease_end_s,) = LEASE_END.unpack(self._told[whole - LEASE_END.size : whole])
            self._told = self._told[whole:]

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """SIGTERM, then SIGKILL at the end of the lease: nobody works on without the lock."""
        with contextlib.suppress(OSError):
            self._link.send(ENDED_IT)
        told: set[int] = set()
        while below := _descendants(os.getpid()):
            child.poll()
            force = time.monotonic() >= self._lease_end_s
            for pid in below if force else below - told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)
            told |= below
            time.sleep(_SWEEP_S)
            _reap(child.pid)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    prctl = _prctl()
    if prctl is not None:
        prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def in_child() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    try:
        return subprocess.Popen(command, preexec_fn=in_child)  # noqa: PLW1509 - there are no threads
    except FileNotFoundError:
        _refuse(f"command not found: {command[0]}", _NOT_FOUND)
    except OSError as error:
        _refuse(f"cannot run {command[0]}: {error.strerror}", _NOT_EXECUTABLE)


def _refuse(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"coord: {message}\n")
    sys.exit(code)


def _prctl() -> ctypes._NamedFuncPointer | None:
    """Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None


def _wake_on_signals() -> socket.socket:
    """A socket that can be read when a signal has come; SIGINT is for the command alone."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)
    return reader


def _drain(woken: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while woken.recv(4_096):
            pass


def _reap(direct: int) -> None:
    """Take leave of orphans that ended; the command itself is waited for by its own number."""
    for pid in _descendants(os.getpid(), direct_only=True) - {direct}:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _descendants(ancestor: int, *, direct_only: bool = False) -> set[int]:
    """The processes below this one."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, parent in _processes():
        children[parent].append(pid)
    found: set[int] = set()
    ahead = [ancestor]
    while ahead:
        below = [pid for pid in children[ahead.pop()] if pid not in found]
        found.update(below)
        if direct_only:
            break
        ahead += below
    return found


def _processes() -> list[tuple[int, int]]:
    """All processes with their parents; without zombies that somebody else has to wait for."""
    if not os.path.isdir("/proc/self"):
        return _processes_of_ps()
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                # The name of the program, in brackets, may hold anything.
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
                if state != b"Z" or int(parent) == os.getpid():
                    found.append((int(name), int(parent)))
    return found


def _processes_of_ps() -> list[tuple[int, int]]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False
    )
    pairs = [line.split() for line in listing.stdout.splitlines()]
    return [(int(pid), int(parent)) for pid, parent in pairs]


def main(arguments: list[str]) -> int:
    link = socket.socket(fileno=int(arguments[0]))
    link.setblocking(False)
    os.set_inheritable(link.fileno(), False)
    return Guard(link, float(arguments[1])).run(arguments[3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
