"""One worker process from end to end: client, worker, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

import structlog

from agentnode.config import WorkerConfig
from agentnode.errors import ClusterUnreachableError, WorkerRefusedError
from agentnode.executors import Runner
from agentnode.keeping import KeeperProcess
from agentnode.loop import guarded
from agentnode.ports import CoordError, is_worth_repeating
from agentnode.worker import Worker
from coord.client import Client

EXIT_RESTART = 75  # as EX_TEMPFAIL: a supervisor starts it again
_PARENT_CHECK_S = 1.0
_SESSION_TTL_MS = 15_000


async def serve(
    runner: Runner,
    config: WorkerConfig,
    endpoints: str,
    *,
    parent_pid: int = 0,
    keeps_apart: bool = False,
    restart: Callable[[], object] = lambda: os._exit(EXIT_RESTART),
) -> None:
    """Run a worker until SIGTERM or SIGINT, which drain it; a second one ends it at once.

    `restart` ends a process whose slots are all stuck, and starts the worker anew. `keeps_apart`:
    leases are renewed by a process of its own, as handlers of this one may take its interpreter.
    With `parent_pid` it also drains when that is not the parent any more. Ends the process when
    handlers are left that ignore their cancellation: nothing can stop those, and their tasks have
    been given back. Raises what `Worker.run` raises."""
    # Leases end with their session at the latest, so it must not be the shorter one.
    session_ttl_ms = max(config.lease_ttl_ms, _SESSION_TTL_MS)
    async with Client(
        endpoints,
        name=config.name,
        session_ttl_ms=session_ttl_ms,
        kind="worker",
        labels=dict(config.labels),
        queues=config.queues,
        slots=config.slots,
    ) as client:
        await _connect(client, config)
        keeper = None
        if keeps_apart:
            nodes = ",".join(client.endpoints)
            keeper = KeeperProcess(nodes, lambda: (client.session_id, session_ttl_ms))
        worker = Worker(client, runner, config, keeper=keeper)
        watcher = asyncio.create_task(_stop_without_parent(worker, parent_pid))
        try:
            with _signals(worker), guarded():
                await worker.run()
        finally:
            watcher.cancel()
    if worker.wants_restart:
        sys.stderr.flush()
        restart()
    if worker.running:
        structlog.get_logger("agentnode").warning("handlers left behind", count=worker.running)
        sys.stderr.flush()
        os._exit(0)


async def _connect(client: Client, config: WorkerConfig) -> None:
    """Open the session, which also shows the worker to others before it has claimed anything."""
    try:
        await client.open_session(timeout_ms=max(config.connect_timeout_ms, 1))
    except CoordError as error:
        if is_worth_repeating(error):
            nodes = ",".join(client.endpoints)
            raise ClusterUnreachableError(f"no node answers at {nodes}: {error}") from error
        raise WorkerRefusedError(f"the cluster refuses this worker: {error}") from error


@contextlib.contextmanager
def _signals(worker: Worker) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, worker.stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _stop_without_parent(worker: Worker, parent_pid: int) -> None:
    """A supervisor that was killed must not leave its workers behind."""
    if not parent_pid:
        return
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing reports a change of parent
        await asyncio.sleep(_PARENT_CHECK_S)
    structlog.get_logger("agentnode").warning("the supervisor is gone")
    worker.stop()
