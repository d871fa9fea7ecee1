"""The tour in README.md works when it is pasted, line by line, into a shell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from coord.localcluster import LocalCluster, free_base_port

ROOT = Path(__file__).resolve().parents[2]
MAX_README_LINES = 200

pytestmark = [pytest.mark.integration, pytest.mark.timeout(330)]


def tour() -> str:
    """All commands of the tour."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Five-minute tour\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < MAX_README_LINES


def test_the_tour_works_when_pasted(tmp_path: Path) -> None:
    commands = tour()
    assert commands.count("scripts/cluster up\n") == 1
    # Other ports and another place, because the usual ones may be in use here.
    up = f"scripts/cluster up --base-port {free_base_port(3)}\n"
    commands = commands.replace("scripts/cluster up\n", up)
    commands = commands.replace("; wait\n", "; wait || true\n")  # the agent was killed
    commands = commands.replace("/tmp/tour.py", str(tmp_path / "tour.py"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COORD_")}
    environment["XDG_STATE_HOME"] = str(tmp_path)
    try:
        done = subprocess.run(
            [
                "bash",
                "-c",
                f"set -eo pipefail\nset -m\n{commands.replace('; wait', '; wait || true')}",
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        LocalCluster(tmp_path / "coord" / "cluster").down(wipe=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"Hello, Grace!"' in done.stdout
    assert '"Hello, Edsger!"' in done.stdout
    assert '"Hello, Barbara!"' in done.stdout
    assert "deploying under fencing token" in done.stdout
    assert "conditions held" in done.stdout
    assert "error:" not in done.stderr
