"""Schedules: what the user may ask for, and that a seed names one."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from chaos.nemeses import NEMESES
from chaos.nemeses.base import TARGETS, pick
from chaos.nemeses.network import Partition
from chaos.run.schedule import ScheduleError, Spec, parse_specs, plan
from chaos.testbed.cluster import ClusterUnderTest
from chaos.testbed.proxy import CUT

QUIET = (1.0, 2.0)


def test_alternatives_parts_and_variants() -> None:
    assert parse_specs("kill, partition:halves,pause+delay") == [
        Spec((("kill", ""),)),
        Spec((("partition", "halves"),)),
        Spec((("pause", ""), ("delay", ""))),
    ]
    assert parse_specs("none") == []
    assert len(parse_specs("all")) == len(NEMESES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("kil", "no nemesis 'kil'"), ("kill:halves", "no variant"), ("transfer:x", "it has: none")],
)
def test_unknown_names_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ScheduleError, match=complaint):
        parse_specs(text)


def test_a_seed_names_a_schedule() -> None:
    specs = parse_specs("all")
    assert plan(specs, 120, 7, QUIET) == plan(specs, 120, 7, QUIET)
    assert plan(specs, 120, 7, QUIET) != plan(specs, 120, 8, QUIET)


@pytest.mark.parametrize("seed", range(20))
def test_faults_follow_one_another_and_end_in_time(seed: int) -> None:
    planned = plan(parse_specs("all"), 60, seed, QUIET)
    assert planned
    for one, two in itertools.pairwise(planned):
        assert one.start_s + one.hold_s + QUIET[0] <= two.start_s
    assert planned[-1].start_s + planned[-1].hold_s <= 60


@pytest.mark.parametrize("seed", range(5))
def test_faults_may_begin_at_regular_times(seed: int) -> None:
    planned = plan(parse_specs("kill:leader,pause-long"), 60, seed, QUIET, every_s=5)
    assert len(planned) == 12
    for one, two in itertools.pairwise(planned):
        assert two.start_s - one.start_s == pytest.approx(5)
        assert one.start_s + one.hold_s < two.start_s


def test_every_alternative_comes_before_one_comes_again() -> None:
    planned = plan(parse_specs("all"), 300, 3, QUIET)
    first = [fault.parts[0].nemesis for fault in planned[: len(NEMESES)]]
    assert sorted(first) == sorted(NEMESES)


class Unled(ClusterUnderTest):
    """Never started; `led_by` stands for the leader."""

    led_by: str | None = None

    async def leader(self) -> str | None:
        return self.led_by


@pytest.mark.parametrize(
    ("target", "count"),
    [("one", 1), ("minority", 2), ("majority", 3), ("leader", 1), ("followers", 4), ("all", 5)],
)
async def test_targets(tmp_path: Path, target: str, count: int) -> None:
    cluster = Unled(tmp_path, 5)
    cluster.led_by = "n4"
    for seed in range(10):
        victims = await pick(cluster, target, random.Random(seed))
        assert len(set(victims)) == count
        if target in {"leader", "followers"}:
            assert ("n4" in victims) is (target == "leader")
    assert target in TARGETS


async def test_without_a_leader_some_node_is_hit(tmp_path: Path) -> None:
    assert await pick(Unled(tmp_path, 3), "leader", random.Random(1))


@pytest.mark.parametrize("nodes", [3, 5, 7])
@pytest.mark.parametrize("variant", Partition.variants)
async def test_a_partition_cuts_what_it_says_and_mends_it(
    tmp_path: Path, variant: str, nodes: int
) -> None:
    cluster = Unled(tmp_path, nodes)
    cluster.led_by = "n2"
    partition = Partition(cluster, variant, random.Random(5))
    await partition.begin()
    cut = {(k.source, k.target) for k in cluster.links.all() if k.condition == CUT}
    others = nodes - 1
    minority = nodes - cluster.majority
    side = nodes // 2
    expected = {
        "halves": 2 * minority * (nodes - minority),
        "isolate-leader": 2 * others,
        "isolate-one": 2 * others,
        "flapping": 2 * others,
        "one-way": others,
        "bridge": 2 * side * (nodes - side - 1),
        "ring": 2 if nodes == 3 else nodes * (nodes - 3),
        "clients": 2,
    }
    assert len(cut) == expected[variant]
    if variant in {"isolate-leader", "flapping"}:
        assert all("n2" in pair for pair in cut)
    await partition.end()
    assert not [k for k in cluster.links.all() if k.condition == CUT]
