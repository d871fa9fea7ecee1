"""Which of some processes holds the client end of a loopback connection.

Needed because every node must be known to everybody by one address, while a partition has to tell
apart who is calling. Linux only; elsewhere every caller counts as a client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CLIENTS = "clients"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def owner_of(port: int, pids: Mapping[str, int]) -> str:
    """The name of the process that connected from loopback `port`; `CLIENTS` when it is none of
    them."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    if inodes:
        for name, pid in pids.items():
            if not inodes.isdisjoint(_open_files(pid)):
                return name
    return CLIENTS


def _inodes(port: int) -> list[str]:
    ending = f":{port:04X}"
    found = []
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(ending) and fields[9] != "0":
                found.append(fields[9])
    return found


def _open_files(pid: int) -> set[str]:
    folder = f"/proc/{pid}/fd"
    found: set[str] = set()
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        try:
            found.add(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue
    return found
