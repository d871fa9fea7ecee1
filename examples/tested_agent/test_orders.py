"""How an agent is tested against a cluster that breaks: `pytest examples/tested_agent`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.testing import TestCluster
from coord.client import TaskState
from coord.client.sync import Client

HERE = Path(__file__).parent
LEASE_MS = 1_000


@contextmanager
def agent(endpoints: str, orders: Path, pause_s: float = 0.05) -> Iterator[subprocess.Popen[bytes]]:
    """The agent as a process of its own; ended afterwards. `pause_s`: before it books an order."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "agentnode", "run", "orders.py", "--queues", "orders"),
            *("--endpoints", endpoints, "--slots", "2", "--lease-ttl-ms", str(LEASE_MS)),
        ],
        cwd=HERE,
        env={**os.environ, "ORDERS_FILE": str(orders), "ORDERS_PAUSE_S": str(pause_s)},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def submit(client: Client, names: list[str]) -> list[str]:
    """Each once, although a call may be repeated: the name is the idempotency key."""
    return [
        client.tasks.submit("orders", f'"{name}"'.encode(), idempotency_key=name).task_id
        for name in names
    ]


def await_claim(client: Client, task_id: str) -> None:
    """Return once an agent has the task."""
    deadline = time.monotonic() + 60
    while client.tasks.get(task_id).state is not TaskState.CLAIMED:
        assert time.monotonic() < deadline, "nobody has claimed it"
        time.sleep(0.01)


def test_every_order_is_booked_once_while_leaders_die(
    chaos_cluster: TestCluster, tmp_path: Path
) -> None:
    names = [f"order-{n}" for n in range(12)]
    booked = tmp_path / "orders"
    with Client(chaos_cluster.endpoints) as client, agent(chaos_cluster.endpoints, booked):
        task_ids = submit(client, names)
        with chaos_cluster.fault("kill:leader"):
            tasks = client.tasks.wait(task_ids, timeout_ms=60_000)
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert sorted(booked.read_text().split()) == sorted(names)


@pytest.mark.chaos_cluster(nodes=1, seed=3)
def test_another_agent_takes_over_from_one_that_hangs(
    chaos_cluster: TestCluster, tmp_path: Path
) -> None:
    names = [f"order-{n}" for n in range(6)]
    booked = tmp_path / "orders"
    endpoints = chaos_cluster.endpoints
    with Client(endpoints) as client, agent(endpoints, booked, pause_s=5) as hangs:
        task_ids = submit(client, names)
        await_claim(client, task_ids[0])
        # It hangs before it books. In the middle of that nobody could say whether it has, and the
        # task would be dead with an unfinished side effect.
        hangs.send_signal(signal.SIGSTOP)
        with agent(endpoints, booked):
            tasks = client.tasks.wait(task_ids, timeout_ms=60_000)
        assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert set(booked.read_text().split()) == set(names)
