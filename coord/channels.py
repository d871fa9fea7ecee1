"""The one place that makes gRPC channels and opens the port of a server.

How a connection is secured is decided here and nowhere else. So far no connection is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import grpc
import grpc.aio

Options = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are secured."""

    kind: Literal["insecure"] = "insecure"


INSECURE: Final = Security()


def aio_channel(
    address: str, options: Options = (), security: Security = INSECURE
) -> grpc.aio.Channel:
    """A channel to `address` (host:port) for the event loop that runs."""
    assert security.kind == "insecure"
    return grpc.aio.insecure_channel(address, options=list(options))


def blocking_channel(
    address: str, options: Options = (), security: Security = INSECURE
) -> grpc.Channel:
    """A channel to `address` (host:port) whose calls block."""
    assert security.kind == "insecure"
    return grpc.insecure_channel(address, options=list(options))


def add_port(server: grpc.aio.Server, address: str, security: Security = INSECURE) -> int:
    """Have `server` listen on `address`; the port. Raises RuntimeError if it cannot."""
    assert security.kind == "insecure"
    return server.add_insecure_port(address)
