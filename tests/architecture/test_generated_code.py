"""What is generated and committed is what the generators give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("generator", ["gen_proto", "gen_sync_client"])
def test_what_is_generated_is_up_to_date(generator: str) -> None:
    verdict = subprocess.run(
        [sys.executable, "-m", f"scripts.lib.{generator}", "--verify"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
