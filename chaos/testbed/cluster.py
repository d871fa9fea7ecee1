"""The cluster under test: real node processes on this machine, on a network that can be hurt.

Starting never waits for the cluster to be usable: under faults that may be never.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.testbed.agents import Agents
from chaos.testbed.hardware import Hardware
from chaos.testbed.netns import NamespaceNetwork
from chaos.testbed.network import Network, ProxyNetwork
from chaos.testbed.proxy import Links
from coord.localcluster import launch, probe
from coord.localcluster.leash import Leash
from coord.localcluster.processes import (
    ProcessRecord,
    ProcessState,
    kill,
    process_state,
    send_signal,
    spawn_detached,
    terminate,
)
from coord.localcluster.state import ClusterState

NETWORKS: dict[str, type[Network]] = {
    network.name: network for network in (ProxyNetwork, NamespaceNetwork)
}
READY_TIMEOUT_S = 60.0
STOP_GRACE_MS = 10_000
PAUSE_WITHIN_S = 5.0


class ClusterError(Exception):
    """The cluster under test could not be brought up."""


@dataclass(frozen=True, slots=True)
class UnexpectedEnd:
    """A node ended that nobody had ended."""

    node_id: str
    at_ns: int
    last_words: tuple[str, ...]


class ClusterUnderTest:
    """`nodes` processes, their data under `directory`. `settings` are further settings of every
    node. With `steered`, their disks and clocks can be hurt: the nodes run `chaos.nodes` instead of
    `coord serve`. `network` is one of NETWORKS. Use `up` and `down`; all methods belong to one
    event loop."""

    def __init__(
        self,
        directory: Path,
        nodes: int,
        *,
        seed: int = 0,
        settings: Mapping[str, launch.Setting] | None = None,
        steered: bool = False,
        network: str = ProxyNetwork.name,
    ) -> None:
        self.directory = directory
        self.node_ids = [f"n{i + 1}" for i in range(nodes)]
        self.network = NETWORKS[network](self.node_ids, seed)
        self.unexpected_ends: list[UnexpectedEnd] = []
        self.hardware = Hardware(
            directory,
            self.node_ids,
            lambda node_id: self.state(node_id) is ProcessState.RUNNING,
            steered=steered,
        )
        self._cluster_id = f"chaos-{secrets.token_hex(4)}"
        self._settings = dict(settings or {})
        self._processes: dict[str, ProcessRecord] = {}
        self._expected: set[str] = set()  # nodes that should be running
        self._leash: Leash | None = None
        self.agents = Agents(directory, self._hold)

    # ---- looking

    @property
    def links(self) -> Links:
        """Every way between two nodes, or between clients and a node."""
        return self.network.links

    @property
    def endpoints(self) -> str:
        """Where clients reach the nodes, unless they are cut off."""
        return ",".join(self.address(node_id) for node_id in self.node_ids)

    def address(self, node_id: str) -> str:
        """Where clients reach one node."""
        return self.network.client_address(node_id)

    def member_addresses(self, node_id: str) -> tuple[str, str]:
        """For clients and for nodes, as everybody knows the node."""
        own = next(n for n in self.network.members() if n.node_id == node_id)
        return own.client_address, own.peer_address

    @property
    def majority(self) -> int:
        return len(self.node_ids) // 2 + 1

    def state(self, node_id: str) -> ProcessState:
        record = self._processes.get(node_id)
        return ProcessState.DOWN if record is None else process_state(record)

    def pid(self, node_id: str) -> int:
        """Of the node's last process; KeyError if it was never started."""
        return self._processes[node_id].pid

    def running(self) -> list[str]:
        return [n for n in self.node_ids if self.state(n) is ProcessState.RUNNING]

    def log_path(self, node_id: str) -> Path:
        return self.directory / node_id / "node.log"

    def data_directory(self, node_id: str) -> Path:
        return self.directory / node_id / "data"

    async def roles(self) -> dict[str, tuple[str, int]]:
        """(role, term) by node, asked whatever is cut; silent nodes are left out."""
        addresses = {self.network.direct_address(n): n for n in self.running()}
        answers = await asyncio.to_thread(probe.ask_nodes, list(addresses))
        return {
            addresses[address]: (answer.member.role, answer.member.term)
            for address, answer in answers.items()
        }

    async def leader(self) -> str | None:
        """The node that calls itself leader in the highest term."""
        leaders = [
            (term, n) for n, (role, term) in (await self.roles()).items() if role == "leader"
        ]
        return max(leaders)[1] if leaders else None

    async def serves(self) -> bool:
        """Every node answers, and one leads."""
        return len(await self.roles()) == len(self.node_ids) and await asyncio.to_thread(
            probe.serves_reads, self.address(self.node_ids[0])
        )

    # ---- the whole cluster

    async def up(self) -> None:
        """Open the network, start every node, return when a leader serves. Raises ClusterError,
        NetworkError."""
        self._leash = Leash(self.directory, self.network.remover())
        await self.network.open(lambda: {n: one.pid for n, one in self._processes.items()})
        for node_id in self.node_ids:
            await self.start(node_id)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await self.serves():
            self.note_unexpected_ends(0)
            if self.unexpected_ends:
                end = self.unexpected_ends[0]
                words = "\n".join(end.last_words)
                raise ClusterError(f"node {end.node_id} ended while starting:\n{words}")
            if time.monotonic() > deadline:
                raise ClusterError(f"no leader serves after {READY_TIMEOUT_S:.0f} s")
            await asyncio.sleep(0.05)

    async def down(self) -> None:
        """No process and no open port is left. Idempotent."""
        self._expected.clear()
        await self.agents.down()
        records, self._processes = list(self._processes.values()), {}
        await _surely(terminate, records, STOP_GRACE_MS)
        await self.network.close()
        leash, self._leash = self._leash, None
        if leash is not None:
            await _surely(leash.let_go)

    def keep_logs(self, directory: Path) -> None:
        """Copy every node's log to `directory`, named after the node."""
        directory.mkdir(parents=True, exist_ok=True)
        for node_id in self.node_ids:
            if self.log_path(node_id).exists():
                shutil.copyfile(self.log_path(node_id), directory / f"{node_id}.log")
        for log in self.directory.glob("agent-*.log"):
            shutil.copyfile(log, directory / log.name)

    # ---- single nodes

    async def start(self, node_id: str) -> None:
        """Start the node if it is down; does not wait for it to be of use."""
        if self.state(node_id) is not ProcessState.DOWN:
            return
        folder = self.directory / node_id
        folder.mkdir(parents=True, exist_ok=True)
        own = self.network.listening(node_id)
        config = launch.write_config(
            folder,
            ClusterState(self._cluster_id, self.network.members()),
            own,
            {
                "listen": own.client_address,
                "peer_listen": own.peer_address,
                **self._settings,
            },
        )
        environment = launch.node_environment(os.environ)
        command = self.network.command(node_id, self.node_command(config))
        self._processes[node_id] = spawn_detached(command, self.log_path(node_id), environment)
        self._hold(self._processes[node_id])
        self._expected.add(node_id)

    def node_command(self, config: Path) -> list[str]:
        """Runs a node with this configuration file."""
        if self.hardware.steered:
            return [sys.executable, "-m", "chaos.nodes", str(config.parent)]
        return launch.node_command(config)

    async def kill(self, *node_ids: str) -> None:
        """SIGKILL to all of them at once; returns when they are gone."""
        await _surely(kill, self._give_up(node_ids))

    async def stop(self, *node_ids: str) -> None:
        """SIGTERM: an orderly end. SIGKILL to what is still there after the grace."""
        await _surely(terminate, self._give_up(node_ids), STOP_GRACE_MS)

    async def pause(self, *node_ids: str) -> None:
        """SIGSTOP: they stand still and keep their connections. Returns when they do: the kernel
        stops a process a moment after the signal."""
        self._signal(node_ids, signal.SIGSTOP)
        deadline = time.monotonic() + PAUSE_WITHIN_S
        while any(self.state(node_id) is ProcessState.RUNNING for node_id in node_ids):
            if time.monotonic() > deadline:
                raise ClusterError(f"{', '.join(node_ids)} did not stop on SIGSTOP")
            await asyncio.sleep(0.002)

    def resume(self, *node_ids: str) -> None:
        """SIGCONT."""
        self._signal(node_ids, signal.SIGCONT)

    async def heal(self) -> None:
        """Undo every fault: links whole, nobody paused, disks and clocks right, all started."""
        self.links.clear()
        self.resume(*self.node_ids)
        await self.hardware.heal()
        self.agents.heal()
        for node_id in self.node_ids:
            await self.start(node_id)

    async def until_down(self, node_id: str, within_s: float) -> bool:
        """Whether the node ended by itself in time."""
        deadline = time.monotonic() + within_s
        while self.state(node_id) is not ProcessState.DOWN:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def note_unexpected_ends(self, now_ns: int) -> None:
        """Remember nodes that ended by themselves since the last look, but not for a fault."""
        for node_id in sorted(self._expected):
            if self.state(node_id) is not ProcessState.DOWN:
                continue
            self._expected.discard(node_id)
            if node_id in self.hardware.excused:
                continue
            try:
                text = self.log_path(node_id).read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            self.unexpected_ends.append(UnexpectedEnd(node_id, now_ns, last_words(text)))

    # ---- inside

    def _hold(self, record: ProcessRecord) -> None:
        if self._leash is not None:
            self._leash.hold(record)

    def _give_up(self, node_ids: tuple[str, ...]) -> list[ProcessRecord]:
        self._expected.difference_update(node_ids)
        return [self._processes[n] for n in node_ids if n in self._processes]

    def _signal(self, node_ids: tuple[str, ...], number: signal.Signals) -> None:
        for node_id in node_ids:
            record = self._processes.get(node_id)
            if record is not None:
                send_signal(record, number)


def last_words(log: str) -> tuple[str, ...]:
    """The last lines of a log, and before them the last errors in it, which tell more."""
    lines = log.splitlines()
    errors = [line for line in lines[-200:-6] if "[error" in line or "[critical" in line]
    return tuple(errors[-4:] + lines[-6:])


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Also when the caller is cancelled: it is told so once the work is done."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


async def _surely(function: Callable[..., None], *arguments: object) -> None:
    """Run it in a thread, to its end."""
    await to_the_end(asyncio.to_thread(function, *arguments))
