"""Starting, stopping and hurting the nodes of a cluster on this machine.

The directory holds `cluster.json` (layout and processes), and per node a folder with its
configuration, its log and its data. Every change is made under a file lock and is written down
before the next one is made, so that commands from several terminals agree.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coord.localcluster import launch, members, probe, state
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.ports import require_free
from coord.localcluster.processes import (
    ProcessRecord,
    ProcessState,
    kill,
    process_state,
    send_signal,
    spawn_detached,
    terminate,
)

DEFAULT_NODES = 3
DEFAULT_BASE_PORT = 7400
DEFAULT_PEER_OFFSET = 100
READY_TIMEOUT_MS = 60_000
STOP_GRACE_MS = 15_000
POLL_SECONDS = 0.05


def default_directory() -> Path:
    """The cluster that commands mean when they are given no directory."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "coord" / "cluster"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node as seen from outside. `role` is empty when the node does not answer."""

    node_id: str
    state: ProcessState
    pid: int
    client_address: str
    peer_address: str
    role: str = ""
    leader: str = ""
    term: int = 0
    applied_index: int = 0


class LocalCluster:
    """A cluster kept in `directory`.

    `nodes` and `base_port` are needed only to create one (defaults 3 and 7400); for one that
    exists they must agree with it. Client ports are base_port, base_port + 1, ...; peer ports lie
    `peer_offset` above. `settings` are further configuration entries of every node. Every method
    blocks until what it says is true, or raises LocalClusterError.
    """

    def __init__(
        self,
        directory: Path | str,
        nodes: int | None = None,
        base_port: int | None = None,
        peer_offset: int = DEFAULT_PEER_OFFSET,
        settings: Mapping[str, launch.Setting] | None = None,
    ) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self._nodes = nodes
        self._base_port = base_port
        self._peer_offset = peer_offset
        self._settings = dict(settings or {})

    # ---- looking

    @property
    def exists(self) -> bool:
        return self._state_file.exists()

    @property
    def node_ids(self) -> list[str]:
        return [node.node_id for node in self._load().nodes]

    @property
    def endpoints(self) -> list[str]:
        """Client addresses of all nodes, up or down."""
        return [node.client_address for node in self._load().nodes]

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the nodes that are running or paused."""
        return {node_id: record.pid for node_id, record in self._alive(self._load()).items()}

    def log_path(self, node_id: str) -> Path:
        """The file with everything the node has printed, over all its starts."""
        self._node(self._load(), node_id)
        return self.directory / node_id / "node.log"

    def data_directory(self, node_id: str) -> Path:
        self._node(self._load(), node_id)
        return self.directory / node_id / "data"

    def logs(self, node_id: str, lines: int = 50) -> list[str]:
        """The last `lines` lines a node has printed."""
        path = self.log_path(node_id)
        if not path.exists():
            return []
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]

    def status(self) -> list[NodeStatus]:
        """Every node; takes about a second when one does not answer."""
        cluster = self._load()
        alive = self._alive(cluster)
        states = {node_id: process_state(record) for node_id, record in alive.items()}
        answers = probe.ask_nodes(
            [
                node.client_address
                for node in cluster.nodes
                if states.get(node.node_id) is ProcessState.RUNNING
            ]
        )
        found = []
        for node in cluster.nodes:
            answer = answers.get(node.client_address)
            running = node.node_id in alive
            found.append(
                NodeStatus(
                    node_id=node.node_id,
                    state=states.get(node.node_id, ProcessState.DOWN),
                    pid=alive[node.node_id].pid if running else 0,
                    client_address=node.client_address,
                    peer_address=node.peer_address,
                    role=answer.member.role if answer else "",
                    leader=answer.leader if answer else "",
                    term=answer.member.term if answer else 0,
                    applied_index=answer.member.applied_index if answer else 0,
                )
            )
        return found

    def leader(self) -> str | None:
        """The node that calls itself leader in the highest term, if any."""
        leaders = [node for node in self.status() if node.role == "leader"]
        return max(leaders, key=lambda node: node.term).node_id if leaders else None

    # ---- the whole cluster

    def up(self, timeout_ms: int = READY_TIMEOUT_MS) -> list[str]:
        """Creates the cluster if there is none, starts every node that is down, and returns when
        a leader serves. Returns the nodes it started (none when all were running already)."""
        if not self.exists:
            self._new_state()  # refuses what cannot be before anything is made
        self.directory.mkdir(parents=True, exist_ok=True)
        with state.exclusive(self._lock_file):
            cluster = self._load_or_create()
            down = [
                node.node_id for node in cluster.nodes if node.node_id not in self._alive(cluster)
            ]
            self._start(cluster, down, timeout_ms)
            return down

    def down(self, grace_ms: int = STOP_GRACE_MS, *, wipe: bool = False) -> list[str]:
        """SIGTERM to all nodes, SIGKILL to those still there after `grace_ms`; no process is
        left. Returns the nodes that were running. `wipe` also removes the directory."""
        if not self.exists:
            return []
        with state.exclusive(self._lock_file):
            cluster = self._load()
            alive = self._alive(cluster)
            terminate(list(alive.values()), grace_ms)
            cluster.processes.clear()
            state.save(self._state_file, cluster)
            if wipe:
                self._wipe(cluster)
            return list(alive)

    # ---- single nodes

    def kill(self, node_id: str) -> None:
        """SIGKILL; returns when the process is gone."""
        with self._changing():
            kill([self._running(node_id)])

    def stop(self, node_id: str, grace_ms: int = STOP_GRACE_MS) -> None:
        """SIGTERM (an orderly end), SIGKILL after `grace_ms`."""
        with self._changing():
            terminate([self._running(node_id)], grace_ms)

    def pause(self, node_id: str) -> None:
        """SIGSTOP: the node stands still but keeps its connections."""
        self._set_paused(node_id, paused=True)

    def resume(self, node_id: str) -> None:
        """SIGCONT."""
        self._set_paused(node_id, paused=False)

    def start(self, node_id: str | None = None, timeout_ms: int = READY_TIMEOUT_MS) -> list[str]:
        """Starts one node, or all that are down, and returns when they answer and, if a majority
        is running, a leader serves. Returns the nodes it started."""
        with self._changing():
            cluster = self._load()
            alive = self._alive(cluster)
            wanted = [node_id] if node_id else [node.node_id for node in cluster.nodes]
            for name in wanted:
                self._node(cluster, name)
            down = [name for name in wanted if name not in alive]
            self._start(cluster, down, timeout_ms)
            return down

    def restart(self, node_id: str | None = None, timeout_ms: int = READY_TIMEOUT_MS) -> None:
        """Stops and starts one node, or all of them one after another. A node that is down is
        only started."""
        for name in [node_id] if node_id else self.node_ids:
            if name in self.pids:
                self.stop(name)
            self.start(name, timeout_ms)

    # ---- members

    def add(self, timeout_ms: int = READY_TIMEOUT_MS) -> str:
        """Starts one more node and returns its id when it has caught up and votes."""
        with self._changing():
            cluster = self._load()
            node = state.next_node(cluster.nodes, self._peer_offset)
            require_free({node.client_port: "its clients", node.peer_port: "its peers"})
            before = [other.client_address for other in cluster.nodes]
            cluster.nodes.append(node)
            cluster.processes[node.node_id] = process = self._launch(cluster, node)
            state.save(self._state_file, cluster)
            try:
                members.join(before, node, timeout_ms)
            except BaseException:
                kill([process])
                self._forget(cluster, node)
                raise
            return node.node_id

    def remove(self, node_id: str, timeout_ms: int = READY_TIMEOUT_MS) -> None:
        """Takes a node out of the cluster, up or down; its process ends and its folder goes."""
        with self._changing():
            cluster = self._load()
            node = self._node(cluster, node_id)
            members.leave([other.client_address for other in cluster.nodes], node_id, timeout_ms)
            process = self._alive(cluster).get(node_id)
            if process is not None:
                terminate([process], STOP_GRACE_MS)
            self._forget(cluster, node)

    def wait_ready(self, timeout_ms: int = READY_TIMEOUT_MS) -> None:
        """Returns when every running node answers and, if they are a majority, a leader serves."""
        self._wait_ready(self._load(), time.monotonic() + timeout_ms / 1000)

    # ---- inside

    @property
    def _state_file(self) -> Path:
        return self.directory / "cluster.json"

    @property
    def _lock_file(self) -> Path:
        return self.directory / "cluster.lock"

    def _load(self) -> state.ClusterState:
        found = state.load(self._state_file)
        if found is None:
            raise LocalClusterError(
                f"there is no cluster in {self.directory}; create one with 'scripts/cluster up'"
            )
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes this cluster meanwhile; there must be one."""
        self._load()
        with state.exclusive(self._lock_file):
            yield

    def _load_or_create(self) -> state.ClusterState:
        found = state.load(self._state_file)
        if found is None:
            return self._new_state()
        self._require_same(found)
        return found

    def _new_state(self) -> state.ClusterState:
        layout = state.make_layout(
            DEFAULT_NODES if self._nodes is None else self._nodes,
            DEFAULT_BASE_PORT if self._base_port is None else self._base_port,
            self._peer_offset,
        )
        return state.ClusterState(f"local-{secrets.token_hex(4)}", layout)

    def _require_same(self, found: state.ClusterState) -> None:
        count, base = len(found.nodes), state.base_port(found.nodes)
        if self._nodes not in {None, count} or self._base_port not in {None, base}:
            raise LocalClusterError(
                f"{self.directory} holds a cluster of {count} nodes with base port {base}; "
                "leave --nodes and --base-port out, or use another --dir, or remove this one "
                "with 'scripts/cluster down --wipe'"
            )

    @staticmethod
    def _node(cluster: state.ClusterState, node_id: str) -> state.NodeLayout:
        for node in cluster.nodes:
            if node.node_id == node_id:
                return node
        known = ", ".join(node.node_id for node in cluster.nodes)
        raise LocalClusterError(f"no node {node_id!r} in this cluster; it has {known}")

    @staticmethod
    def _alive(cluster: state.ClusterState) -> dict[str, ProcessRecord]:
        return {
            node_id: record
            for node_id, record in cluster.processes.items()
            if process_state(record) is not ProcessState.DOWN
        }

    def _running(self, node_id: str) -> ProcessRecord:
        cluster = self._load()
        self._node(cluster, node_id)
        record = self._alive(cluster).get(node_id)
        if record is None:
            raise LocalClusterError(f"node {node_id} is not running")
        return record

    def _set_paused(self, node_id: str, *, paused: bool) -> None:
        number = signal.SIGSTOP if paused else signal.SIGCONT
        with self._changing():
            record = self._running(node_id)
            send_signal(record, number)
            # The kernel stops a process a moment after the signal was sent.
            deadline = time.monotonic() + 5
            while (process_state(record) is ProcessState.PAUSED) is not paused:
                if time.monotonic() > deadline:
                    raise LocalClusterError(f"node {node_id} did not react to {number.name}")
                time.sleep(POLL_SECONDS / 5)

    def _start(self, cluster: state.ClusterState, node_ids: list[str], timeout_ms: int) -> None:
        """Starts these nodes together; when one does not come up, none of them stays."""
        nodes = [self._node(cluster, node_id) for node_id in node_ids]
        ports = {node.client_port: f"clients of {node.node_id}" for node in nodes}
        ports |= {node.peer_port: f"peers of {node.node_id}" for node in nodes}
        require_free(ports)
        started = []
        try:
            for node in nodes:
                started.append(self._launch(cluster, node))
                cluster.processes[node.node_id] = started[-1]
                state.save(self._state_file, cluster)
            self._wait_ready(cluster, time.monotonic() + timeout_ms / 1000)
        except BaseException:  # also on Ctrl-C
            kill(started)
            raise

    def _launch(self, cluster: state.ClusterState, node: state.NodeLayout) -> ProcessRecord:
        folder = self.directory / node.node_id
        folder.mkdir(exist_ok=True)
        config = launch.write_config(folder, cluster, node, self._settings)
        return spawn_detached(
            launch.node_command(config),
            folder / "node.log",
            launch.node_environment(os.environ),
        )

    def _wait_ready(self, cluster: state.ClusterState, deadline: float) -> None:
        expected = {
            node.node_id: record
            for node in cluster.nodes
            if (record := cluster.processes.get(node.node_id)) is not None
            and process_state(record) is ProcessState.RUNNING
        }
        addresses = {
            node.node_id: node.client_address for node in cluster.nodes if node.node_id in expected
        }
        need_leader = len(expected) > len(cluster.nodes) // 2
        while not self._is_ready(addresses, need_leader=need_leader):
            for node_id, record in expected.items():
                if process_state(record) is ProcessState.DOWN:
                    raise LocalClusterError(self._explain_end(node_id))
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"no leader serves yet; see the logs in {self.directory}/n*/node.log"
                )
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _is_ready(addresses: Mapping[str, str], *, need_leader: bool) -> bool:
        answers = probe.ask_nodes(list(addresses.values()))
        if len(answers) < len(addresses):
            return False
        if not need_leader:
            return True
        if not all(answer.leader for answer in answers.values()):
            return False
        return all(probe.serves_reads(address) for address in addresses.values())

    def _forget(self, cluster: state.ClusterState, node: state.NodeLayout) -> None:
        """It is no member and does not run."""
        cluster.nodes.remove(node)
        cluster.processes.pop(node.node_id, None)
        state.save(self._state_file, cluster)
        shutil.rmtree(self.directory / node.node_id, ignore_errors=True)

    def _explain_end(self, node_id: str) -> str:
        tail = "\n".join(f"  {line}" for line in self.logs(node_id, 5))
        return f"node {node_id} ended while starting; its last words:\n{tail}"

    def _wipe(self, cluster: state.ClusterState) -> None:
        """Removes what this class made, and the directory itself if nothing else is in it."""
        for node in cluster.nodes:
            shutil.rmtree(self.directory / node.node_id, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)
        self._lock_file.unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()
