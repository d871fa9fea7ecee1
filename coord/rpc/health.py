"""grpc.health.v1: SERVING for the server ("") and for every service, while a leader is known.

A node without a leader is up but of no use: load balancers should ask another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME
from grpc_health.v1.health import aio as health_aio

from coord.rpc.well_formed import WellFormed
from coord.runtime.leader_view import LeaderView


class Health:
    """Keeps the standard health service up to date."""

    def __init__(self, server: grpc.aio.Server, services: Iterable[str]) -> None:
        self._servicer: Any = health_aio.HealthServicer()
        self._services = ("", *services)
        self._serving: bool | None = None
        self._stopped = False
        self._updates: set[asyncio.Task[None]] = set()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, WellFormed(server))

    @property
    def service_name(self) -> str:
        """Full name of the health service, for reflection."""
        return str(SERVICE_NAME)

    def follow(self, leadership: LeaderView) -> None:
        """Serving exactly while a leader is known."""
        if not self._stopped:
            self._show(serving=leadership.leader_id is not None)

    async def stop(self) -> None:
        """NOT_SERVING from now on."""
        self._stopped = True
        self._show(serving=False)
        await self.settle()

    async def settle(self) -> None:
        """Return when what was decided is shown."""
        while self._updates:
            shown = list(self._updates)
            await asyncio.gather(*shown)
            # From Python 3.12 on, `gather` lets nobody else run when all are done, so the callback
            # that takes them out may not have run yet.
            self._updates.difference_update(shown)

    def _show(self, *, serving: bool) -> None:
        if serving is self._serving:
            return
        self._serving = serving
        update = asyncio.create_task(self._set_all())
        self._updates.add(update)
        update.add_done_callback(self._updates.discard)

    async def _set_all(self) -> None:
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if self._serving else statuses.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)
