"""The cluster with faults for users' tests, and the example that uses its fixture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos.run.schedule import ScheduleError
from chaos.run.testbed import TestCluster
from coord.client.sync import Client
from coord.client.transport.errors import CoordError
from tests.support.chaos_clusters import node_processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
ROOT = Path(__file__).resolve().parents[2]


def test_faults_last_for_their_block_and_nothing_is_left() -> None:
    with TestCluster(seed=2) as cluster, Client(cluster.endpoints, use_session=False) as client:
        client.kv.put("k", b"1")
        with cluster.fault("kill:majority+delay:all") as words:
            assert words.startswith("SIGKILL to n")
            with pytest.raises(CoordError):
                client.kv.put("k", b"2", timeout_ms=500)
        assert client.kv.get("k") is not None
        before = cluster.leader()
        with cluster.fault("partition:isolate-leader"):
            cluster.wait_until_it_serves()
            assert cluster.leader() != before
        with pytest.raises(ScheduleError, match="one fault at a time"), cluster.fault("kill,pause"):
            pass
        assert "node.serving" in cluster.log("n1")
        directory = str(cluster._under_test.directory)
    assert node_processes(directory) == []
    assert not Path(directory).exists()


def test_the_example_of_a_tested_agent() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "examples/tested_agent"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, "2 passed" in ended.stdout) == (0, True), ended.stdout
