"""PostgreSQL: a primary with two synchronous standbys, or a single server."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from bench.drivers.postgres import SCHEMA
from bench.errors import BenchError, NotAvailableError
from bench.place import Child, as_user, can_enter, free_ports, give_to, server_user
from bench.systems.base import System, find_program, need_module

STANDBYS = 2
CONNECTIONS = 32
SUPERUSER = "bench"
# What the documentation advises for a server of some size; none of it touches durability.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_sync_method": "fdatasync",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "max_connections": "200",
    "max_wal_senders": "8",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1s",
}


def program(name: str) -> str:
    """The newest version's own folder comes first, as Debian keeps it out of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    own = shutil.which(name, path=":".join(str(folder) for folder in reversed(folders)) or None)
    return own or find_program(name)


class PostgresSystem(System):
    """Tuned as its documentation says, fully durable; group commit happens by itself."""

    name = "postgres"
    operations = frozenset({"cycle", "fill", "put", "get", "txn", "lock"})
    standbys = STANDBYS
    replicated = True

    def __init__(self) -> None:
        self._servers: list[Child] = []
        self._port = 0
        self._sockets = Path()

    @property
    def driver(self) -> str:
        return "postgres"

    def check(self) -> None:
        program("postgres")
        program("initdb")
        need_module("asyncpg")

    def start(self, directory: Path) -> None:
        user = server_user()
        if not can_enter(directory, user):
            raise NotAvailableError(f"the user {user} cannot reach {directory}; use --dir")
        give_to(directory, user)
        self._sockets = directory
        ports = free_ports(1 + self.standbys)
        self._port = ports[0]
        primary = directory / "primary"
        arguments = ["-D", str(primary), "-U", SUPERUSER, "--auth=trust", "-E", "UTF8"]
        self._run("initdb", *arguments, "--locale=C", user=user)
        extra = {}
        if self.standbys:
            extra["synchronous_standby_names"] = "ANY 1 (*)"
        # Standbys are made while nobody has to be waited for.
        self._configure(primary, ports[0], {})
        self._launch(primary, ports[0], user)
        for i, port in enumerate(ports[1:]):
            standby = directory / f"standby{i}"
            source = f"host=127.0.0.1 port={ports[0]} user={SUPERUSER} application_name=s{i}"
            self._run(
                "pg_basebackup", "-D", str(standby), "-R", "-c", "fast", "-d", source, user=user
            )
            self._configure(standby, port, {})
            self._launch(standby, port, user)
        self._configure(primary, ports[0], extra)
        self._run("pg_ctl", "reload", "-D", str(primary), user=user)
        self._psql(SCHEMA)
        if self.standbys:
            self._servers[0].wait_until(
                lambda: (
                    self._psql(
                        "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
                    )
                    == str(self.standbys)
                ),
                "waiting for synchronous standbys",
            )

    def _configure(self, data: Path, port: int, extra: dict[str, str]) -> None:
        settings = SETTINGS | {"port": str(port)} | extra
        settings["unix_socket_directories"] = str(self._sockets)
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        (data / "postgresql.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _launch(self, data: Path, port: int, user: str | None) -> None:
        log = data.with_suffix(".log")
        argv = [program("postgres"), "-D", str(data)]
        # SIGINT is its fast shutdown: running statements are ended.
        server = Child(argv, log, user=user, stop_signal=signal.SIGINT)
        self._servers.append(server)
        server.wait_until(
            lambda: (
                not subprocess.run(
                    [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
                ).returncode
            ),
            "waiting for PostgreSQL to accept connections",
        )

    def _run(self, name: str, *arguments: str, user: str | None) -> None:
        identity: dict[str, Any] = {} if user is None else as_user(user)
        done = subprocess.run(
            [program(name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._sockets,
            **identity,
        )
        if done.returncode:
            raise BenchError(f"{name} failed: {done.stderr.strip()}")

    def _psql(self, sql: str) -> str:
        argv = [program("psql"), "-h", "127.0.0.1", "-p", str(self._port), "-U", SUPERUSER]
        done = subprocess.run(
            [*argv, "-d", "postgres", "-qtA", "-v", "ON_ERROR_STOP=1", "-c", sql],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"psql failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def connect(self) -> dict[str, str]:
        where = {"host": "127.0.0.1", "port": self._port, "user": SUPERUSER, "database": "postgres"}
        return {"dsn": json.dumps(where), "connections": str(CONNECTIONS)}

    @property
    def conninfo(self) -> str:
        """As libpq wants it."""
        return f"host=127.0.0.1 port={self._port} user={SUPERUSER} dbname=postgres"

    def pids(self) -> list[int]:
        return [server.pid for server in self._servers if server.running]

    def configuration(self) -> str:
        return f"{self.server()}; SKIP LOCKED through asyncpg, up to {CONNECTIONS} connections"

    def server(self) -> str:
        """Version, replicas and durability."""
        done = subprocess.run([program("postgres"), "--version"], capture_output=True, check=False)
        version = done.stdout.decode().split()[2]
        replicas = (
            f"primary + {self.standbys} standbys, synchronous_standby_names 'ANY 1 (*)'"
            if self.standbys
            else "one server, no replica"
        )
        return f"PostgreSQL {version}, {replicas}, fsync and synchronous_commit on"


class SinglePostgresSystem(PostgresSystem):
    """For comparison: what replication costs."""

    name = "postgres-single"
    standbys = 0
    replicated = False
