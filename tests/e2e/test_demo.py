"""scripts/demo: the whole story, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def demo_environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    return dict(os.environ) | {"TMPDIR": str(tmp_path / "tmp")}


def left_behind(tmp_path: Path) -> list[str]:
    """Processes and files that have to do with this run."""
    found = [str(path) for path in (tmp_path / "tmp").iterdir()]
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if environment.get("TMPDIR") == str(tmp_path / "tmp"):
            found.append(" ".join(process.info["cmdline"] or ["?"]))
    return found


def test_the_demo_survives_the_loss_of_its_leader(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(str(ROOT / "scripts/demo"), "--json", str(tmp_path / "verdict.json")),
            *("--report", str(tmp_path / "report.md")),
        ],
        env=demo_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["holds"] is True
    assert verdict["broken"] == []
    assert verdict["tasks_expected"] > 400
    assert verdict["tasks_committed"] == verdict["tasks_expected"]
    assert verdict["duplicates_committed"] == 0
    assert verdict["report_matches"] is True
    assert verdict["digests_equal"] is True
    assert verdict["killed_node"] not in {"", verdict["new_leader"]}
    assert verdict["killed_agent"] == "a1"
    assert 0 < verdict["failover_ms"] < 10_000
    report = (tmp_path / "report.md").read_text()
    assert report.startswith("# The standard library of Python 3.")
    assert "| asyncio |" in report
    assert left_behind(tmp_path) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [str(ROOT / "scripts/demo"), "--report", str(tmp_path / "report.md")],
        env=demo_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stdout is not None
        deadline = time.monotonic() + 60
        while "analyse" not in (line := demo.stdout.readline()):
            assert line, demo.stderr and demo.stderr.read()
            assert time.monotonic() < deadline
        demo.send_signal(signal.SIGINT)
        _, stderr = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in stderr
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("options", [["--nodes", "1"], ["--agents", "0"], ["--nodes", "x"]])
def test_impossible_options_are_refused(options: list[str]) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts/demo"), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
