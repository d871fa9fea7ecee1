"""Builds that today's one must get along with, each in a folder and processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from coord.core.base.levels import HIGHEST_LEVEL

ROOT = Path(__file__).resolve().parents[2]
# The last one before there were feature levels, and the last one whose highest level is 1.
OLD_COMMITS = ("1568e01", "e48a3d0")


@dataclass(frozen=True, slots=True)
class Build:
    """A tree with `coord` in it. `level`: the highest feature level that it supports."""

    root: Path
    level: int

    @property
    def variables(self) -> dict[str, str]:
        """Of the environment of processes that are to run this build, wherever they start."""
        return {"PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1"}

    def run(self, *arguments: str, timeout_s: float = 120) -> str:
        """What `python ARGUMENTS` prints. AssertionError if it fails."""
        ended = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert ended.returncode == 0, f"exit code {ended.returncode}\n{ended.stderr[-4000:]}"
        return ended.stdout


NEW = Build(ROOT, HIGHEST_LEVEL)


def why_missing(commit: str) -> str:
    """Why the build of a commit cannot be had here; empty if it can."""
    try:
        ended = subprocess.run(
            ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"],
            capture_output=True,
            check=False,
        )
    except OSError as error:
        return f"git is needed to get the old build: {error.strerror}"
    if ended.returncode:
        return f"commit {commit} is not in this clone (a shallow one, or no clone at all)"
    return ""


def extract(commit: str, folder: Path) -> Build:
    """The build of a commit in `folder`."""
    ended = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "coord", "agentnode"],
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=BytesIO(ended.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Build(folder, OLD_COMMITS.index(commit))
