"""`coord dev`: three processes that start, say how to use them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.rpc import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PROGRAM = """
import sys
from coord import dev
sys.exit(dev.run(base_port=int(sys.argv[1]), nodes=3))
"""


async def test_starts_announces_and_leaves_nothing(tmp_path: Path) -> None:
    base_port = min(free_port(), 60_000)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(base_port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not any("Ctrl-C stops" in line for line in lines):
                line = (await process.stdout.readline()).decode()
                assert line, "".join(lines)
                lines.append(line)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 3
        assert os.listdir(tmp_path)
        process.send_signal(signal.SIGINT)
        rest, _ = await asyncio.wait_for(process.communicate(), 30)
        lines += rest.decode().splitlines()
        assert process.returncode == 0, "".join(lines)
        assert not [child for child in children if child.is_running()]
        assert not os.listdir(tmp_path)
    finally:
        if process.returncode is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            await process.wait()
    said = "".join(lines)
    assert re.search(r"^n1 \| .*node\.serving", said, re.MULTILINE)
    assert f"COORD_ENDPOINTS=127.0.0.1:{base_port},127.0.0.1:{base_port + 1}" in said
    assert "agentnode run" in said
