"""The same seed gives the same history, to the byte, in another process with another hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _history(path: Path, hash_seed: str, *arguments: str) -> bytes:
    ended = subprocess.run(
        [sys.executable, "-m", "chaos", "sim", *arguments, "--jobs", "1", "--history", str(path)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr
    assert not ended.stderr, ended.stderr
    return path.read_bytes() + ended.stdout.rpartition(";")[0].encode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seeds", "3:4", "--profile", "everything"),
        ("--seeds", "5:6", "--nodes", "5", "--profile", "snapshots"),
        ("--seeds", "7:8", "--profile", "power"),
        ("--seeds", "3:4", "--engine", "stock", "--profile", "only-torn"),
        ("--seeds", "4:5", "--engine", "stock", "--profile", "only-delays", "--nodes", "5"),
    ],
    ids=" ".join,
)
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    first = _history(tmp_path / "first.jsonl", "1", *arguments)
    second = _history(tmp_path / "second.jsonl", "4242", *arguments)
    assert first == second
    assert first.count(b"\n") > 20
