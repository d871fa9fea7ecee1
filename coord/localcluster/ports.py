"""Finding and checking ports on the loopback interface."""

from __future__ import annotations

import errno
import random
import socket

from coord.localcluster.errors import LocalClusterError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000  # below the range the kernel hands out for outgoing connections


def port_is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def require_free(ports: dict[int, str]) -> None:
    """Refuses, naming the port and what it is for, when one of `ports` is taken."""
    taken = [f"{port} ({purpose})" for port, purpose in ports.items() if not port_is_free(port)]
    if taken:
        raise LocalClusterError(
            f"already in use by another program: port {', '.join(taken)}; "
            "choose others with --base-port"
        )


def free_base_port(nodes: int, peer_offset: int = 100) -> int:
    """A base port such that every client and peer port of a cluster of `nodes` is free now."""
    source = random.SystemRandom()
    for _ in range(200):
        base = source.randrange(LOWEST, HIGHEST - peer_offset - nodes)
        wanted = [base + offset + i for i in range(nodes) for offset in (0, peer_offset)]
        if all(port_is_free(port) for port in wanted):
            return base
    raise LocalClusterError(f"found no free ports between {LOWEST} and {HIGHEST}")
