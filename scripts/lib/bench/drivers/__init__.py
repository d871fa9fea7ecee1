"""What a client process does to a system: one driver per kind of client."""

from __future__ import annotations

import importlib

from scripts.lib.bench.drivers.base import Driver
from scripts.lib.bench.errors import BenchError

# Imported only when needed: each needs a client library that others can do without.
_MODULES = {
    "coord": ("scripts.lib.bench.drivers.coord", "CoordDriver"),
    "etcd": ("scripts.lib.bench.drivers.etcd", "EtcdDriver"),
    "postgres": ("scripts.lib.bench.drivers.postgres", "PostgresDriver"),
    "redis": ("scripts.lib.bench.drivers.redis", "RedisDriver"),
    "celery": ("scripts.lib.bench.drivers.frameworks", "CeleryDriver"),
    "procrastinate": ("scripts.lib.bench.drivers.frameworks", "ProcrastinateDriver"),
    "dask": ("scripts.lib.bench.drivers.frameworks", "DaskDriver"),
}


def make_driver(name: str) -> Driver:
    """A driver that is not connected yet."""
    if name not in _MODULES:
        raise BenchError(f"there is no driver {name!r}")
    module, kind = _MODULES[name]
    made = getattr(importlib.import_module(module), kind)()
    assert isinstance(made, Driver)
    return made
