"""One Redis server that syncs every write."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.place import Child, free_ports, listens
from bench.systems.base import System, find_program, need_module


class RedisSystem(System):
    """`appendfsync always`: durable on this one machine."""

    name = "redis"
    operations = frozenset({"cycle", "fill", "put", "get", "txn", "lock"})
    replicated = False

    def __init__(self) -> None:
        self._server: Child | None = None
        self._port = 0

    def check(self) -> None:
        find_program("redis-server")
        need_module("redis")

    def start(self, directory: Path) -> None:
        [self._port] = free_ports(1)
        argv = [
            *(find_program("redis-server"), "--port", str(self._port), "--bind", "127.0.0.1"),
            *("--dir", str(directory), "--appendonly", "yes", "--appendfsync", "always"),
            *("--save", "", "--no-appendfsync-on-rewrite", "no", "--loglevel", "warning"),
        ]
        self._server = Child(argv, directory / "redis.log")
        self._server.wait_until(lambda: listens(self._port), "waiting for Redis to listen")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self) -> dict[str, str]:
        return {"url": f"redis://127.0.0.1:{self._port}/0"}

    def pids(self) -> list[int]:
        return [self._server.pid] if self._server and self._server.running else []

    def configuration(self) -> str:
        return f"{self.server()}; streams with a consumer group"

    def server(self) -> str:
        """Version and durability."""
        argv = [find_program("redis-server"), "--version"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        version = next(w[2:] for w in done.stdout.split() if w.startswith("v="))
        return f"Redis {version}, one server, no replica, appendfsync always"
