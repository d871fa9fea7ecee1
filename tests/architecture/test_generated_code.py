"""The committed stubs are the ones the proto files give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_stubs_are_up_to_date() -> None:
    verdict = subprocess.run(
        [sys.executable, str(ROOT / "scripts/lib/gen_proto.py"), "--verify"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
