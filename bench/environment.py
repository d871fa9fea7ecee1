"""The machine, as far as it decides the figures."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil

SYNCS = 100
BLOCK_BYTES = 4096


def describe(directory: Path, filesystem: str) -> dict[str, Any]:
    """Also measures what a sync costs here: it bounds everything that is durable."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem,
        "fdatasync_4k_p50_ms": round(fdatasync_ms(directory), 3),
    }


def fdatasync_ms(directory: Path) -> float:
    """Median of appending 4 KiB and syncing it."""
    path = directory / "sync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            start = time.perf_counter()
            file.write(b"\0" * BLOCK_BYTES)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    path.unlink()
    return sorted(taken)[len(taken) // 2] * 1000
