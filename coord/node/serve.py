"""`coord serve`: one node in this process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from coord.node.config import ServerConfig
from coord.node.node import CannotStartError, Hardware, Node

EXIT_CANNOT_START = 1


def run(
    config: ServerConfig,
    machine: Hardware | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Serve until told to stop; the exit code: 0 stopped, 1 cannot start, 70 stopped itself."""
    try:
        with asyncio.Runner(loop_factory=loop_factory or _loop_factory()) as runner:
            return runner.run(_run(config, machine))
    except CannotStartError as error:
        sys.stderr.write(f"coord: node {config.node_id} cannot start: {error}\n")
        return EXIT_CANNOT_START


async def _run(config: ServerConfig, machine: Hardware | None) -> int:
    return await Node(config, machine).run()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
