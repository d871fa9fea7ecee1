"""Where a benchmark lives: its directory, its child processes, and the end of both.

Children get a session of their own, so that Ctrl-C in the terminal reaches only the benchmark,
which then ends them in order.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bench.errors import BenchError

ROOT = Path(__file__).resolve().parents[1]
STOP_GRACE_S = 5.0
POLL_S = 0.05
_MEMORY_ONLY = {"tmpfs", "ramfs"}


class Child:
    """A process started by the benchmark, with everything it prints in `log`."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._stop_signal = stop_signal
        self.log = log
        self.argv = list(argv)
        identity: dict[str, Any] = {} if user is None else as_user(user)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT if user is None else log.parent,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                **identity,
            )

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the process and those it has started; returns when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """An orderly end; SIGKILL for what is still there afterwards."""
        if self.running:
            family = _family([self.pid])
            self._process.send_signal(self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_GRACE_S)
            self._kill_left(family)
        self._process.wait()

    def _kill_left(self, family: Sequence[psutil.Process]) -> None:
        _, left = psutil.wait_procs(family, timeout=0 if self.running else 2)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def wait(self, timeout_s: float = 60.0) -> int:
        """Until it has ended by itself; its exit code."""
        code: int = self._process.wait(timeout_s)
        return code

    def last_words(self, lines: int = 5) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(text[-lines:])

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
        """Polls; BenchError when the process ends before, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise BenchError(f"{self.argv[0]} ended while {what}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{what} took more than {timeout_s:.0f} s:\n{self.last_words()}")
            time.sleep(POLL_S)


class Place:
    """A directory that is removed in the end. On a disk: syncing memory costs nothing, and would
    flatter whoever syncs most. Readable by all, because some servers refuse to run as root."""

    def __init__(self, parent: Path | None = None) -> None:
        candidates = [parent] if parent else [Path(tempfile.gettempdir()), Path("/var/tmp")]
        found = next((p for p in candidates if p.is_dir() and _on_disk(p)), candidates[0])
        self.path = Path(tempfile.mkdtemp(prefix="coord-bench-", dir=found))
        self.path.chmod(0o755)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def filesystem(self) -> str:
        return filesystem_of(self.path)


def filesystem_of(path: Path) -> str:
    """The kind of file system `path` lies on, such as ext4; empty when it cannot be told."""
    best, kind = "", ""
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        inside = path == Path(mount) or Path(mount) in path.parents
        if inside and len(mount) >= len(best):
            best, kind = mount, partition.fstype
    return kind


def _on_disk(path: Path) -> bool:
    return filesystem_of(path.resolve()) not in _MEMORY_ONLY


def server_user() -> str | None:
    """Who runs servers that refuse root; None = we are not root, so nothing has to be changed."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def as_user(user: str) -> dict[str, Any]:
    """What `subprocess` needs to run a program as somebody else."""
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to(path: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def can_enter(path: Path, user: str | None) -> bool:
    """Whether `user` can reach a directory of its own in there."""
    if user is None:
        return True
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, each another one."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _family(pids: Sequence[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time used so far by these processes and those they have started."""
    total = 0.0
    for process in _family(pids):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_bytes(pid: int) -> int:
    """Memory of one process that is its alone."""
    return int(psutil.Process(pid).memory_full_info().uss)
