"""What a client process does to a system: one driver per kind of client."""

from __future__ import annotations

import importlib

from bench.drivers.base import Driver
from bench.errors import BenchError

# Imported only when needed: each needs a client library that others can do without.
_MODULES = {
    "coord": ("bench.drivers.coord", "CoordDriver"),
    "etcd": ("bench.drivers.etcd", "EtcdDriver"),
    "postgres": ("bench.drivers.postgres", "PostgresDriver"),
    "redis": ("bench.drivers.redis", "RedisDriver"),
    "celery": ("bench.drivers.frameworks", "CeleryDriver"),
    "procrastinate": ("bench.drivers.frameworks", "ProcrastinateDriver"),
    "dask": ("bench.drivers.frameworks", "DaskDriver"),
}


def make_driver(name: str) -> Driver:
    """A driver that is not connected yet."""
    if name not in _MODULES:
        raise BenchError(f"there is no driver {name!r}")
    module, kind = _MODULES[name]
    made = getattr(importlib.import_module(module), kind)()
    assert isinstance(made, Driver)
    return made
