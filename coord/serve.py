"""`coord serve`: one node in this process."""

from __future__ import annotations

import asyncio
import sys

from coord.config import ServerConfig
from coord.journal.errors import DataDirectoryError, StorageDamagedError, StorageError
from coord.logs import set_up_logs
from coord.node import Node

EXIT_CANNOT_START = 1


def run(config: ServerConfig) -> int:
    """Serve until told to stop; the exit code: 0 stopped, 1 cannot start, 70 stopped itself."""
    set_up_logs(config.log_level, config.log_format, node_id=config.node_id)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(config))
    except (DataDirectoryError, StorageDamagedError, StorageError, OSError) as error:
        sys.stderr.write(f"coord: node {config.node_id} cannot start: {error}\n")
        return EXIT_CANNOT_START


async def _run(config: ServerConfig) -> int:
    return await Node(config).run()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
