"""The real etcdctl against a node. Skipped where it is not installed (Debian: etcd-client)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from base64 import b64decode
from typing import Any

import pytest

from tests.support.rpc import LocalNode, local_node

ETCDCTL = shutil.which("etcdctl")
pytestmark = pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not installed")


async def etcdctl(node: LocalNode, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """(exit code, output, errors) of one command."""
    assert ETCDCTL is not None
    process = await asyncio.create_subprocess_exec(
        ETCDCTL,
        f"--endpoints={node.address}",
        "--dial-timeout=5s",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ETCDCTL_API": "3"},
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def done(node: LocalNode, *arguments: str, stdin: str = "") -> str:
    code, out, err = await etcdctl(node, *arguments, stdin=stdin)
    assert code == 0, err
    return out


async def test_put_get_del() -> None:
    async with local_node() as node:
        assert await done(node, "put", "a", "1") == "OK\n"
        assert await done(node, "put", "ab", "2") == "OK\n"
        assert await done(node, "put", "b", "3", "--prev-kv") == "OK\n"
        assert await done(node, "get", "a") == "a\n1\n"
        assert await done(node, "get", "a", "--prefix", "--print-value-only") == "1\n2\n"
        assert await done(node, "get", "a", "--from-key", "--keys-only") == "a\n\nab\n\nb\n\n"
        order = ("--sort-by=KEY", "--order=DESCEND", "--limit=1")
        assert await done(node, "get", "", "--prefix", *order) == "b\n3\n"
        assert await done(node, "del", "a", "--prefix") == "2\n"
        assert await done(node, "get", "a") == ""
        answer: Any = json.loads(await done(node, "get", "b", "-w", "json"))
        assert b64decode(answer["kvs"][0]["value"]) == b"3"
        assert answer["header"]["revision"] >= answer["kvs"][0]["mod_revision"] > 0
        assert answer["header"]["cluster_id"] > 0


async def test_reading_the_past() -> None:
    async with local_node() as node:
        await done(node, "put", "a", "old")
        revision = json.loads(await done(node, "get", "a", "-w", "json"))["header"]["revision"]
        await done(node, "put", "a", "new")
        assert await done(node, "get", "a", f"--rev={revision}") == "a\nold\n"
        await done(node, "compact", str(revision + 1))
        code, _, err = await etcdctl(node, "get", "a", f"--rev={revision}")
        assert code != 0
        assert "required revision has been compacted" in err


async def test_txn() -> None:
    async with local_node() as node:
        await done(node, "put", "a", "1")
        script = 'value("a") = "1"\n\nput a 2\nget a\n\nget a\n\n'
        assert await done(node, "txn", stdin=script) == "SUCCESS\n\nOK\n\na\n2\n"
        assert await done(node, "txn", stdin=script) == "FAILURE\n\na\n2\n"


async def test_refusals_are_those_of_etcd() -> None:
    async with local_node() as node:
        code, _, err = await etcdctl(node, "get", "a", "--rev=1000")
        assert code != 0
        assert "required revision is a future revision" in err
        code, _, err = await etcdctl(node, "txn", stdin="\nput a 1\nput a 2\n\n\n")
        assert code != 0
        assert "duplicate key given in txn request" in err
