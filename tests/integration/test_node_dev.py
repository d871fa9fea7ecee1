"""`coord dev`: three processes that start, say how to use them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from coord.localcluster import free_base_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

COMMAND = (sys.executable, "-m", "coord.cli", "dev")


@dataclass
class Dev:
    """A running `coord dev`; `lines`: what it has printed so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    async def says(self, words: str) -> None:
        """Return when a line with these words has come."""
        assert self.process.stdout is not None
        seen = len(self.lines)
        async with asyncio.timeout(60):
            while not any(words in line for line in self.lines[max(0, seen - 1) :]):
                line = (await self.process.stdout.readline()).decode()
                assert line, self.text
                self.lines.append(line)

    def nodes(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "serve" in child.cmdline()]

    async def rest(self) -> None:
        out, _ = await asyncio.wait_for(self.process.communicate(), 30)
        self.lines += out.decode().splitlines(keepends=True)


@asynccontextmanager
async def dev(tmp_path: Path, *arguments: str) -> AsyncIterator[Dev]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    children: list[psutil.Process] = []
    running = Dev(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            await process.wait()
        for child in children:
            if child.is_running():
                child.kill()


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    def all_gone() -> bool:
        return not any(
            one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes
        )

    return all_gone


async def test_starts_announces_survives_a_kill_and_leaves_nothing(tmp_path: Path) -> None:
    base_port = free_base_port(3)
    async with dev(tmp_path, "--base-port", str(base_port)) as running:
        await running.says("Ctrl-C stops")
        assert re.search(r"^n1 \| .*node\.serving", running.text, re.MULTILINE)
        first = f"127.0.0.1:{base_port}"
        assert f"COORD_ENDPOINTS={first},127.0.0.1:{base_port + 1}" in running.text
        assert "agentnode run" in running.text
        nodes = running.nodes()
        assert len(nodes) == 3
        assert os.listdir(tmp_path)

        nodes[0].kill()
        await running.says("was ended by SIGKILL; the others go on")
        await running.says("is started again")
        assert running.process.returncode is None
        await eventually(lambda: len(running.nodes()) == 3)

        busy = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("--base-port", str(base_port + 1), "--data-dir", str(tmp_path / "other")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(busy.communicate(), 30)
        assert (busy.returncode, out) == (1, b"")
        assert err.decode().startswith("error: already in use by another program: port ")
        assert err.count(b"\n") == 1
        assert not (tmp_path / "other").exists()

        nodes = running.nodes()
        running.process.send_signal(signal.SIGINT)
        await running.rest()
        assert running.process.returncode == 0, running.text
        assert gone(nodes)()
        await eventually(lambda: not os.listdir(tmp_path))


async def test_a_dev_that_is_killed_takes_its_nodes_and_its_temporary_files_along(
    tmp_path: Path,
) -> None:
    async with dev(tmp_path, "--base-port", str(free_base_port(1)), "--nodes", "1") as running:
        await running.says("1 node serves")
        nodes = running.nodes()
        assert len(nodes) == 1
        running.process.kill()
        await running.process.wait()
        await eventually(gone(nodes))
        await eventually(lambda: not [n for n in os.listdir(tmp_path) if "coord-dev" in n])


async def test_other_nodes_or_ports_than_the_data_has_are_refused(tmp_path: Path) -> None:
    base_port = free_base_port(1)
    data = tmp_path / "data"
    data.mkdir()
    kept = {"cluster_id": "dev-1", "nodes": 2, "base_port": base_port}
    (data / "dev.json").write_text(json.dumps(kept), encoding="utf-8")
    for wrong in (["--nodes", "3"], ["--base-port", str(base_port + 1)]):
        async with dev(tmp_path, "--data-dir", str(data), *wrong) as running:
            await running.rest()
        assert running.process.returncode == 2
        assert f"holds a cluster of 2 nodes at base port {base_port}" in running.text
        assert "--data-dir" in running.text
        assert len(running.lines) == 1
