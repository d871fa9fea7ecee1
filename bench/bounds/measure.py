"""Times of the cases, and what a node does between requests."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from bench.bounds.cases import CASES, Case
from bench.bounds.world import Measured, World, key
from coord.codec import kv as etcd
from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.kv.commands import KvRange, SortTarget
from coord.pb import etcd_rpc_pb2 as pb

ENTRIES = 5


class RefusedError(Exception):
    """A case was refused, so its time says nothing."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of processor time of some repetitions."""

    name: str
    all_ms: tuple[float, ...]

    @property
    def best_ms(self) -> float:
        return min(self.all_ms)

    @property
    def median_ms(self) -> float:
        return median(self.all_ms)

    @property
    def worst_ms(self) -> float:
        return max(self.all_ms)


def measure(case: Case, world: World, rounds: int) -> Times:
    """RefusedError if the request is refused."""
    times = []
    for number in range(rounds):
        request = case.make(world, number)
        times.append(_accepted(case, world.run(case.kind, request)).total_ms)
    return Times(case.name, tuple(times))


def measure_all(world: World, rounds: int) -> Iterable[Times]:
    """Every case, range reads, and a compaction with the entries that go on with it."""
    for case in CASES:
        yield measure(case, world, rounds)
    yield from measure_reads(world, rounds)
    yield from measure_compaction(world)


def _accepted(case: Case, measured: Measured) -> Measured:
    if isinstance(measured.reply, Rejected):
        raise RefusedError(f"{case.name}: {measured.reply.message}")
    return measured


def measure_compaction(world: World) -> Iterable[Times]:
    request = pb.CompactionRequest(revision=world.machine.revision)
    whole = world.run(CommandKind.KV_COMPACT, request).total_ms
    yield Times("compact all history", (whole,))
    times = [world.idle() for _ in range(ENTRIES)]
    yield Times("an empty entry that goes on with it", tuple(times))


def measure_reads(world: World, rounds: int) -> Iterable[Times]:
    """Range reads, with their answers: they are not logged, and cost the node that is asked."""
    rows = LIMITS.max_range_keys
    low = key(world.keys // 2)
    plain = KvRange(low, key(world.keys // 2 + rows))
    by_value = SortTarget.VALUE
    filtered = replace(plain, sort_target=by_value, min_mod_revision=1, keys_only=True)
    for name, command in (
        (f"range of {rows:,} keys", plain),
        (f"range of {rows:,} keys, filtered and sorted by value", filtered),
    ):
        yield Times(name, tuple([_read_ms(world, command) for _ in range(rounds)]))


def _read_ms(world: World, command: KvRange) -> float:
    began = time.thread_time()
    reply = world.machine.state.kv.range(command, world.machine.revision)
    if isinstance(reply, Rejected):
        raise RefusedError(reply.message)
    etcd.range_response(reply, pb.ResponseHeader()).SerializeToString()
    return (time.thread_time() - began) * 1_000
