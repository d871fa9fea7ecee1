"""Task frameworks with their own servers and worker processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

from bench.errors import NotAvailableError
from bench.place import ROOT, Child, free_ports, listens
from bench.systems.base import System, need_module
from bench.systems.postgres import PostgresSystem
from bench.systems.redis import RedisSystem

END_TO_END = frozenset({"end_to_end"})
WORKER_PROCESSES = 2


class CelerySystem(System):
    """Over Redis with every write synced; prefork pool, late acknowledgement."""

    name = "celery"
    operations = END_TO_END
    replicated = False

    def __init__(self) -> None:
        self._redis = RedisSystem()

    def check(self) -> None:
        self._redis.check()
        need_module("celery")

    def start(self, directory: Path) -> None:
        self._redis.start(directory)

    def stop(self) -> None:
        self._redis.stop()

    def connect(self) -> dict[str, str]:
        return self._redis.connect()

    def pids(self) -> list[int]:
        return self._redis.pids()

    def configuration(self) -> str:
        return (
            f"Celery {metadata.version('celery')}, task_acks_late, prefetch multiplier 64, "
            f"prefork pool with as many processes as slots but at most {_pool(10**6)}; "
            f"{self._redis.server()}"
        )

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        argv = [
            *(sys.executable, "-m", "celery", "-A", "bench.apps.celery_app", "worker"),
            *("--pool", "prefork", "--concurrency", str(_pool(slots)), "--loglevel", "error"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        env = {"BENCH_CELERY_URL": self.connect()["url"], "PYTHONPATH": str(ROOT)}
        if os.geteuid() == 0:
            env["C_FORCE_ROOT"] = "1"
        worker = Child(argv, directory / "celery.log", env=env)
        try:
            yield {"queue": queue}
        finally:
            worker.stop()


def _pool(slots: int) -> int:
    """More processes than cores only cost."""
    return min(slots, max(os.cpu_count() or 1, WORKER_PROCESSES))


class ProcrastinateSystem(System):
    """Over PostgreSQL with two synchronous standbys; coroutine tasks in up to two processes."""

    name = "procrastinate"
    operations = END_TO_END

    def __init__(self) -> None:
        self._postgres = PostgresSystem()

    def check(self) -> None:
        self._postgres.check()
        need_module("procrastinate")

    def start(self, directory: Path) -> None:
        self._postgres.start(directory)
        env = {"BENCH_CONNINFO": self._postgres.conninfo, "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-m", "bench.apps.procrastinate_schema"]
        log = directory / "schema.log"
        schema = Child(argv, log, env=env)
        if schema.wait() != 0:
            raise NotAvailableError(f"procrastinate's tables: {schema.last_words()}")

    def stop(self) -> None:
        self._postgres.stop()

    def connect(self) -> dict[str, str]:
        return {"conninfo": self._postgres.conninfo}

    def pids(self) -> list[int]:
        return self._postgres.pids()

    def configuration(self) -> str:
        version = metadata.version("procrastinate")
        return f"Procrastinate {version}, coroutine tasks; {self._postgres.server()}"

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        processes = min(WORKER_PROCESSES, slots)
        env = {
            "BENCH_CONNINFO": self._postgres.conninfo,
            "BENCH_QUEUE": queue,
            "BENCH_SLOTS": str(slots // processes),
            "PYTHONPATH": str(ROOT),
        }
        argv = [sys.executable, "-m", "bench.apps.procrastinate_app"]
        with ExitStack() as stack:
            for number in range(processes):
                worker = Child(argv, directory / f"procrastinate{number}.log", env=env)
                stack.callback(worker.stop)
            yield {"queue": queue}


class DaskSystem(System):
    """A scheduler and two worker processes; nothing is durable."""

    name = "dask"
    operations = END_TO_END
    replicated = False

    def __init__(self) -> None:
        self._scheduler: Child | None = None
        self._port = 0

    def check(self) -> None:
        need_module("distributed")

    def start(self, directory: Path) -> None:
        [self._port] = free_ports(1)
        argv = [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"),
            *("--port", str(self._port), "--no-dashboard"),
        ]
        self._scheduler = Child(argv, directory / "scheduler.log", env={"PYTHONPATH": str(ROOT)})
        self._scheduler.wait_until(lambda: listens(self._port), "waiting for Dask's scheduler")

    def stop(self) -> None:
        if self._scheduler is not None:
            self._scheduler.stop()

    def connect(self) -> dict[str, str]:
        return {"address": f"tcp://127.0.0.1:{self._port}"}

    def pids(self) -> list[int]:
        return [self._scheduler.pid] if self._scheduler and self._scheduler.running else []

    def configuration(self) -> str:
        version = metadata.version("distributed")
        return f"Dask distributed {version}, scheduler + up to 2 worker processes, nothing durable"

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        processes = min(WORKER_PROCESSES, slots)
        argv = [
            *(sys.executable, "-m", "distributed.cli.dask_worker", self.connect()["address"]),
            *("--nworkers", "1", "--nthreads", str(slots // processes), "--no-nanny"),
            *("--no-dashboard", "--local-directory", str(directory)),
        ]
        with ExitStack() as stack:
            for number in range(processes):
                log = directory / f"dask{number}.log"
                worker = Child(argv, log, env={"PYTHONPATH": str(ROOT)})
                stack.callback(worker.stop)
            yield {"queue": queue}
