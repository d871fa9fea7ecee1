"""scripts/cluster and `coord` against real nodes, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from coord.localcluster import LocalCluster, free_base_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Shell:
    """Runs the two programs against the cluster in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("COORD_")}

    def cluster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run([str(ROOT / "scripts/cluster"), *arguments, "--dir", str(self.directory)])

    def coord(
        self, *arguments: str, check: bool = True, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = self._run([sys.executable, "-m", "coord.cli", *arguments], stdin)
        assert not check or done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.coord(*arguments, "-o", "json").stdout)

    def _run(
        self, command: list[str], stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=self.environment,
            input=stdin or b"",
            capture_output=True,
            timeout=90,
            check=False,
        )
        return subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(), done.stderr.decode()
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("cluster") / "c")
    port = free_base_port(3)
    done = shell.cluster("up", "--nodes", "3", "--base-port", str(port))
    try:
        assert done.returncode == 0, done.stderr
        endpoints = done.stdout.splitlines()[-1].removeprefix("export COORD_ENDPOINTS=")
        assert endpoints == ",".join(f"127.0.0.1:{port + i}" for i in range(3))
        shell.environment["COORD_ENDPOINTS"] = endpoints
        yield shell
    finally:
        pids = LocalCluster(shell.directory).pids if shell.directory.exists() else {}
        assert shell.cluster("down", "--wipe").returncode == 0
        assert not any(psutil.pid_exists(pid) for pid in pids.values())
        assert not shell.directory.exists()


def test_status_names_three_members_and_a_leader(shell: Shell) -> None:
    status = shell.json("status")
    assert [member["id"] for member in status["members"]] == ["n1", "n2", "n3"]
    assert status["leader"] in {"n1", "n2", "n3"}
    assert all(member["reachable"] for member in status["members"])
    assert {member["address"] for member in status["members"]} == set(
        shell.environment["COORD_ENDPOINTS"].split(",")
    )


def test_a_second_up_says_that_it_is_up(shell: Shell) -> None:
    done = shell.cluster("up")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "already up")


def test_tasks_from_submit_to_cancel(shell: Shell) -> None:
    submitted = shell.json(
        *("task", "submit", "--queue", "cli", "--payload", "-", "--idempotency-key", "once")
    )
    again = shell.json("task", "submit", "--queue", "cli", "--idempotency-key", "once")
    assert again == {"task_id": submitted["task_id"], "revision": again["revision"]} | {
        "existed": True
    }
    task = shell.json("task", "get", submitted["task_id"])
    assert (task["state"], task["queue"], task["payload"]) == ("ready", "cli", "")
    assert [t["task_id"] for t in shell.json("task", "list", "-q", "cli")["tasks"]] == [
        task["task_id"]
    ]
    assert shell.json("task", "explain", task["task_id"])["state"] == "ready"
    assert shell.json("queue", "pause", "cli")["paused"] is True
    assert "QUEUE_PAUSED" in shell.json("task", "explain", task["task_id"])["reasons"]
    shell.coord("queue", "resume", "cli")
    shell.coord("task", "cancel", task["task_id"])
    assert shell.json("task", "get", task["task_id"])["state"] == "cancelled"
    shell.coord("task", "retry", task["task_id"])
    assert shell.json("task", "get", task["task_id"])["state"] == "ready"
    (queue,) = [q for q in shell.json("queue", "list")["queues"] if q["queue"] == "cli"]
    assert (queue["ready"], queue["submitted_total"]) == (1, 1)
    assert shell.json("worker", "list") == {"workers": []}
    assert shell.json("task", "redrive", "cli")["redriven"] == 0


def test_keys_and_values(shell: Shell) -> None:
    shell.coord("kv", "put", "bin", "-", stdin=b"\x00\xff")
    (kv,) = shell.json("kv", "get", "bin")["kvs"]
    assert (kv["value"], kv["value_encoding"], kv["version"]) == ("AP8=", "base64", 1)
    shell.coord("kv", "put", "dir/a", "1")
    shell.coord("kv", "put", "dir/b", "2")
    kvs = shell.json("kv", "get", "dir/", "--prefix")["kvs"]
    assert [(kv["key"], kv["value"]) for kv in kvs] == [("dir/a", "1"), ("dir/b", "2")]
    assert shell.coord("kv", "get", "dir/a", "--value-only").stdout == "1"
    assert shell.json("kv", "del", "dir/", "--prefix") == {"deleted": 2}
    assert shell.coord("kv", "get", "dir/a", check=False).returncode == 1


def test_transactions(shell: Shell) -> None:
    create = ("kv", "txn", "--if", "version(txn) = 0", "--then", "put txn first")
    assert shell.json(*create)["succeeded"] is True
    second = shell.json(*create, "--else", "get txn")
    assert second["succeeded"] is False
    assert second["responses"][0]["kvs"][0]["value"] == "first"
    shell.coord("kv", "txn", "--if", "value(txn) = first", "--then", "del txn")
    assert shell.coord("kv", "get", "txn", check=False).returncode == 1


def test_a_command_under_a_lock_gets_the_token_and_gives_its_exit_code(shell: Shell) -> None:
    program = "import os, sys; print(os.environ['COORD_FENCING_TOKEN']); sys.exit(7)"
    tokens = []
    for _ in range(2):
        done = shell.coord(
            "lock", "acquire", "job", "--", sys.executable, "-c", program, check=False
        )
        assert done.returncode == 7
        tokens.append(int(done.stdout))
    assert tokens[0] < tokens[1]
    done = shell.coord("lock", "acquire", "job", "--", "no-such-command", check=False)
    assert done.returncode == 127
    assert shell.json("lock", "list")["locks"] == []


def test_a_lock_held_in_a_terminal_ends_with_ctrl_c(shell: Shell) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-m", "coord.cli", "lock", "acquire", "mine"],
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith("mine held under fencing token ")
        assert shell.json("lock", "get", "mine")["held"] is True
        refused = shell.coord("lock", "acquire", "mine", "--wait-ms", "0", check=False)
        assert refused.returncode == 1
        assert "is held" in refused.stderr
        holder.send_signal(signal.SIGINT)
        assert holder.wait(20) == 0
    assert shell.json("lock", "list")["locks"] == []


def test_a_lock_taken_away_ends_the_command(shell: Shell, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    holder = subprocess.Popen(
        [
            *(sys.executable, "-m", "coord.cli", "lock", "acquire", "stolen", "--"),
            *("sh", "-c", f"touch {marker}; exec sleep 60"),
        ],
        env=shell.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        deadline = time.monotonic() + 30
        while not marker.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        token = shell.json("lock", "get", "stolen")["fencing_token"]
        shell.coord("lock", "release", "stolen", "--token", str(token))
        _, stderr = holder.communicate(timeout=40)
    assert holder.returncode == 1
    assert "was lost" in stderr


def test_one_node_down_status_and_the_rest_go_on(shell: Shell) -> None:
    leader = shell.json("status")["leader"]
    assert shell.cluster("kill", leader).returncode == 0
    shell.coord("kv", "put", "after-kill", "1")
    status = shell.json("status")
    assert status["leader"] not in {"", leader}
    assert [m["id"] for m in status["members"] if not m["reachable"]] == [leader]
    assert shell.coord("digest").returncode == 0
    table = shell.cluster("status").stdout
    assert sum(" down " in line for line in table.splitlines()) == 1
    assert shell.cluster("start").stdout == f"started {leader}\n"
    digest = shell.json("digest")
    assert digest["equal"] is True
    assert [node["reachable"] for node in digest["nodes"]] == [True] * 3
    assert len({node["digest"] for node in digest["nodes"]}) == 1


def test_pause_resume_restart_and_logs(shell: Shell) -> None:
    assert shell.cluster("pause", "n1").returncode == 0
    assert " paused " in shell.cluster("status").stdout
    shell.coord("kv", "put", "while-paused", "1")
    assert shell.cluster("resume", "n1").returncode == 0
    assert shell.cluster("restart", "n2").returncode == 0
    assert shell.cluster("logs", "n2", "-n", "5").stdout
    assert shell.cluster("kill", "n7").returncode == 1


def test_leader_transfer(shell: Shell) -> None:
    leader = shell.json("status")["leader"]
    target = "n1" if leader != "n1" else "n2"
    assert shell.json("leader", "transfer", target)["leader"] == target


def test_without_a_majority_status_answers_and_the_rest_is_unreachable(shell: Shell) -> None:
    shell.cluster("kill", "n1")
    shell.cluster("kill", "n2")
    try:
        status = shell.json("status")
        assert [m["reachable"] for m in status["members"]] == [False, False, True]
        done = shell.coord("--timeout-ms", "1500", "kv", "put", "k", "v", check=False)
        assert done.returncode == 3
        shell.cluster("kill", "n3")
        done = shell.coord("--timeout-ms", "1500", "status", check=False)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.count("\n") == 1
    finally:
        assert shell.cluster("start").returncode == 0
    assert shell.json("kv", "get", "while-paused")["kvs"][0]["value"] == "1"
