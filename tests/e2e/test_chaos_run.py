"""`chaos run` on real processes: nemeses do what they say and heal, promises hold, reports are
there, nothing stays behind. `--long` plays every nemesis against every workload."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.commands.matrix import cells_of
from chaos.nemeses import NEMESES
from chaos.run.matrix import Cell
from chaos.testbed.agents import QUEUE
from chaos.testbed.netns import NamespaceNetwork
from tests.support.chaos_clusters import node_processes

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


class ChaosRun:
    """`chaos run` as a process of its own, with temporary files where they can be counted."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        self.out, self.temporary = tmp_path / "out", tmp_path / "tmp"
        self.history = self.out / "history.jsonl"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chaos", "run", "--out", str(self.out), *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, timeout_s: float = 120) -> tuple[int, str]:
        """Exit code and what was printed."""
        try:
            printed, _ = self.process.communicate(timeout=timeout_s)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            for pid in node_processes(str(self.temporary)):
                os.kill(pid, signal.SIGKILL)
            raise
        return self.process.returncode, printed

    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "results.json").read_text(encoding="utf-8"))
        return found

    def nothing_is_left(self) -> bool:
        return not node_processes(str(self.temporary)) and not list(self.temporary.iterdir())


@pytest.mark.timeout(180)
def test_a_run_is_judged_and_reported(tmp_path: Path) -> None:
    run = ChaosRun(
        tmp_path,
        *("--workload", "cas-register,tasks,locks", "--nemesis", "kill:leader,partition,pause"),
        *("--duration", "8", "--seed", "5"),
    )
    code, printed = run.wait()
    assert code == 0, printed
    results = run.results()
    assert (results["valid"], results["seed"]) == (True, 5)
    assert set(results["workloads"]) == {"cas-register", "tasks", "locks"}
    for figures in results["workloads"].values():
        assert figures["valid"] is True
        assert figures["ops"] == figures["ok"] + figures["fail"] + figures["info"]
        assert figures["ok"] > 5
    assert results["faults"]
    for fault in results["faults"]:
        assert fault["name"].split(":")[0] in NEMESES
        assert 0 < fault["start_ns"] <= fault["end_ns"]
    assert results["longest_write_gap_ms"] > 0
    assert "--seed 5" in printed
    assert sorted(path.name for path in (run.out / "logs").iterdir()) == [
        "n1.log",
        "n2.log",
        "n3.log",
    ]
    report = (run.out / "report.html").read_text(encoding="utf-8")
    assert report.count("<svg") >= 4
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "--seed 5" in report
    again = subprocess.run(
        [
            sys.executable,
            "-m",
            "chaos",
            "check",
            str(run.history),
            "--model",
            "queue",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (again.returncode, "verdict: valid" in again.stdout) == (0, True)
    assert run.nothing_is_left()


@pytest.mark.timeout(120)
def test_an_interrupt_heals_stops_and_still_reports(tmp_path: Path) -> None:
    run = ChaosRun(
        tmp_path,
        *("--workload", "set", "--nemesis", "pause:all", "--duration", "600"),
        *("--seed", "6", "--quiet", "0:0"),
    )
    deadline = time.monotonic() + 60
    while not (run.history.exists() and run.history.stat().st_size > 2_000):
        assert time.monotonic() < deadline, "no history"
        assert run.process.poll() is None, run.wait()
        time.sleep(0.05)
    run.process.send_signal(signal.SIGINT)
    code, printed = run.wait(60)
    assert code == 0, printed
    assert run.results()["interrupted"] is True
    assert (run.out / "report.html").exists()
    assert run.nothing_is_left()


def namespaces_of(pids: list[int]) -> list[Path]:
    """The named network namespaces that these processes live in."""
    folder = Path("/run/netns")
    theirs = {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in pids}
    return [path for path in folder.glob("*") if path.stat().st_ino in theirs]


def agents_of(temporary: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if QUEUE in (process.info["cmdline"] or ())
        and process.environ().get("TMPDIR") == str(temporary)
    ]


NEEDS_NETNS = pytest.mark.skipif(
    bool(NamespaceNetwork.why_not()), reason=NamespaceNetwork.why_not()
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("network", ["proxy", pytest.param("netns", marks=NEEDS_NETNS)])
def test_nothing_outlives_a_harness_that_was_killed(tmp_path: Path, network: str) -> None:
    run = ChaosRun(
        tmp_path,
        *("--workload", "agents", "--nemesis", "none", "--duration", "600", "--network", network),
    )
    deadline = time.monotonic() + 60
    while not (run.history.exists() and run.history.stat().st_size > 1_000):
        assert time.monotonic() < deadline, "no history"
        assert run.process.poll() is None, run.wait()
        time.sleep(0.05)
    nodes, agents = node_processes(str(run.temporary)), agents_of(run.temporary)
    spaces = namespaces_of(nodes)
    assert (len(nodes), len(spaces)) == (3, 3 if network == "netns" else 0)
    assert agents
    run.process.kill()
    run.wait()
    while (
        not run.nothing_is_left()
        or any(space.exists() for space in spaces)
        or any(agent.is_running() for agent in agents)
    ):
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.05)


@pytest.mark.timeout(120)
def test_a_matrix_plays_its_runs_and_writes_about_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "chaos", "matrix", "--out", str(out), "--nodes", "1"),
            *("--workload", "set+register", "--nemesis", "none,kill", "--duration", "1"),
            *("--budget", "60", "--jobs", "2"),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, "2/2" in ended.stdout) == (0, True), ended.stdout
    reports = list(out.glob("cells/*/report.html"))
    assert len(reports) == 2
    page = (out / "index.html").read_text(encoding="utf-8")
    assert all(f"cells/{report.parent.name}/report.html" in page for report in reports)


CELLS = cells_of("3,5", "all", "all,kill+partition,partition+pause", "proxy", 30.0)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_nemesis_against_every_workload(tmp_path: Path, cell: Cell) -> None:
    run = ChaosRun(
        tmp_path,
        *("--nodes", str(cell.nodes), "--workload", cell.workloads, "--nemesis", cell.nemesis),
        *("--duration", f"{cell.duration_s:g}", "--seed", "1"),
    )
    code, printed = run.wait(250)
    assert code == 0, printed
    assert run.nothing_is_left()
