"""After the last fault is undone: the cluster must work again, nodes must agree, and the clients
look at what is left.

Verified here: a write succeeds within a bound after the heal; every node answers again and all
have the same state at the same index; no node ended by itself. Not verified: how fast beyond the
bound, and that nodes were right at any earlier index."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.histories.recorder import Recorder
from chaos.stores.ports import StoreClient
from chaos.testbed.cluster import ClusterUnderTest, UnexpectedEnd
from chaos.workloads.base import Connect, Surroundings, Workload
from coord.client import Client, CoordError, NodeDigest

WRITE_WITHIN_S = 15.0
LEVEL_WITHIN_S = 30.0
FINISH_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class CheckedAfter:
    """`write_after_heal_ms` None: no write succeeded in time. `digests`: by node, at one applied
    index; `digest_complaint` is empty when they are all there and equal."""

    healed_ns: int
    write_after_heal_ms: float | None
    digests: dict[str, str]
    digest_complaint: str
    unexpected_ends: tuple[UnexpectedEnd, ...]
    finished: bool
    disk_complaints: tuple[str, ...] = ()


async def settle(
    cluster: ClusterUnderTest,
    workloads: Sequence[Workload],
    around: Surroundings,
    recorder: Recorder,
) -> CheckedAfter:
    """To be called right after the heal."""
    healed_ns = recorder.now_ns()
    write_ms = await _first_write_ms(cluster)
    finished = write_ms is not None
    if finished:
        quiet = Surroundings(_patient(around), recorder, asyncio.Event())
        for workload in workloads:
            await workload.finish(quiet)
    digests, complaint = await equal_digests(cluster)
    cluster.note_unexpected_ends(recorder.now_ns())
    return CheckedAfter(
        healed_ns,
        write_ms,
        digests,
        complaint,
        tuple(cluster.unexpected_ends),
        finished,
        tuple(cluster.hardware.complaints),
    )


def _patient(around: Surroundings) -> Connect:
    def connect(name: str, **options: object) -> StoreClient:
        return around.connect(name, **{"timeout_ms": FINISH_TIMEOUT_MS, **options})

    return connect


async def _first_write_ms(cluster: ClusterUnderTest) -> float | None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with Client(cluster.endpoints, name="after", use_session=False) as client:
        while (left_s := started + WRITE_WITHIN_S - loop.time()) > 0:
            with contextlib.suppress(CoordError):
                await client.kv.put("chaos-after", b"x", timeout_ms=max(1, int(left_s * 1_000)))
                return (loop.time() - started) * 1_000
            await asyncio.sleep(0.02)
    return None


async def equal_digests(cluster: ClusterUnderTest) -> tuple[dict[str, str], str]:
    """Digests by node, once all stand at one index, and what is wrong with that (or "")."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LEVEL_WITHIN_S
    digests: list[NodeDigest] = []
    async with Client(cluster.endpoints, name="digests", use_session=False) as client:
        while loop.time() < deadline:
            with contextlib.suppress(CoordError):
                digests = await client.cluster.digests(timeout_ms=5_000)
            if _level(digests, len(cluster.node_ids)):
                found = {digest.node_id: digest.digest for digest in digests}
                same = len(set(found.values())) == 1
                index = digests[0].applied_index
                return found, "" if same else f"states differ at index {index}: {found}"
            await asyncio.sleep(0.1)
    seen = {d.node_id: d.error.reason if d.error else f"applied {d.applied_index}" for d in digests}
    return {}, f"nodes were not level within {LEVEL_WITHIN_S:.0f} s: {seen}"


def _level(digests: Sequence[NodeDigest], nodes: int) -> bool:
    return (
        len(digests) == nodes
        and all(digest.error is None for digest in digests)
        and len({digest.applied_index for digest in digests}) == 1
    )
