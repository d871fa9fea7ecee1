"""`scripts/setup` with a stand-in for Python: what it says while it works, and when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "setup"
# Makes itself the interpreter of the environment; pip takes a moment, and may fail.
PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") echo "Collecting numbers"; sleep 0.5; echo "pip was here"; exit "${PIP_CODE:-0}" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts" / "setup")
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    python = tmp_path / "python"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def setup(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(clone / "scripts" / "setup")],
        env={"PATH": os.environ["PATH"], "PYTHON": str(clone / "python"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_stage_is_told_and_the_second_time_nothing(clone: Path) -> None:
    first = setup(clone)
    assert (first.returncode, first.stdout) == (0, "")
    lines = first.stderr.splitlines()
    assert [line.rstrip(". ") for line in lines[:2]] == [
        "setup: making .venv (once)",
        "setup: installing packages (once, a minute or so)",
    ]
    assert lines[2].startswith("setup: done in ")
    assert "pip was here" not in first.stderr
    again = setup(clone)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_what_pip_said_is_shown_when_it_fails_and_nothing_counts_as_done(clone: Path) -> None:
    failed = setup(clone, PIP_CODE="3")
    assert failed.returncode == 1
    assert "pip was here" in failed.stderr
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("setup: failed: installing packages")
    assert "(exit code 3)" in last
    assert "setup: installing packages" in setup(clone).stderr
