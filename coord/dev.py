"""`coord dev`: a whole cluster in one terminal, for trying things out.

Every node is a child process running `coord serve`; their logs come out here, each line with the
node's name in front. When this ends, whatever ends it, no process and no temporary file is left.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import grpc
import grpc.aio

from coord.config import DEFAULT_CLIENT_PORT, PEER_PORT_OFFSET, ConfigError
from coord.rpc.gen import cluster_pb2, cluster_pb2_grpc

_HURRY_AFTER_S = 0.5
_KILL_AFTER_S = 10.0
_LOOK_EVERY_S = 0.1
_MAX_LINE_BYTES = 1024 * 1024


def run(
    data_dir: Path | None = None,
    *,
    base_port: int = DEFAULT_CLIENT_PORT,
    nodes: int = 3,
    log_level: str = "info",
    output: TextIO | None = None,
) -> int:
    """Run until Ctrl-C or SIGTERM; 0, or 1 if a node ended by itself.

    `data_dir` None: a temporary one. Client ports are `base_port` and up, peer ports 100 further.
    Raises ConfigError."""
    if not 1 <= nodes <= 9:
        raise ConfigError([f"nodes: found {nodes}; allowed: 1 to 9"])
    highest = 65_535 - PEER_PORT_OFFSET - nodes
    if not 1 <= base_port <= highest:
        raise ConfigError([f"base_port: found {base_port}; allowed: 1 to {highest}"])
    temporary = data_dir is None
    folder = Path(tempfile.mkdtemp(prefix="coord-dev-")) if data_dir is None else data_dir
    try:
        cluster = _DevCluster(folder, base_port, nodes, log_level, output or sys.stdout)
        return asyncio.run(cluster.run())
    finally:
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)


class _DevCluster:
    def __init__(
        self, folder: Path, base_port: int, nodes: int, log_level: str, output: TextIO
    ) -> None:
        self._folder = folder
        self._output = output
        self._log_level = log_level
        self._addresses = {
            f"n{number + 1}": f"127.0.0.1:{base_port + number}" for number in range(nodes)
        }
        self._members = ";".join(
            f"n{number + 1}=127.0.0.1:{base_port + number + PEER_PORT_OFFSET},"
            f"127.0.0.1:{base_port + number}"
            for number in range(nodes)
        )
        self._processes: dict[str, Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        jobs: list[asyncio.Task[object]] = []
        followers: list[asyncio.Task[None]] = []
        try:
            for node_id in self._addresses:
                self._processes[node_id] = await self._start(node_id)
            followers = [
                asyncio.create_task(self._follow(n, p)) for n, p in self._processes.items()
            ]
            jobs = [*followers, asyncio.create_task(self._announce())]
            ended = [asyncio.create_task(p.wait()) for p in self._processes.values()]
            told = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((*ended, told), return_when=asyncio.FIRST_COMPLETED)
            jobs += [*ended, told]
            return 0 if self._stopping.is_set() else self._report_end()
        finally:
            await self._stop_all()
            for job in jobs:
                if job not in followers:  # those end with the log they follow
                    job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _start(self, node_id: str) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COORD_")}
        environment |= {
            "COORD_NODE_ID": node_id,
            "COORD_CLUSTER_ID": "dev",
            "COORD_DATA_DIR": str(self._folder / node_id),
            "COORD_MEMBERS": self._members,
            "COORD_LOG_LEVEL": self._log_level,
            "PYTHONUNBUFFERED": "1",
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "coord.cli",
            "serve",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment,
            limit=_MAX_LINE_BYTES,
            # Ctrl-C in the terminal reaches this process only; it stops the nodes in order.
            start_new_session=True,
        )

    async def _follow(self, node_id: str, process: Process) -> None:
        """Print the node's log until it ends."""
        stream = process.stdout
        assert stream is not None
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line beyond the limit: what was read of it is gone
                continue
            if not line:
                return
            self._print(f"{node_id} | {line.decode(errors='replace').rstrip()}")

    async def _announce(self) -> None:
        """Wait for a leader, then say how to use the cluster."""
        leader = ""
        while not leader:
            await asyncio.sleep(_LOOK_EVERY_S)
            for address in self._addresses.values():
                leader = leader or await _leader_seen_by(address)
        endpoints = ",".join(self._addresses.values())
        for line in (
            "",
            f"{len(self._addresses)} nodes serve, {leader} leads. Data: {self._folder}",
            "In another terminal:",
            f"  export COORD_ENDPOINTS={endpoints}",
            f"  coord --endpoints {endpoints} status",
            f"  coord --endpoints {endpoints} task submit --queue demo --payload hello",
            f"  agentnode exec --endpoints {endpoints} --queues demo -- cat",
            f"  agentnode run --endpoints {endpoints} MODULE --queues demo --slots 4",
            "Ctrl-C stops all of it.",
            "",
        ):
            self._print(line)

    def _report_end(self) -> int:
        for node_id, process in self._processes.items():
            if process.returncode is not None:
                self._print(f"{node_id} ended by itself with exit code {process.returncode}")
        return 1

    async def _stop_all(self) -> None:
        """All at once. A leader that finds nobody to hand over to is told not to look for one."""
        waits = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        for wait_s in (_HURRY_AFTER_S, _KILL_AFTER_S):
            self._signal_running(signal.SIGTERM)
            if waits:
                await asyncio.wait(waits, timeout=wait_s)
        self._signal_running(signal.SIGKILL)
        await asyncio.gather(*waits)

    def _signal_running(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

    def _print(self, line: str) -> None:
        with suppress(BrokenPipeError):
            self._output.write(line + "\n")
            self._output.flush()


async def _leader_seen_by(address: str) -> str:
    """The leader a node knows; empty if it does not answer or knows none."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = cluster_pb2_grpc.ClusterStub(channel)  # type: ignore[no-untyped-call]
        try:
            answer = await stub.NodeStatus(cluster_pb2.NodeStatusRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return ""
        return str(answer.leader)
