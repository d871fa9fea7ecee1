"""Nemeses by themselves: what they complain about, whom they spare, and what they need."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chaos.histories.history import CLOCK_AHEAD, NEMESIS
from chaos.histories.recorder import Recorder
from chaos.nemeses import NEMESES, disks
from chaos.nemeses.base import Nemesis
from chaos.nodes.control import MachineFaults, add_note, read_faults
from chaos.run.faults import FaultDriver
from chaos.run.schedule import Part, Planned, ScheduleError, parse_specs, settings_for, steered
from chaos.testbed.cluster import ClusterUnderTest
from chaos.testbed.hardware import HardwareError
from chaos.testbed.proxy import CLEAR, CUT, Condition, Link, Links, Mode
from chaos.testbed.socket_owner import CLIENTS
from chaos.workloads.base import WorkloadOptions
from chaos.workloads.leases import SESSION_MS
from chaos.workloads.locks import TTL_MS
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import Choosing

RECORDS = bytes(range(1, 201)) * 10 + bytes(93)  # of a journal, and room for more


class Stubborn(ClusterUnderTest):
    """Nodes that are never started, run all the same, and never end."""

    all_are = ProcessState.RUNNING
    role = "follower"

    def __init__(self, directory: Path, nodes: int = 3, *, is_steered: bool = True) -> None:
        super().__init__(directory, nodes, steered=is_steered)
        self.hardware._running = lambda node_id: False  # nobody looks at the faults
        for node_id in self.node_ids:
            (self.data_directory(node_id) / "journal").mkdir(parents=True)
            (self.data_directory(node_id) / "journal" / "1.wal").write_bytes(RECORDS)
            self.log_path(node_id).write_text("started\n", encoding="utf-8")

    async def leader(self) -> str | None:
        return "n1"

    async def roles(self) -> dict[str, tuple[str, int]]:
        return dict.fromkeys(self.node_ids, (self.role, 1))

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


async def damaged(cluster: ClusterUnderTest, *chosen: str) -> str:
    """Who was damaged and emptied, or damaged and put right."""
    nemesis = NEMESES["damage"](cluster, "emptied", Choosing(*chosen))
    await nemesis.begin()
    await nemesis.end()
    return nemesis.victims[0] if nemesis.victims else ""


async def test_a_node_that_was_just_emptied_has_nothing_to_damage(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    assert await damaged(cluster, "one", "n2") == "n2"
    assert not cluster.data_directory("n2").exists()
    (cluster.data_directory("n2") / "journal").mkdir(parents=True)
    (cluster.data_directory("n2") / "journal" / "1.wal").write_bytes(bytes(40))
    cluster.role = "follower"
    assert await damaged(cluster, "one", "n2") == "n1"
    for node_id in cluster.node_ids:
        shutil.rmtree(cluster.data_directory(node_id), ignore_errors=True)
    assert await damaged(cluster, "one", "n3") == ""


@pytest.mark.parametrize(("role", "is_emptied"), [("learner", False), ("follower", True)])
async def test_no_node_is_emptied_while_another_fetches_what_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, is_emptied: bool
) -> None:
    monkeypatch.setattr(disks, "REJOINS_WITHIN_S", 0.02)
    cluster = Stubborn(tmp_path)
    cluster.role = role
    assert await damaged(cluster, "one", "n2") == "n2"
    assert await damaged(cluster, "one", "n3") == "n3"
    assert cluster.data_directory("n3").exists() is not is_emptied
    if not is_emptied:
        kept = (cluster.data_directory("n3") / "journal" / "1.wal").read_bytes()
        assert kept == RECORDS, "the bit was put right"


async def test_a_fault_is_undone_before_its_driver_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is cancelled while it undoes: what heals after that must not meet it."""
    undoing, may_end = asyncio.Event(), asyncio.Event()

    async def end(self: Nemesis) -> None:
        undoing.set()
        await may_end.wait()

    monkeypatch.setattr(NEMESES["kill-all"], "end", end)
    running = asyncio.ensure_future(run_fault(Stubborn(tmp_path), ("kill-all", "all")))
    await undoing.wait()
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=0.02)
    assert not done
    may_end.set()
    await asyncio.wait({running})
    assert running.cancelled()


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


@pytest.mark.parametrize(
    ("name", "chosen", "condition"),
    [
        ("delay", (50, 100), Condition(delay_ms=50, jitter_ms=100)),
        ("loss", 200, Condition(loss_permille=200)),
        ("bandwidth", 2_000, Condition(bandwidth=2_000)),
    ],
)
async def test_slow_links_are_those_to_and_from_the_victims(
    tmp_path: Path, name: str, chosen: object, condition: Condition
) -> None:
    cluster = Stubborn(tmp_path)
    cluster.links.update("n2", "n3", mode=Mode.DROP)
    nemesis = NEMESES[name](cluster, "leader", Choosing(chosen))
    await nemesis.begin()
    slow = {(k.source, k.target): k.condition for k in cluster.links.all() if k.condition != CUT}
    others = ("n2", "n3", CLIENTS)
    assert slow == dict.fromkeys(
        [*(("n1", other) for other in others), *((other, "n1") for other in others)], condition
    )
    await nemesis.end()
    left = {(k.source, k.target) for k in cluster.links.all() if k.condition != CLEAR}
    assert left == {("n2", "n3")}, "what another fault did stays"


async def test_connections_of_the_victims_are_reset_again_and_again(tmp_path: Path) -> None:
    cluster = Stubborn(tmp_path)
    resets: Counter[tuple[str, str]] = Counter()

    class Counting(Link):
        def reset(self) -> None:
            resets[self.source, self.target] += 1

    cluster.network.links = Links(0, Counting)
    for source, target in (("n1", "n2"), ("n3", "n1"), (CLIENTS, "n1"), ("n2", "n3")):
        cluster.links.between(source, target)
    nemesis: Any = make(cluster, "resets", "leader")
    nemesis.PAUSE_S = (0.0, 0.001)
    await nemesis.begin()
    await nemesis.last(0.05)
    assert set(resets) == {("n1", "n2"), ("n3", "n1"), (CLIENTS, "n1")}
    assert min(resets.values()) > 1
    before = resets.copy()
    await nemesis.end()
    assert resets == before


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
