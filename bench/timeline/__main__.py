"""Starts the nodes and the client, and prints the table."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.node.grpc_io import poll_in_place

poll_in_place()

import psutil  # noqa: E402
import uvloop  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from bench.timeline.notes import Notes, read  # noqa: E402
from bench.timeline.steps import CHAIN, table  # noqa: E402
from coord.client import Client  # noqa: E402
from coord.localcluster import LocalCluster, free_base_port  # noqa: E402

PUTS = 2_000
WARM_UP = 300
VALUE = bytes(100)


@contextmanager
def traced_nodes(folder: Path) -> Iterator[tuple[list[str], dict[str, subprocess.Popen[bytes]]]]:
    """Three nodes that note moments; they write them when this ends."""
    cluster = LocalCluster(folder, 3, free_base_port(3), settings={"log_level": "warning"})
    cluster.up()  # founds it, and writes the configurations
    cluster.down()
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for node_id in cluster.node_ids:
            config, file = folder / node_id / "node.toml", folder / f"{node_id}.json"
            command = [sys.executable, "-m", "bench.timeline.node", str(config), str(file)]
            nodes[node_id] = subprocess.Popen(command)
        yield cluster.endpoints, nodes
    finally:
        for process in nodes.values():
            process.terminate()
        for process in nodes.values():
            process.wait(20)


async def put(
    endpoints: list[str], puts: int, nodes: dict[str, subprocess.Popen[bytes]]
) -> tuple[Notes, str, dict[str, float]]:
    """One value after the other: what the client noted, who led, processor time of a put in each
    process (us)."""
    notes = Notes()
    watched = {node_id: psutil.Process(process.pid) for node_id, process in nodes.items()}
    watched["client"] = psutil.Process()
    async with Client(endpoints) as client:
        for _ in range(WARM_UP):
            await client.kv.put("timeline", VALUE)
        leader = (await client.cluster.status()).leader
        before = {name: _spent_s(process) for name, process in watched.items()}
        for _ in range(puts):
            notes.note("put")
            await client.kv.put("timeline", VALUE)
            notes.note("answered")
        spent = {name: _spent_s(process) - before[name] for name, process in watched.items()}
    return notes, leader, {name: seconds / puts * 1e6 for name, seconds in spent.items()}


def _spent_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def show(followed: int, steps: list[float], spent_us: dict[str, float], leader: str) -> None:
    shown = Table(title=f"One durable write: medians of {followed:,} puts, in the order of waiting")
    shown.add_column("up to which time went by")
    shown.add_column("us", justify="right")
    shown.add_column("since the call", justify="right")
    at_us = 0.0
    for (_, _, what), step_us in zip(CHAIN, steps, strict=True):
        at_us += step_us
        shown.add_row(what, f"{step_us:.0f}", f"{at_us:.0f}")
    console = Console()
    console.print(shown)
    for name, us in sorted(spent_us.items()):
        role = " (leads)" if name == leader else ""
        console.print(f"processor time of a put in {name}{role}: {us:.0f} us")


def main() -> int:
    puts = int(sys.argv[1]) if len(sys.argv) > 1 else PUTS
    with tempfile.TemporaryDirectory(prefix="coord-timeline-") as name:
        folder = Path(name)
        with traced_nodes(folder) as (endpoints, nodes):
            notes, leader, spent_us = uvloop.run(put(endpoints, puts, nodes))
        followers = [read(folder / f"{node_id}.json") for node_id in nodes if node_id != leader]
        followed, steps = table(notes.moments, read(folder / f"{leader}.json"), followers)
    if not followed:
        sys.stderr.write("timeline: no put could be followed to its end\n")
        return 1
    show(followed, steps, spent_us, leader)
    return 0


if __name__ == "__main__":
    sys.exit(main())
