"""Servers the benchmark starts and stops."""

from __future__ import annotations

from collections.abc import Callable

from scripts.lib.bench.systems.base import System
from scripts.lib.bench.systems.etcd import EtcdSystem
from scripts.lib.bench.systems.frameworks import CelerySystem, DaskSystem, ProcrastinateSystem
from scripts.lib.bench.systems.postgres import PostgresSystem, SinglePostgresSystem
from scripts.lib.bench.systems.redis import RedisSystem

PEERS: dict[str, Callable[[], System]] = {
    "etcd": EtcdSystem,
    "postgres": PostgresSystem,
    "postgres-single": SinglePostgresSystem,
    "redis": RedisSystem,
    "celery": CelerySystem,
    "procrastinate": ProcrastinateSystem,
    "dask": DaskSystem,
}
