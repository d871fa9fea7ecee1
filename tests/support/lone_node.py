"""`coord serve` as a process of its own, with one node: for what is seen from outside only, its
memory and what it writes to standard error."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio

from tests.support.rpc import Stubs, free_port
from tests.support.waiting import eventually

PROGRAM = "import sys; from coord.cli.main import main; sys.exit(main())"


class LoneNode:
    """A running node."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.process = process
        self.address = address
        self._log = log

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def peak_bytes(self) -> int:
        """The most memory it ever had."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel does not tell")


def listens(address: str) -> bool:
    """Whether it can be connected to."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def started(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The process; what it writes goes to the file."""
    with log.open("wb") as output:
        return subprocess.Popen(argv, stderr=output, stdout=output)


@asynccontextmanager
async def lone_node(directory: Path, *more: str) -> AsyncIterator[LoneNode]:
    """A node that keeps nothing on disk; gone afterwards. `more`: options of `coord serve`."""
    address = f"127.0.0.1:{free_port()}"
    log = directory / "node.log"
    argv = [
        *(sys.executable, "-c", PROGRAM, "serve", "--in-memory", "--node-id", "n1"),
        *("--cluster-id", "t", "--data-dir", str(directory / "data")),
        *("--member", f"n1=127.0.0.1:{free_port()},{address}", *more),
    ]
    process = started(argv, log)
    try:
        await eventually(lambda: listens(address), timeout_s=30, what="the node listens")
        async with grpc.aio.insecure_channel(address) as channel:
            await Stubs(channel).open_session()
        yield LoneNode(process, address, log)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
