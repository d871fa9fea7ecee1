"""`coord serve` as a process of its own, with one node: for what is seen from outside only, its
memory and what it writes to standard error."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from coord.pb import session_pb2, session_pb2_grpc
from tests.support.rpc import free_port

PROGRAM = "import sys; from coord.cli.main import main; sys.exit(main())"
START_S = 30.0


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


@contextmanager
def lone_node(directory: Path, *more: str) -> Iterator[LoneNode]:
    """A node that keeps nothing on disk; gone afterwards. `more`: options of `coord serve`."""
    address = f"127.0.0.1:{free_port()}"
    log = directory / "node.log"
    argv = [
        *(sys.executable, "-c", PROGRAM, "serve", "--in-memory", "--node-id", "n1"),
        *("--cluster-id", "t", "--data-dir", str(directory / "data")),
        *("--member", f"n1=127.0.0.1:{free_port()},{address}", *more),
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(argv, stderr=output, stdout=output) as process,
    ):
        try:
            _wait_until_it_serves(process, address)
            yield LoneNode(process, address, log)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_it_serves(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_S
    while not _listens(address):
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.05)
    with grpc.insecure_channel(address) as channel:
        request = session_pb2.OpenSessionRequest(ttl_ms=1_000, nonce=b"n", kind="client")
        session_pb2_grpc.SessionsStub(channel).Open(request, timeout=START_S)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0
