"""Every public method of the client, through every path that it can take: on streams and by unary
calls, at the leader and through a follower, awaited and blocking; reads also where they may be
stale. The methods are found by looking, so a new one fails here until it has a sample call."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coord.client import (
    Client,
    Compare,
    Get,
    HeartbeatItem,
    NotFoundError,
    Put,
    Stale,
    TaskSpec,
    TaskState,
)
from coord.client.sync import client as sync
from coord.client.transport import channel
from coord.client.transport.discovery import Discovery
from coord.node.node import Node
from tests.integration.test_client_failover import configs
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(110)]

PARTS = [name for name in vars(Client("127.0.0.1:1")) if not name.startswith("_")]
_numbers = itertools.count(1)


class Face:
    """A client, awaited or blocking: `call` hides which."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.blocking = isinstance(client, sync.Client)

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        part, _, method = name.rpartition(".")
        owner = getattr(self.client, part) if part else self.client
        if self.blocking:
            return await asyncio.to_thread(getattr(owner, method), *args, **kwargs)
        found = getattr(owner, method)(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    async def submitted(self) -> tuple[str, str]:
        """A new queue and the task in it."""
        queue = new("q")
        return queue, (await self.call("tasks.submit", queue, b"in")).task_id

    async def claimed(self) -> Any:
        queue, _ = await self.submitted()
        (task,) = await self.call("tasks.claim", [queue], wait_ms=5_000)
        return task

    async def dead(self) -> tuple[str, str]:
        task = await self.claimed()
        await self.call("tasks.fail", task, "no", retryable=False)
        return task.queue, task.task_id


def new(prefix: str) -> str:
    return f"{prefix}{next(_numbers)}"


@dataclass(frozen=True)
class Cluster:
    """Three nodes, and what is on all of them."""

    nodes: dict[str, Node]
    task_id: str = ""

    @property
    def leader(self) -> Node:
        return next(n for n in self.nodes.values() if n.server.leadership.is_leader)

    @property
    def follower(self) -> Node:
        return next(n for n in self.nodes.values() if not n.server.leadership.is_leader)


Sample = Callable[[Face, Cluster], Awaitable[None]]
SAMPLES: dict[str, Sample] = {}


def sample(name: str) -> Callable[[Sample], Sample]:
    def keep(function: Sample) -> Sample:
        SAMPLES[name] = function
        return function

    return keep


# ---- tasks


@sample("tasks.submit")
async def _(face: Face, _: Cluster) -> None:
    assert (await face.call("tasks.submit", new("q"), b"x")).task_id


@sample("tasks.submit_many")
async def _(face: Face, _: Cluster) -> None:
    assert len(await face.call("tasks.submit_many", [TaskSpec(new("q"))] * 3)) == 3


@sample("tasks.claim")
async def _(face: Face, _: Cluster) -> None:
    assert (await face.claimed()).payload == b"in"


@sample("tasks.work")
async def _(face: Face, _: Cluster) -> None:
    if face.blocking:
        return
    queue, task_id = await face.submitted()
    async with face.client.tasks.work([queue]) as work:
        async for task in work:
            await work.complete(task, b"out")
            break
    assert await face.call("tasks.result", task_id) == b"out"


@sample("tasks.heartbeat")
async def _(face: Face, _: Cluster) -> None:
    task = await face.claimed()
    item = HeartbeatItem(task.task_id, task.fencing_token)
    assert [one.ok for one in await face.call("tasks.heartbeat", [item])] == [True]


@sample("tasks.complete")
async def _(face: Face, _: Cluster) -> None:
    assert (await face.call("tasks.complete", await face.claimed(), b"r")).ok


@sample("tasks.complete_many")
async def _(face: Face, _: Cluster) -> None:
    results = await face.call("tasks.complete_many", [(await face.claimed(), b"r")])
    assert [one.ok for one in results] == [True]


@sample("tasks.fail")
async def _(face: Face, _: Cluster) -> None:
    await face.dead()


@sample("tasks.release")
async def _(face: Face, _: Cluster) -> None:
    assert (await face.call("tasks.release", await face.claimed())).ok


@sample("tasks.get")
async def _(face: Face, _: Cluster) -> None:
    _, task_id = await face.submitted()
    assert (await face.call("tasks.get", task_id)).spec.payload == b"in"


@sample("tasks.list")
async def _(face: Face, _: Cluster) -> None:
    queue, task_id = await face.submitted()
    assert [one.task_id for one in await face.call("tasks.list", queue)] == [task_id]


@sample("tasks.wait")
async def _(face: Face, _: Cluster) -> None:
    task = await face.claimed()
    waiting = asyncio.create_task(face.call("tasks.wait", [task.task_id]))
    await asyncio.sleep(0)
    await face.call("tasks.complete", task, b"r")
    assert [one.result for one in await waiting] == [b"r"]


@sample("tasks.result")
async def _(face: Face, _: Cluster) -> None:
    task = await face.claimed()
    await face.call("tasks.complete", task, b"r")
    assert await face.call("tasks.result", task.task_id) == b"r"


@sample("tasks.cancel")
async def _(face: Face, _: Cluster) -> None:
    _, task_id = await face.submitted()
    assert await face.call("tasks.cancel", task_id) is TaskState.CANCELLED


@sample("tasks.retry")
async def _(face: Face, _: Cluster) -> None:
    _, task_id = await face.dead()
    assert await face.call("tasks.retry", task_id) is TaskState.READY


@sample("tasks.redrive")
async def _(face: Face, _: Cluster) -> None:
    queue, _task_id = await face.dead()
    assert await face.call("tasks.redrive", queue) == 1


@sample("tasks.explain")
async def _(face: Face, _: Cluster) -> None:
    _, task_id = await face.submitted()
    assert (await face.call("tasks.explain", task_id)).state is TaskState.READY


# ---- queues


@sample("queues.list")
async def _(face: Face, _: Cluster) -> None:
    queue, _task_id = await face.submitted()
    assert queue in [one.queue for one in await face.call("queues.list")]


@sample("queues.get")
async def _(face: Face, _: Cluster) -> None:
    queue, _task_id = await face.submitted()
    assert (await face.call("queues.get", queue)).ready == 1


@sample("queues.pause")
@sample("queues.resume")
async def _(face: Face, _: Cluster) -> None:
    queue, _task_id = await face.submitted()
    await face.call("queues.pause", queue)
    assert (await face.call("queues.get", queue)).paused
    await face.call("queues.resume", queue)
    assert not (await face.call("queues.get", queue)).paused


@sample("queues.configure")
@sample("queues.delete")
async def _(face: Face, _: Cluster) -> None:
    queue, _task_id = await face.submitted()
    await face.call("queues.configure", queue, quota_tasks=5)
    assert (await face.call("queues.get", queue)).quota_tasks == 5
    assert await face.call("queues.delete", queue, force=True) == 1


# ---- locks


@sample("locks.acquire")
@sample("locks.refresh")
@sample("locks.release")
async def _(face: Face, _: Cluster) -> None:
    name = new("l")
    grant = await face.call("locks.acquire", name, ttl_ms=10_000)
    assert await face.call("locks.refresh", grant) == 10_000
    waiting = asyncio.create_task(face.call("locks.acquire", name, wait_ms=20_000))
    await asyncio.sleep(0.02)
    await face.call("locks.release", grant)
    assert (await waiting).fencing_token > grant.fencing_token


@sample("locks.release_by_token")
async def _(face: Face, _: Cluster) -> None:
    name = new("l")
    grant = await face.call("locks.acquire", name)
    await face.call("locks.release_by_token", name, grant.fencing_token)
    assert await face.call("locks.get", name) is None


@sample("locks.lock")
async def _(face: Face, _: Cluster) -> None:
    name = new("l")

    def block() -> None:
        with face.client.locks.lock(name) as grant:
            assert grant.fencing_token

    if face.blocking:
        await asyncio.to_thread(block)
    else:
        async with face.client.locks.lock(name) as grant:
            assert grant.fencing_token
    assert await face.call("locks.get", name) is None


@sample("locks.get")
@sample("locks.list")
async def _(face: Face, _: Cluster) -> None:
    name = new("l")
    grant = await face.call("locks.acquire", name, holder="me")
    assert (await face.call("locks.get", name)).fencing_token == grant.fencing_token
    assert [one.holder for one in await face.call("locks.list", name)] == ["me"]


@sample("locks.waiters")
async def _(face: Face, _: Cluster) -> None:
    name = new("l")
    grant = await face.call("locks.acquire", name)
    waiting = asyncio.create_task(face.call("locks.acquire", name, holder="w", wait_ms=20_000))
    found: list[str] = []
    while not found and not waiting.done():
        found = [one.holder for one in await face.call("locks.waiters", name)]
    await face.call("locks.release", grant)
    assert (found, (await waiting).holder) == (["w"], "w")


# ---- keys


@sample("kv.put")
@sample("kv.get")
@sample("kv.get_prefix")
@sample("kv.range")
async def _(face: Face, _: Cluster) -> None:
    key = new("k/")
    revision = await face.call("kv.put", key, "v")
    assert (await face.call("kv.get", key)).mod_revision == revision
    assert [one.value for one in await face.call("kv.get_prefix", key)] == [b"v"]
    assert (await face.call("kv.range", key, key + "z")).count == 1


@sample("kv.delete")
@sample("kv.delete_prefix")
@sample("kv.delete_range")
async def _(face: Face, _: Cluster) -> None:
    key = new("k/")
    await face.call("kv.put", key, "v")
    assert await face.call("kv.delete", key)
    await face.call("kv.put", key, "v")
    assert await face.call("kv.delete_prefix", key) == 1
    assert (await face.call("kv.delete_range", key)).deleted == 0


@sample("kv.txn")
@sample("kv.compare_and_set")
async def _(face: Face, _: Cluster) -> None:
    key = new("k/")
    done = await face.call("kv.txn", [Compare.missing(key)], [Put(key, "1"), Get(key)])
    assert done.succeeded
    assert not await face.call("kv.compare_and_set", key, 0, "2")


@sample("kv.compact")
async def _(face: Face, _: Cluster) -> None:
    await face.call("kv.compact", await face.call("kv.put", new("k/"), "v"))


# ---- sessions, cluster, and the client itself


@sample("sessions.list")
@sample("open_session")
async def _(face: Face, _: Cluster) -> None:
    session_id = await face.call("open_session")
    assert session_id in [one.session_id for one in await face.call("sessions.list")]


@sample("sessions.keep_alive")
@sample("report_stuck")
async def _(face: Face, _: Cluster) -> None:
    session_id = await face.call("open_session")
    assert await face.call("sessions.keep_alive", session_id) > 0
    await face.call("report_stuck", ["t1"])


@sample("sessions.close")
@sample("on_session_lost")
async def _(face: Face, _: Cluster) -> None:
    lost: list[int] = []
    forget = face.client.on_session_lost(lost.append)
    session_id = await face.call("open_session")
    await face.call("sessions.close", session_id)
    await face.call("kv.put", "k", "v")  # under a new one
    assert lost == [session_id]
    forget()


@sample("cluster.status")
async def _(face: Face, cluster: Cluster) -> None:
    assert (await face.call("cluster.status")).leader == cluster.leader.config.node_id


@sample("cluster.node_status")
async def _(face: Face, cluster: Cluster) -> None:
    node = cluster.follower.config
    assert (await face.call("cluster.node_status", node.listen)).member.id == node.node_id


@sample("cluster.level")
@sample("cluster.raise_level")
async def _(face: Face, _: Cluster) -> None:
    level = await face.call("cluster.level")
    assert await face.call("cluster.raise_level") == level


@sample("cluster.quota")
@sample("cluster.set_quota")
async def _(face: Face, _: Cluster) -> None:
    assert (await face.call("cluster.set_quota", 1 << 30)).limit_bytes == 1 << 30
    assert (await face.call("cluster.quota")).limit_bytes == 1 << 30


@sample("cluster.digests")
async def _(face: Face, _: Cluster) -> None:
    assert len(await face.call("cluster.digests")) == 3


@sample("cluster.members")
async def _(face: Face, _: Cluster) -> None:
    assert len(await face.call("cluster.members")) == 3


@sample("cluster.transfer_leader")
async def _(face: Face, cluster: Cluster) -> None:
    leader = cluster.leader.config.node_id
    assert (await face.call("cluster.transfer_leader", leader)).leader == leader


@sample("cluster.add_member")
@sample("cluster.remove_member")
@sample("cluster.promote_member")
async def _(face: Face, _: Cluster) -> None:
    with pytest.raises(NotFoundError):
        await face.call("cluster.promote_member", "n9")
    assert len(await face.call("cluster.add_member", "n9", "127.0.0.1:1", "127.0.0.1:2")) == 4
    assert len(await face.call("cluster.remove_member", "n9")) == 3


@sample("close")
async def _(face: Face, _: Cluster) -> None:
    """Every client here is closed in the end."""


# ---- the paths


def methods() -> dict[str, inspect.Signature]:
    """Every public method of the client and its parts."""
    client = Client("127.0.0.1:1")
    owners = {"": client, **{f"{part}.": getattr(client, part) for part in PARTS}}
    return {
        f"{prefix}{name}": inspect.signature(member)
        for prefix, owner in owners.items()
        for name, member in inspect.getmembers(owner, inspect.ismethod)
        if not name.startswith("_")
    }


READS: dict[str, tuple[Any, ...]] = {
    "tasks.get": ("TASK",),
    "tasks.list": ("stale",),
    "tasks.explain": ("TASK",),
    "queues.list": (),
    "queues.get": ("stale",),
    "locks.get": ("stale",),
    "locks.waiters": ("stale",),
    "locks.list": (),
    "kv.get": ("stale",),
    "kv.get_prefix": ("stale",),
    "kv.range": ("stale", "stalf"),
    "sessions.list": (),
}


async def test_every_method_has_a_sample() -> None:
    found = methods()
    assert set(SAMPLES) == set(found)
    stale = {name for name, signature in found.items() if "stale" in signature.parameters}
    assert set(READS) == stale


@asynccontextmanager
async def three_nodes(directory: Path) -> AsyncIterator[Cluster]:
    nodes = {config.node_id: Node(config) for config in configs(directory)}
    try:
        await asyncio.gather(*(node.start() for node in nodes.values()))
        leads = [node.server.leadership for node in nodes.values()]
        await eventually(lambda: any(one.is_leader for one in leads), 20, "somebody leads")
        yield Cluster(nodes)
    finally:
        await asyncio.gather(*(node.stop() for node in nodes.values()))


@asynccontextmanager
async def face_of(node: Node, *, blocking: bool) -> AsyncIterator[Face]:
    made = (sync.Client if blocking else Client)(node.config.listen, timeout_ms=15_000)
    face = Face(made)
    try:
        yield face
    finally:
        await face.call("close")


async def prepare(cluster: Cluster) -> Cluster:
    """Something to read, on all nodes."""
    async with face_of(cluster.leader, blocking=False) as face:
        task_id = (await face.call("tasks.submit", "stale", b"x")).task_id
        await face.call("kv.put", "stale", "v")
        assert await face.call("locks.acquire", "stale")
        states = [node.server.state_machine for node in cluster.nodes.values()]
        await eventually(lambda: all(host.state.locks.get("stale") for host in states))
        # The lock ends with this session: the others read before or after that.
    return Cluster(cluster.nodes, task_id)


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])
async def test_every_method_through_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    async with three_nodes(tmp_path) as bare:
        cluster = await prepare(bare)
        for node in (cluster.leader, cluster.follower):
            address = node.config.listen
            # Otherwise a client finds the leader by itself.
            monkeypatch.setattr(Discovery, "pick", lambda self, at=address: self.connection(at))
            for most_bytes in (256 * 1024, -1):  # of a request on a stream; -1: none is sent on one
                monkeypatch.setattr(channel, "MAX_CALL_BYTES", most_bytes)
                async with face_of(node, blocking=blocking) as face:
                    await call_everything(face, cluster)
                    await read_stale(face, cluster)


async def call_everything(face: Face, cluster: Cluster) -> None:
    for name, function in SAMPLES.items():
        try:
            await function(face, cluster)
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


async def read_stale(face: Face, cluster: Cluster) -> None:
    signatures = methods()
    for name, args in READS.items():
        known = [cluster.task_id if arg == "TASK" else arg for arg in args]
        stale = Stale()
        await face.call(name, *known, stale=stale)
        assert stale.applied_index > 0, name
        if "serializable" in signatures[name].parameters:
            await face.call(name, *known, serializable=True)
