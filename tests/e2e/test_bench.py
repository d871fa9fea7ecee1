"""scripts/bench: a short run against a real cluster, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from bench.results import Results, Sample
from bench.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--quick", "--duration", "0.5", "--warmup", "0.2"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    return dict(os.environ) | {"TMPDIR": str(tmp_path / "tmp")}


def left_behind(tmp_path: Path) -> list[str]:
    """Processes and files that have to do with this run."""
    found = [str(path) for path in (tmp_path / "tmp").iterdir()]
    processes = psutil.process_iter(["cmdline", "environ"])
    return found + [
        " ".join(process.info["cmdline"] or ["?"])
        for process in processes
        if (process.info["environ"] or {}).get("TMPDIR") == str(tmp_path / "tmp")
    ]


def test_a_short_run_measures_and_cleans_up(tmp_path: Path) -> None:
    # A PATH without Debian's servers: such a peer is reported, not an error.
    (tmp_path / "bin").mkdir()
    env = environment(tmp_path)
    env["PATH"] = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    has_etcd = any((Path(folder) / "etcd").exists() for folder in ("/usr/bin", "/bin"))
    done = subprocess.run(
        [
            *(str(ROOT / "scripts/bench"), *SHORT, "--scenario", "cycle,commit", "--peers", "etcd"),
            *("--json", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.svg")),
            *("--markdown", str(tmp_path / "out.md")),
        ],
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["scenarios"].keys() == {"cycle", "commit"}
    rows = {(row["label"], row["system"]): row for row in found["scenarios"]["cycle"]["rows"]}
    ours = rows["64 callers, 1 task a call", "coord"]
    assert ours["medians"]["per_second"] > 10
    assert ours["medians"]["p50_ms"] <= ours["medians"]["p99_ms"]
    assert "fdatasync" in found["configurations"]["coord"]
    if has_etcd:
        assert rows["64 callers, 1 task a call", "etcd"]["ratio"] > 0
    else:
        assert found["not_run"] == {"etcd": "the program etcd is not installed"}
    assert found["commands"][0].startswith("scripts/bench --quick")
    p99 = next(one for one in found["targets"] if one["text"].endswith("p99"))
    assert p99["measured"] == ours["medians"]["p99_ms"]
    ET.parse(tmp_path / "out.svg")
    assert "## Targets" in (tmp_path / "out.md").read_text()
    assert "tasks/s" in done.stdout
    assert left_behind(tmp_path) == []


def medians(tmp_path: Path, *arguments: str) -> dict[str, list[dict[str, float]]]:
    """The figures of a quick run, by scenario; a list because a scenario may have several rows."""
    done = subprocess.run(
        [
            *(str(ROOT / "scripts/bench"), "--quick", "--json", str(tmp_path / "out.json")),
            *arguments,
        ],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(tmp_path) == []
    found = json.loads((tmp_path / "out.json").read_text())["scenarios"]
    return {name: [row["medians"] for row in one["rows"]] for name, one in found.items()}


def test_a_cluster_that_goes_on_is_measured(tmp_path: Path) -> None:
    found = medians(tmp_path, "--scenario", "failover,saturation,rejoin")
    (failover,) = found["failover"]
    assert failover["kills"] == 2
    assert 5 <= failover["gap_min_ms"] <= failover["gap_p50_ms"] <= failover["gap_worst_ms"] < 5_000
    (saturation,) = found["saturation"]
    assert saturation["elections"] == saturation["term_at_end"] - saturation["term_at_start"] == 0
    assert min(saturation["puts_per_second"], saturation["tasks_per_second"]) > 10
    assert 0 < saturation["pause_ms"] <= saturation["pause_wall_ms"]
    sent, loaded = found["rejoin"]
    assert (sent["elections"], loaded["elections"]) == (0, 0)
    assert min(sent["seconds"], loaded["seconds"]) > 0


def test_steady_work_while_the_leader_is_killed_is_measured(tmp_path: Path) -> None:
    """What it says of a system that loses or doubles work: tests/unit/bench/test_sustained.py."""
    [found] = medians(tmp_path, "--scenario", "sustained")["sustained"]
    assert (found["lost"], found["kills"]) == (0, 1)
    assert found["tasks"] > 1_000
    assert 0 <= found["drained_worst_s"] < 30
    assert found["gap_worst_ms"] >= 5
    assert min(found["memory_start_mb"], found["memory_end_mb"]) > 10


def test_nodes_that_hold_much_are_measured(tmp_path: Path) -> None:
    found = medians(tmp_path, "--nodes", "1", "--scenario", "snapshot,expiry,restart")
    (snapshot,) = found["snapshot"]
    assert 0 < snapshot["pause_ms"] <= snapshot["pause_wall_ms"]
    leases, session = found["expiry"]
    # A session of 3 s ends, and not before its time.
    assert session["seconds"] > 2
    assert min(leases["pause_ms"], session["pause_ms"]) > 0
    (restart,) = found["restart"]
    assert 0 < restart["serving_s"] <= restart["all_applied_s"]


def test_the_page_of_results_is_made_of_parts_measured_before(tmp_path: Path) -> None:
    """No part is missing, so nothing is measured."""
    row = Sample("cycle", "1 caller", "coord", 1, {"per_second": 123.0})
    compared = ("cycle", "batch", "writes", "reads", "keys", "open", "frameworks")
    for part in (*compared, "payload", "state", "recovery", "failover", "sustained"):
        results = Results([f"scripts/bench {part}"], {"cores": 2}, samples=[row])
        text = json.dumps(results.to_dict(tuple(SCENARIOS.values())))
        (tmp_path / f"{part}.json").write_text(text)
    done = subprocess.run(
        [str(ROOT / "scripts/bench-results"), str(tmp_path), str(tmp_path / "docs")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "docs/benchmarks-results.md").read_text()
    assert "| 1 caller | coord | 123 |" in page
    assert "`scripts/bench sustained`" in page
    ET.parse(tmp_path / "docs/img/bench-latency.svg")


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        [str(ROOT / "scripts/bench"), "--scenario", "cycle", "--rounds", "100"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with bench:
        assert bench.stderr is not None
        while "round 1/100" not in (line := bench.stderr.readline()):
            assert line, "it ended early"
        bench.send_signal(signal.SIGINT)
        _, stderr = bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert "everything was stopped and removed" in stderr
    assert left_behind(tmp_path) == []
