"""Background processes that outlive the one that started them.

A process is remembered by its id *and* its start time, because ids are used again: a signal is
sent only when both still match, so a process of somebody else is never touched. Where the system
has pidfds, the check and the signal cannot be separated by the process ending in between.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

POLL_SECONDS = 0.02
REAP_TIMEOUT_MS = 3_000


class ProcessState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """Names one process for ever: `started` is opaque text, unlike any other holder of `pid`."""

    pid: int
    started: str


def spawn_detached(argv: Sequence[str], log: Path, env: Mapping[str, str]) -> ProcessRecord:
    """Starts `argv` in a session of its own, with standard output and error appended to `log`."""
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT],  # which may be ignored here
    )
    return record_of(pid)


def record_of(pid: int) -> ProcessRecord:
    """The name of the process that has this id now."""
    seen = _look(pid)
    return ProcessRecord(pid, "" if seen is None else seen[0])  # "": it is gone already


def process_state(record: ProcessRecord) -> ProcessState:
    """A process that has ended but was not reaped yet counts as down."""
    seen = _look(record.pid)
    if seen is None or seen[0] != record.started:
        return ProcessState.DOWN
    match seen[1]:
        case "Z" | "X":
            _reap(record.pid)
            return ProcessState.DOWN
        case "T" | "t":
            return ProcessState.PAUSED
        case _:
            return ProcessState.RUNNING


def send_signal(record: ProcessRecord, number: signal.Signals) -> bool:
    """Signals the process if it is still the same one; False if it is gone."""
    try:
        handle = os.pidfd_open(record.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return False
    try:
        if process_state(record) is ProcessState.DOWN:
            return False
        if handle is None:
            os.kill(record.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def wait_gone(records: Sequence[ProcessRecord], timeout_ms: int) -> list[ProcessRecord]:
    """Waits until all have ended; returns those that have not."""
    deadline = time.monotonic() + timeout_ms / 1000
    left = list(records)
    while True:
        left = [record for record in left if process_state(record) is not ProcessState.DOWN]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(POLL_SECONDS)


def terminate(records: Sequence[ProcessRecord], grace_ms: int) -> None:
    """Asks all to end, and kills those that have not done so after `grace_ms`. Afterwards they are
    not even in the process table, unless nobody cleans that up."""
    for record in records:
        if process_state(record) is ProcessState.PAUSED:
            send_signal(record, signal.SIGCONT)
        send_signal(record, signal.SIGTERM)
    kill(wait_gone(records, grace_ms))
    _wait_reaped(records)


def kill(records: Sequence[ProcessRecord]) -> None:
    """SIGKILL, and waits until all are gone."""
    for record in records:
        send_signal(record, signal.SIGKILL)
    wait_gone(records, timeout_ms=10_000)


def _wait_reaped(records: Sequence[ProcessRecord]) -> None:
    """Ended processes that are not our children stay in the process table until init has seen
    them. Some do that only every other second, and where there is none it never happens."""
    deadline = time.monotonic() + REAP_TIMEOUT_MS / 1000
    while any(_in_table(record) for record in records) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 4)


def _in_table(record: ProcessRecord) -> bool:
    process_state(record)  # reaps it if it is our own
    seen = _look(record.pid)
    return seen is not None and seen[0] == record.started


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _look(pid: int) -> tuple[str, str] | None:
    """(start time, state letter) of a process, or None when there is none with this id."""
    if Path("/proc/self/stat").exists():
        return _look_proc(pid)
    return _look_ps(pid)


def _look_proc(pid: int) -> tuple[str, str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may hold blanks and brackets itself.
    fields = stat[stat.rindex(")") + 2 :].split()
    state, threads, started = fields[0], int(fields[17]), fields[19]
    if state == "Z" and threads > 1:
        state = "R"  # its first thread has ended, but others still hold its files and ports
    return f"{_boot_id()}:{started}", state


def _boot_id() -> str:
    # Start times count from boot, so after a reboot they can come again.
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _look_ps(pid: int) -> tuple[str, str] | None:
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = found.stdout.strip().partition(" ")
    return (started.strip(), state[0]) if state else None
