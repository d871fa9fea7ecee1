"""Nemeses by themselves: what they complain about, whom they spare, and what they need."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from chaos.cluster import ClusterUnderTest
from chaos.faults import FaultDriver
from chaos.hardware import HardwareError
from chaos.history import CLOCK_AHEAD, NEMESIS
from chaos.nemeses import NEMESES, disks
from chaos.nemeses.base import Nemesis
from chaos.nodes.control import MachineFaults, add_note, read_faults
from chaos.proxy import CUT
from chaos.recorder import Recorder
from chaos.schedule import Part, Planned, ScheduleError, parse_specs, settings_for, steered
from chaos.workloads.base import WorkloadOptions
from chaos.workloads.leases import SESSION_MS
from chaos.workloads.locks import TTL_MS
from coord.localcluster.processes import ProcessState

RECORDS = b"records" + bytes(93)  # and room for more


class Stubborn(ClusterUnderTest):
    """Nodes that are never started, run all the same, and never end."""

    all_are = ProcessState.RUNNING

    def __init__(self, directory: Path, nodes: int = 3, *, is_steered: bool = True) -> None:
        super().__init__(directory, nodes, steered=is_steered)
        self.hardware._running = lambda node_id: False  # nobody looks at the faults
        for node_id in self.node_ids:
            (self.data_directory(node_id) / "journal").mkdir(parents=True)
            (self.data_directory(node_id) / "journal" / "1.wal").write_bytes(RECORDS)
            self.log_path(node_id).write_text("started\n", encoding="utf-8")

    async def leader(self) -> str | None:
        return "n1"

    async def start(self, node_id: str) -> None:
        return

    async def until_down(self, node_id: str, within_s: float) -> bool:
        return False

    def state(self, node_id: str) -> ProcessState:
        return self.all_are


def make(cluster: ClusterUnderTest, name: str, variant: str) -> Nemesis:
    return NEMESES[name](cluster, variant, random.Random(3))


async def test_a_node_that_goes_on_after_a_failed_sync_is_complained_about(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    nemesis = make(cluster, "disk-failing", "leader")
    await nemesis.begin()
    assert read_faults(tmp_path / "n1")[1].sync_fails
    add_note(tmp_path / "n1", "a sync of 1.wal failed")
    await nemesis.end()
    assert cluster.hardware.complaints == ["n1 went on after a sync had failed"]
    assert read_faults(tmp_path / "n1")[1] == MachineFaults()


async def test_a_paused_node_cannot_stop_itself(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    nemesis = make(cluster, "disk-failing", "leader")
    await nemesis.begin()
    add_note(tmp_path / "n1", "a sync of 1.wal failed")
    cluster.all_are = ProcessState.PAUSED
    await nemesis.end()
    assert cluster.hardware.complaints == []


async def test_a_node_that_never_synced_meanwhile_is_not(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    nemesis = make(cluster, "disk-failing", "all")
    await nemesis.begin()
    await nemesis.end()
    assert cluster.hardware.complaints == []


@pytest.mark.parametrize(
    ("state", "log", "complaint"),
    [
        (ProcessState.RUNNING, "", "started from a damaged journal"),
        (ProcessState.DOWN, "it broke\n", "did not say that its storage is damaged"),
        (ProcessState.DOWN, "coord: node n1 cannot start: storage is damaged: x\n", ""),
        (ProcessState.PAUSED, "", ""),
    ],
)
async def test_a_node_must_refuse_damage_and_say_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: ProcessState,
    log: str,
    complaint: str,
) -> None:
    monkeypatch.setattr(disks, "REFUSES_WITHIN_S", 0.02)
    cluster = Stubborn(tmp_path)
    cluster.all_are = state
    nemesis = make(cluster, "damage", "put-back")
    await nemesis.begin()
    (victim,) = nemesis.victims or ()
    segment = cluster.data_directory(victim) / "journal" / "1.wal"
    flipped = zip(RECORDS, segment.read_bytes(), strict=True)
    assert sum((before ^ after).bit_count() for before, after in flipped) == 1
    with cluster.log_path(victim).open("a") as file:
        file.write(log)
    await nemesis.last(0)
    await nemesis.end()
    assert segment.read_bytes() == RECORDS
    assert cluster.hardware.complaints == ([f"{victim} {complaint}"] if complaint else [])


async def test_machines_that_cannot_be_hurt_are_left_alone(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path, is_steered=False)
    with pytest.raises(HardwareError, match="own disk and clocks"):
        await make(cluster, "disk-slow", "all").begin()
    await cluster.hardware.heal()


async def test_a_heal_keeps_what_monotonic_clocks_ran_ahead(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    for name in ("monotonic-jump", "wall-jump", "disk-slow"):
        await make(cluster, name, "one").begin()
    ahead_ms = cluster.hardware.ahead_ms
    await cluster.hardware.heal()
    assert ahead_ms == cluster.hardware.ahead_ms > 0
    kept = [cluster.hardware.faults(node_id) for node_id in cluster.node_ids]
    assert sum(faults.monotonic_ahead_ms for faults in kept) == ahead_ms
    assert all(f == MachineFaults(monotonic_ahead_ms=f.monotonic_ahead_ms) for f in kept)


async def run_fault(cluster: ClusterUnderTest, *parts: tuple[str, str]) -> FaultDriver:
    driver = FaultDriver(cluster, Recorder())
    await driver.run([Planned(0.0, 0.0, tuple(Part(n, v, 5) for n, v in parts))])
    return driver


@pytest.mark.parametrize(
    ("parts", "spared"),
    [
        ([("partition", "halves")], True),
        ([("partition", "isolate-leader")], True),
        ([("partition", "bridge")], False),
        ([("partition", "flapping")], False),
        ([("disk-full", "minority")], True),
        ([("disk-full", "majority")], False),
        ([("disk-full", "leader"), ("partition", "isolate-leader")], True),
        ([("disk-full", "followers"), ("partition", "isolate-leader")], False),
        ([("disk-full", "leader"), ("delay", "one")], False),
    ],
)
async def test_a_fault_knows_whether_it_spares_a_majority(
    tmp_path: Path, parts: list[tuple[str, str]], spared: bool
) -> None:
    driver = await run_fault(Stubborn(tmp_path, 5), *parts)
    assert driver.faults[0].majority_spared is spared


async def test_the_history_tells_how_far_clocks_ran_ahead(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    driver = await run_fault(cluster, ("monotonic-jump", "all"))
    told = [e for e in driver._recorder.events if (e.process, e.f) == (NEMESIS, CLOCK_AHEAD)]
    assert [event.value for event in told] == [cluster.hardware.ahead_ms]


async def test_flapping_joins_and_cuts_again(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    nemesis: Any = make(cluster, "partition", "flapping")
    nemesis.FLAP_S = (0.0, 0.001)
    changes: list[bool] = []
    cut = nemesis._set
    nemesis._set = lambda *, cut: changes.append(cut)
    await nemesis.begin()
    await nemesis.last(0.05)
    assert changes[:4] == [True, False, True, False]
    nemesis._set = cut
    await nemesis.end()
    assert not [link for link in cluster.links.all() if link.condition == CUT]


def test_long_pauses_and_zombies_outlast_leases_and_sessions() -> None:
    longest_ms = max(WorkloadOptions().session_ttl_ms, SESSION_MS, TTL_MS)
    assert NEMESES["pause-long"].hold_s[0] * 1_000 > longest_ms
    assert NEMESES["agent-zombie"].hold_s[0] * 1_000 > TTL_MS


def test_what_nemeses_need_is_known_before_the_run() -> None:
    assert not steered(parse_specs("kill,partition+pause"))
    assert steered(parse_specs("kill,pause+wall-jump"))
    assert settings_for(parse_specs("kill,snapshots"))["snapshot_entries"] == 100
    with pytest.raises(ScheduleError, match="delay needs what this run has not: delay"):
        parse_specs("kill+delay", {"delay"})
    names = {name for spec in parse_specs("all", {"agents", "loss"}) for name, _ in spec.parts}
    assert set(NEMESES) - names == {"agent-kill", "agent-zombie", "loss"}
