"""The no-op task for `agentnode run`."""

from __future__ import annotations

from agentnode import Registry

registry = Registry()


@registry.task("noop")
async def noop(payload: bytes) -> bytes:
    return payload
