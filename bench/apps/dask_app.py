"""The no-op task for Dask."""

from __future__ import annotations


def noop(data: bytes) -> bytes:
    return data
