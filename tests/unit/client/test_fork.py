"""Forked processes: what works, and that the rest says so at once instead of hanging."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client import fake_cluster

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

ROOT = Path(__file__).parents[3]

POOL = """
import multiprocessing, sys
from coord.client import sync

def work(number):
    with sync.Client(sys.argv[1], timeout_ms=20_000) as client:
        client.kv.put(f"k{number}", str(number))
        return client.kv.get(f"k{number}").value.decode()

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[2]).Pool(3) as pool:
        print(*pool.map(work, range(6), chunksize=1))
"""

CHILDREN = """
import asyncio, os, sys, time
from coord.client import Client, ClientClosedError, sync

def in_child(act):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    started = time.monotonic()
    try:
        act()
    except ClientClosedError as error:
        print(error, flush=True)
        os._exit(0 if time.monotonic() - started < 10 else 2)  # hanging takes 20
    except BaseException as error:
        print(repr(error), flush=True)
    os._exit(1)

async def inherited_async(client):
    await client.kv.get("k")

client = sync.Client(sys.argv[1], timeout_ms=20_000)
client.kv.put("k", "v")
codes = [in_child(lambda: client.kv.get("k"))]
codes.append(in_child(lambda: sync.Client(sys.argv[1])))
codes.append(in_child(lambda: Client(sys.argv[1])))
codes.append(in_child(lambda: asyncio.run(inherited_async(client._inner))))

def leave():
    client.close()  # nothing of the parent's is touched
    client.kv.get("k")

codes.append(in_child(leave))
assert client.kv.get("k").value == b"v"
client.close()
codes.append(in_child(lambda: sync.Client(sys.argv[1])))
print(codes)
"""


async def run(program: str, *arguments: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def run_file(folder: Path, program: str, *arguments: str) -> str:
    script = folder / "program.py"
    script.write_text(program)
    return await run(
        f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", *arguments
    )


async def test_a_pool_of_forked_workers_that_make_their_own_clients() -> None:
    async with fake_cluster() as (node,):
        assert await run(POOL, node.address, "fork") == "0 1 2 3 4 5\n"


async def test_whoever_has_used_a_client_is_told_at_once_that_its_children_cannot() -> None:
    async with fake_cluster() as (node,):
        *told, codes = (await run(CHILDREN, node.address)).splitlines()
    assert codes == "[0, 0, 0, 0, 0, 0]"
    assert all("fork before the first client is used" in line for line in told), told
