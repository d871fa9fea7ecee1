"""What scenarios work with: running systems, client processes, a place for both."""

from __future__ import annotations

import itertools
import json
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.job import Job, Outcome
from bench.place import ROOT, cpu_seconds
from bench.systems.base import System

Metrics = dict[str, float]
SETTLE_S = 60.0
SETTLE_LOOK_S = 1.0
CALM_CORES = 0.25
CLIENT = [sys.executable, "-m", "bench.client_process"]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a point is measured, and how large the state of the large ones is."""

    warmup_s: float = 1.0
    duration_s: float = 5.0
    pending: tuple[int, ...] = (1, 10_000, 100_000)
    agents: tuple[int, ...] = (10, 100)
    sizes: tuple[int, ...] = (3, 5)
    state_tasks: int = 100_000
    log_entries: int = 10_000  # behind the last snapshot, for a restart
    kills: int = 12
    saturation_s: float = 15.0
    sustained_s: float = 60.0
    kill_every_s: float = 15.0  # of sustained_s
    task_rate: float = 1_157.0  # 100 million a day


@dataclass(slots=True)
class Bench:
    """Everything a scenario needs."""

    directory: Path
    timing: Timing
    capacity: dict[str, float] = field(default_factory=dict)  # cycles/s with 64 callers, by system
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def job(self, system: System, operation: str, **values: Any) -> Job:
        """A job with a name of its own and the run's times, except for `values`."""
        job = Job(
            driver=system.driver,
            operation=operation,
            name=f"b{next(self._numbers)}",
            connect=system.connect(),
            warmup_s=self.timing.warmup_s,
            duration_s=self.timing.duration_s,
        )
        return replace(job, **values)

    def run(self, system: System, job: Job) -> Metrics:
        """Does the job in a client process; its figures and the CPU time used meanwhile."""
        outcome, cores = self.watch(system, job)
        return outcome.metrics() | cores

    def watch(
        self, system: System, job: Job, on_begin: Callable[[], None] | None = None
    ) -> tuple[Outcome, Metrics]:
        """The same, the outcome as it is. `on_begin` is called when the measured part begins."""
        timeout_s = 600.0 if job.count else job.warmup_s + job.duration_s + 90.0
        with client(CLIENT, self.directory / f"client-{job.name}.log") as process:
            process.send(job.to_json())
            began = process.expect("phase", timeout_s)
            assert began
            before = cpu_seconds(system.pids()), cpu_seconds([process.pid])
            start = time.monotonic()
            if on_begin is not None:
                on_begin()
            outcome = Outcome(**process.expect("outcome", timeout_s))
            seconds = time.monotonic() - start
            after = cpu_seconds(system.pids()), cpu_seconds([process.pid])
        return outcome, {
            "server_cores": max(after[0] - before[0], 0.0) / seconds,
            "client_cores": max(after[1] - before[1], 0.0) / seconds,
        }

    def settle(self, system: System) -> None:
        """Returns when the servers have little to do any more, or after `SETTLE_S`: filling them
        leaves snapshots, checkpoints and the like behind."""
        until = time.monotonic() + SETTLE_S
        calm = False
        while not calm and time.monotonic() < until:
            before, start = cpu_seconds(system.pids()), time.monotonic()
            time.sleep(SETTLE_LOOK_S)
            used = cpu_seconds(system.pids()) - before
            calm = used < CALM_CORES * (time.monotonic() - start)

    def new_directory(self, name: str) -> Path:
        path = self.directory / f"{name}-{next(self._numbers)}"
        path.mkdir(mode=0o755)
        return path

    @contextmanager
    def fresh(self, system: System) -> Iterator[System]:
        """This system, which must not be running, for a while."""
        try:
            system.start(self.new_directory(system.name))
            yield system
        finally:
            system.stop()


class ClientProcess:
    """A child that speaks JSON lines."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def expect(self, key: str, timeout_s: float) -> Any:
        """The value under `key` of its next line. BenchError when it says or does otherwise."""
        assert self._process.stdout is not None
        if not self._selector.select(timeout_s):
            raise BenchError(f"the client said nothing for {timeout_s:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
            raise BenchError(f"the client ended early: {' / '.join(tail)}")
        message: Mapping[str, Any] = json.loads(line)
        if "error" in message:
            raise BenchError(str(message["error"]))
        if key not in message:
            raise BenchError(f"the client said {line.strip()} instead of {key}")
        return message[key]

    def close(self) -> None:
        self._selector.close()


@contextmanager
def client(argv: list[str], log: Path) -> Iterator[ClientProcess]:
    """Starts a client process; afterwards it is gone."""
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
            cwd=ROOT,
            start_new_session=True,
        ) as process,
    ):
        speaking = ClientProcess(process, log)
        try:
            yield speaking
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
        finally:
            if process.poll() is None:
                process.kill()
            speaking.close()
