"""A local cluster of stand-in nodes: what every command does and refuses."""

from __future__ import annotations

import json
import os
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from coord.localcluster import LocalCluster, LocalClusterError, free_base_port, launch
from coord.localcluster.processes import ProcessState
from tests.support import fake_node


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Node id -> mode of its stand-in."""
    found: dict[str, str] = {}

    def command(config: Path) -> list[str]:
        return [sys.executable, fake_node.__file__, str(config), found.get(config.parent.name, "")]

    monkeypatch.setattr(launch, "node_command", command)
    return found


@pytest.fixture
def cluster(tmp_path: Path, modes: dict[str, str]) -> Iterator[LocalCluster]:
    made = LocalCluster(tmp_path / "c", 3, free_base_port(3))
    yield made
    made.down(grace_ms=0)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_up_starts_all_and_down_leaves_nothing(cluster: LocalCluster) -> None:
    assert cluster.up() == ["n1", "n2", "n3"]
    pids = cluster.pids
    assert list(pids) == ["n1", "n2", "n3"]
    assert [node.state for node in cluster.status()] == [ProcessState.RUNNING] * 3
    assert [node.role for node in cluster.status()] == ["leader", "follower", "follower"]
    assert cluster.leader() == "n1"
    assert cluster.down() == ["n1", "n2", "n3"]
    assert not any(exists(pid) for pid in pids.values())
    assert cluster.pids == {}
    assert cluster.down() == []


def test_up_again_changes_nothing(cluster: LocalCluster) -> None:
    cluster.up()
    pids = cluster.pids
    assert LocalCluster(cluster.directory).up() == []
    assert cluster.pids == pids


def test_another_process_takes_the_cluster_over_by_its_directory(cluster: LocalCluster) -> None:
    cluster.up()
    other = LocalCluster(cluster.directory)
    assert (other.endpoints, other.pids) == (cluster.endpoints, cluster.pids)


def test_every_node_gets_the_whole_membership(cluster: LocalCluster) -> None:
    cluster.up()
    config = tomllib.loads((cluster.directory / "n2" / "node.toml").read_text())
    assert config["node_id"] == "n2"
    assert [m["client_address"] for m in config["members"]] == cluster.endpoints
    ports = [int(m["peer_address"].rpartition(":")[2]) for m in config["members"]]
    assert ports == [int(address.rpartition(":")[2]) + 100 for address in cluster.endpoints]


def test_kill_start_and_the_rest_of_a_nodes_life(cluster: LocalCluster) -> None:
    cluster.up()
    first = cluster.pids["n2"]
    cluster.kill("n2")
    assert not exists(first)
    assert [n.state for n in cluster.status()][1] is ProcessState.DOWN
    with pytest.raises(LocalClusterError, match="n2 is not running"):
        cluster.kill("n2")
    assert cluster.start() == ["n2"]
    assert cluster.start("n2") == []
    second = cluster.pids["n2"]
    assert second != first
    cluster.restart("n2")
    assert cluster.pids["n2"] != second
    assert len([line for line in cluster.logs("n2") if line == "n2 serves"]) == 3


def test_pause_and_resume(cluster: LocalCluster) -> None:
    cluster.up()
    cluster.pause("n3")
    seen = cluster.status()[2]
    assert (seen.state, seen.role) == (ProcessState.PAUSED, "")
    cluster.resume("n3")
    assert cluster.status()[2].state is ProcessState.RUNNING
    cluster.pause("n3")
    assert cluster.down() == ["n1", "n2", "n3"]


def test_start_without_a_majority_does_not_wait_for_a_leader(
    cluster: LocalCluster, modes: dict[str, str]
) -> None:
    cluster.up()
    for node_id in cluster.node_ids:
        cluster.kill(node_id)
    modes["n1"] = "leaderless"
    assert cluster.start("n1") == ["n1"]


def test_up_fails_when_no_leader_comes_and_leaves_nothing(
    cluster: LocalCluster, modes: dict[str, str]
) -> None:
    modes["n1"] = "leaderless"
    with pytest.raises(LocalClusterError, match="no leader serves"):
        cluster.up(timeout_ms=1_000)
    assert cluster.pids == {}


def test_up_shows_the_last_words_of_a_node_that_ends(
    cluster: LocalCluster, modes: dict[str, str]
) -> None:
    modes["n3"] = "crash"
    with pytest.raises(LocalClusterError, match=r"n3 ended .*\n.*cannot open the data directory"):
        cluster.up()
    assert cluster.pids == {}


def test_down_kills_a_node_that_ignores_the_request(
    cluster: LocalCluster, modes: dict[str, str]
) -> None:
    modes["n1"] = "stubborn"
    cluster.up()
    pid = cluster.pids["n1"]
    cluster.down(grace_ms=200)
    assert not exists(pid)


def test_a_taken_port_is_named_before_anything_starts(cluster: LocalCluster) -> None:
    port = cluster_port(cluster) + 101
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(LocalClusterError, match=f"port {port} \\(peers of n2\\)"):
            cluster.up()
    assert not cluster.exists


def cluster_port(cluster: LocalCluster) -> int:
    port = cluster._base_port
    assert port is not None
    return port


def test_other_numbers_for_an_existing_cluster_are_refused(cluster: LocalCluster) -> None:
    cluster.up()
    for nodes, port in ((5, None), (None, 1234)):
        with pytest.raises(LocalClusterError, match="holds a cluster of 3 nodes"):
            LocalCluster(cluster.directory, nodes, port).up()
    assert LocalCluster(cluster.directory, 3).up() == []


@pytest.mark.parametrize(
    ("nodes", "port"), [(0, 7400), (10, 7400), (3, 0), (3, 65_500), (3, -1), (-1, 7400)]
)
def test_impossible_layouts_are_refused_and_nothing_is_made(
    tmp_path: Path, nodes: int, port: int
) -> None:
    with pytest.raises(LocalClusterError):
        LocalCluster(tmp_path / "c", nodes, port).up()
    assert not (tmp_path / "c").exists()


def test_unknown_node_and_no_cluster_are_explained(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError, match="no cluster in"):
        cluster.status()
    cluster.up()
    for call in (cluster.kill, cluster.pause, cluster.resume, cluster.start, cluster.logs):
        with pytest.raises(LocalClusterError, match=r"no node 'n9'.*n1, n2, n3"):
            call("n9")


def test_wipe_removes_only_what_the_cluster_made(cluster: LocalCluster) -> None:
    cluster.up()
    (cluster.directory / "mine").write_text("x")
    cluster.down(wipe=True)
    assert [path.name for path in cluster.directory.iterdir()] == ["mine"]
    (cluster.directory / "mine").unlink()
    cluster.up()
    cluster.down(wipe=True)
    assert not cluster.directory.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_state_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster.json").write_text(content)
    with pytest.raises(LocalClusterError, match=r"cluster\.json"):
        LocalCluster(tmp_path).status()


def test_the_state_file_never_leads_to_a_foreign_process(cluster: LocalCluster) -> None:
    cluster.up()
    path = cluster.directory / "cluster.json"
    before = json.loads(path.read_text())
    forged = json.loads(path.read_text())
    forged["processes"]["n1"] = {"pid": os.getpid(), "started": "another boot:1"}
    path.write_text(json.dumps(forged))
    assert "n1" not in cluster.pids
    with pytest.raises(LocalClusterError, match="not running"):
        cluster.kill("n1")
    path.write_text(json.dumps(before))


def test_settings_reach_the_configuration(tmp_path: Path, modes: dict[str, str]) -> None:
    cluster = LocalCluster(
        tmp_path / "ü c", 1, free_base_port(1), settings={"log_level": "debug", "port": 7}
    )
    try:
        cluster.up()
        config = tomllib.loads((cluster.directory / "n1" / "node.toml").read_text())
        assert (config["log_level"], config["port"]) == ("debug", 7)
        assert config["data_dir"] == str(tmp_path / "ü c" / "n1" / "data")
    finally:
        cluster.down()


def test_settings_of_the_callers_environment_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = launch.node_environment({"COORD_NODE_ID": "n7", "HOME": "/h"})
    assert environment == {"HOME": "/h", "PYTHONUNBUFFERED": "1"}
