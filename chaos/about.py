"""What a run was made with: the version, the machine and the time."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

CPU_FILE = Path("/proc/cpuinfo")
MEMORY_FILE = Path("/proc/meminfo")
ROOT = Path(__file__).resolve().parents[1]


def about_now() -> dict[str, str]:
    """By name: version, machine, system, python, date."""
    return {
        "version": _version(),
        "machine": _machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _version() -> str:
    """Of the package, with the commit where the clone is at hand."""
    version = f"coord-store {metadata.version('coord-store')}"
    try:
        found = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return version
    commit = found.stdout.strip()
    return f"{version}, commit {commit}" if found.returncode == 0 and commit else version


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    parts = [f"{cores} {'core' if cores == 1 else 'cores'}"]
    if model := _value_in(CPU_FILE, "model name"):
        parts.append(model)
    if memory := _value_in(MEMORY_FILE, "MemTotal"):
        parts.append(f"{int(memory.split()[0]) / 1024 / 1024:.0f} GiB")
    return ", ".join(parts)


def _value_in(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(name)]
    return found[0] if found else ""
