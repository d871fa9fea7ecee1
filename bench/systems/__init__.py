"""Servers the benchmark starts and stops."""

from __future__ import annotations

from collections.abc import Callable

from bench.systems.base import System
from bench.systems.etcd import EtcdSystem
from bench.systems.frameworks import CelerySystem, DaskSystem, ProcrastinateSystem
from bench.systems.postgres import PostgresSystem, SinglePostgresSystem
from bench.systems.redis import RedisSystem

PEERS: dict[str, Callable[[], System]] = {
    "etcd": EtcdSystem,
    "postgres": PostgresSystem,
    "postgres-single": SinglePostgresSystem,
    "redis": RedisSystem,
    "celery": CelerySystem,
    "procrastinate": ProcrastinateSystem,
    "dask": DaskSystem,
}
