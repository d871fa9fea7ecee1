"""How much memory this process may use, as the machine and its control groups say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_UNLIMITED = 1 << 60  # version 1 says "no limit" with a number of this size
_UNKNOWN_BYTES = 2 * 1024**3


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """The smallest of the machine's memory and the limits of every control group (versions 1 and 2)
    that this process is in. `root`: where the file system begins."""
    found = [size for size in (_machine_bytes(root), *_group_limits(root)) if size]
    return min(found, default=_UNKNOWN_BYTES)


def _machine_bytes(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return _number(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0


def _group_limits(root: Path) -> Iterator[int]:
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield from _limits_above(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_above(groups / "memory", path, "memory.limit_in_bytes")


def _limits_above(top: Path, path: str, name: str) -> Iterator[int]:
    """Of a group and of all it is in. In a container the path may not be there, but the top is."""
    group = PurePosixPath(path.lstrip("/"))
    for one in (group, *group.parents):
        size = _number(_read(top / one / name).strip())
        if 0 < size < _UNLIMITED:
            yield size


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int:
    """0 for "max" and whatever else is no number."""
    return int(text) if text.isascii() and text.isdigit() else 0
