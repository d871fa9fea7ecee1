"""`coord dev`: a whole cluster in one terminal, for trying things out.

Every node is a child process running `coord serve`; their logs come out here, each line with the
node's name in front. A node that dies is started again, so one can be killed to watch the others
take over. When this ends, whatever ends it, no process and no temporary file is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import grpc
import grpc.aio

from coord.channels import aio_channel
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.leash import Leash
from coord.localcluster.ports import require_free
from coord.localcluster.processes import record_of
from coord.node.config import DEFAULT_CLIENT_PORT, PEER_PORT_OFFSET, ConfigError
from coord.pb import cluster_pb2, cluster_pb2_grpc

DEFAULT_NODES: Final = 3
MAX_NODES: Final = 9
LAYOUT_FILE: Final = "dev.json"
OLD_CLUSTER_ID: Final = "dev"  # of data that was kept before the layout was

_HURRY_AFTER_S = 0.5
_KILL_AFTER_S = 10.0
_LOOK_EVERY_S = 0.1
_MAX_LINE_BYTES = 1024 * 1024
_RESTART_AFTER_S: Final = (1.0, 2.0, 5.0, 10.0)
# A node that ends so soon has not come up; after so many of those it is left alone.
_TOO_SOON_S: Final = 5.0
_MAX_FAILED_STARTS: Final = 3
# 0: it was removed from the cluster. 70: it does not trust its disk or state, and has said why.
_ENDS_FOR_GOOD: Final = {0: "left the cluster", 70: "stopped itself and has said why above"}


class DevError(Exception):
    """The cluster cannot be started; the message is one line."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the data of a cluster belongs to."""

    cluster_id: str
    nodes: int
    base_port: int

    @property
    def addresses(self) -> dict[str, str]:
        """Where clients reach each node."""
        return {f"n{n + 1}": f"127.0.0.1:{self.base_port + n}" for n in range(self.nodes)}

    @property
    def members(self) -> str:
        """As the setting of that name takes it."""
        return ";".join(
            f"n{n + 1}=127.0.0.1:{self.base_port + n + PEER_PORT_OFFSET},"
            f"127.0.0.1:{self.base_port + n}"
            for n in range(self.nodes)
        )

    @property
    def ports(self) -> dict[int, str]:
        """What each port is for."""
        return {
            self.base_port + n + offset: f"{whose} of n{n + 1}"
            for n in range(self.nodes)
            for offset, whose in ((0, "clients"), (PEER_PORT_OFFSET, "peers"))
        }


def run(
    data_dir: Path | None = None,
    *,
    base_port: int | None = None,
    nodes: int | None = None,
    log_level: str = "info",
    output: TextIO | None = None,
) -> int:
    """Run until Ctrl-C or SIGTERM; 0, or 1 when no node is left.

    `data_dir` None: a temporary one. `nodes` and `base_port` None: as the data has them, else 3 and
    7400. Client ports are `base_port` and up, peer ports 100 further. Raises ConfigError,
    DevError."""
    temporary = data_dir is None
    folder = Path(tempfile.mkdtemp(prefix="coord-dev-")) if data_dir is None else data_dir
    leash = None
    try:
        known = _kept_layout(folder)
        layout = _new_layout(folder, nodes, base_port) if known is None else known
        _require_same(folder, layout, nodes, base_port)
        try:
            require_free(layout.ports)
        except LocalClusterError as error:
            raise DevError(str(error)) from None
        if known is None:
            _keep_layout(folder, layout)
        leash = Leash(folder if temporary else None)
        cluster = _DevCluster(folder, layout, log_level, output or sys.stdout, leash)
        return asyncio.run(cluster.run())
    finally:
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        if leash is not None:
            leash.let_go()


def _kept_layout(folder: Path) -> Layout | None:
    try:
        kept = json.loads((folder / LAYOUT_FILE).read_text(encoding="utf-8"))
        return Layout(str(kept["cluster_id"]), int(kept["nodes"]), int(kept["base_port"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise DevError(f"{folder / LAYOUT_FILE} cannot be read as a file of 'coord dev'") from None


def _new_layout(folder: Path, nodes: int | None, base_port: int | None) -> Layout:
    count = DEFAULT_NODES if nodes is None else nodes
    port = DEFAULT_CLIENT_PORT if base_port is None else base_port
    if not 1 <= count <= MAX_NODES:
        raise ConfigError([f"nodes: found {count}; allowed: 1 to {MAX_NODES}"])
    highest = 65_535 - PEER_PORT_OFFSET - count
    if not 1 <= port <= highest:
        raise ConfigError([f"base_port: found {port}; allowed: 1 to {highest}"])
    old = sum((folder / f"n{n + 1}").is_dir() for n in range(MAX_NODES))
    if old:
        return Layout(OLD_CLUSTER_ID, old, port)
    return Layout(f"dev-{secrets.token_hex(4)}", count, port)


def _require_same(folder: Path, layout: Layout, nodes: int | None, base_port: int | None) -> None:
    """The members and their addresses stand in the data, so other ones cannot be asked for."""
    if nodes not in {None, layout.nodes} or base_port not in {None, layout.base_port}:
        advice = "leave --nodes and --base-port out, or take another --data-dir"
        held = f"{layout.nodes} nodes at base port {layout.base_port}"
        raise ConfigError([f"{folder} holds a cluster of {held}; {advice}"])


def _keep_layout(folder: Path, layout: Layout) -> None:
    content = {
        "cluster_id": layout.cluster_id,
        "nodes": layout.nodes,
        "base_port": layout.base_port,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LAYOUT_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")
    except OSError as error:
        raise DevError(f"cannot write to {folder}: {error.strerror}") from None


class _DevCluster:
    def __init__(
        self, folder: Path, layout: Layout, log_level: str, output: TextIO, leash: Leash
    ) -> None:
        self._folder = folder
        self._layout = layout
        self._output = output
        self._log_level = log_level
        self._leash = leash
        self._processes: dict[str, Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        keepers = [asyncio.create_task(self._keep(n)) for n in self._layout.addresses]
        others = [asyncio.create_task(self._announce()), asyncio.create_task(self._stopping.wait())]
        all_gone = asyncio.gather(*keepers)
        try:
            await asyncio.wait((all_gone, others[-1]), return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return 0
            self._print("no node is left")
            return 1
        finally:
            self._stopping.set()
            for job in others:
                job.cancel()
            await self._stop_all()
            await asyncio.gather(all_gone, *others, return_exceptions=True)

    async def _keep(self, node_id: str) -> None:
        """Run the node, again and again, until all of it stops or it ends for good."""
        starts = failed_starts = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            process = self._processes[node_id] = await self._start(node_id)
            if self._stopping.is_set():  # it was not there yet when all were told to stop
                _signal(process, signal.SIGTERM)
            self._leash.hold(record_of(process.pid))
            if starts:
                self._print(f"coord dev: {node_id} is started again (process {process.pid})")
            starts += 1
            await self._follow(node_id, process)
            code = await process.wait()
            if self._stopping.is_set():
                return
            soon = time.monotonic() - began < _TOO_SOON_S and code > 0
            failed_starts = failed_starts + 1 if soon else 0
            if not await self._may_start_again(node_id, code, failed_starts):
                return

    async def _may_start_again(self, node_id: str, code: int, failed_starts: int) -> bool:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if code in _ENDS_FOR_GOOD:
            self._print(f"coord dev: {node_id} {_ENDS_FOR_GOOD[code]}; it stays down")
            return False
        if failed_starts >= _MAX_FAILED_STARTS:
            self._print(f"coord dev: {node_id} {how} again; it stays down")
            return False
        wait_s = _RESTART_AFTER_S[min(failed_starts, len(_RESTART_AFTER_S) - 1)]
        self._print(
            f"coord dev: {node_id} {how}; the others go on, it starts again in {wait_s:g} s"
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)
        return not self._stopping.is_set()

    async def _start(self, node_id: str) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COORD_")}
        environment |= {
            "COORD_NODE_ID": node_id,
            "COORD_CLUSTER_ID": self._layout.cluster_id,
            "COORD_DATA_DIR": str(self._folder / node_id),
            "COORD_MEMBERS": self._layout.members,
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
            for address in self._layout.addresses.values():
                leader = leader or await _leader_seen_by(address, self._layout.cluster_id)
        endpoints = ",".join(self._layout.addresses.values())
        nodes = "1 node serves" if self._layout.nodes == 1 else f"{self._layout.nodes} nodes serve"
        pids = ", ".join(f"{name} {process.pid}" for name, process in self._processes.items())
        for line in (
            "",
            f"{nodes}, {leader} leads. Data: {self._folder}",
            "In another terminal:",
            f"  export COORD_ENDPOINTS={endpoints}",
            f"  coord --endpoints {endpoints} status",
            f"  coord --endpoints {endpoints} task submit --queue demo --payload hello",
            f"  agentnode exec --endpoints {endpoints} --queues demo -- cat",
            f"  agentnode run --endpoints {endpoints} MODULE --queues demo --slots 4",
            f"Kill a node and see the others take over; it is started again ({pids}).",
            "Ctrl-C stops all of it.",
            "",
        ):
            self._print(line)

    async def _stop_all(self) -> None:
        """All at once. A leader that finds nobody to hand over to is told not to look for one."""
        waits = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        for wait_s in (_HURRY_AFTER_S, _KILL_AFTER_S):
            self._signal_running(self._processes, signal.SIGTERM)
            if waits:
                await asyncio.wait(waits, timeout=wait_s)
        self._signal_running(self._processes, signal.SIGKILL)
        await asyncio.gather(*waits)

    @staticmethod
    def _signal_running(processes: Mapping[str, Process], number: signal.Signals) -> None:
        for process in processes.values():
            _signal(process, number)

    def _print(self, line: str) -> None:
        with suppress(BrokenPipeError):
            self._output.write(line + "\n")
            self._output.flush()


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


async def _leader_seen_by(address: str, cluster_id: str) -> str:
    """The leader a node of this cluster knows; empty if it does not answer, knows none, or is of
    another cluster."""
    async with aio_channel(address) as channel:
        stub: Any = cluster_pb2_grpc.ClusterStub(channel)  # type: ignore[no-untyped-call]
        try:
            answer = await stub.NodeStatus(cluster_pb2.NodeStatusRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return ""
        return str(answer.leader) if answer.cluster_id == cluster_id else ""
