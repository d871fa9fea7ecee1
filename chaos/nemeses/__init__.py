"""Nemeses by name."""

from __future__ import annotations

from chaos.nemeses.agents import AgentKill, AgentZombie
from chaos.nemeses.base import Nemesis
from chaos.nemeses.clocks import MonotonicDrift, MonotonicJump, WallDrift, WallJump
from chaos.nemeses.disks import Damage, FailingSyncs, FullDisk, PowerCut, SlowDisk, TornWrite
from chaos.nemeses.leadership import Transfer
from chaos.nemeses.members import Members
from chaos.nemeses.network import Bandwidth, Delay, Loss, Partition, Resets
from chaos.nemeses.processes import (
    Kill,
    KillAll,
    LongPause,
    LostMinority,
    Pause,
    Restart,
    RollingRestart,
)
from chaos.nemeses.snapshots import Snapshots

# A new one is a module of its own, and a line here.
NEMESES: dict[str, type[Nemesis]] = {
    nemesis.name: nemesis
    for nemesis in (
        Kill,
        KillAll,
        LostMinority,
        Restart,
        RollingRestart,
        Pause,
        LongPause,
        Partition,
        Delay,
        Loss,
        Bandwidth,
        Resets,
        Transfer,
        Members,
        Snapshots,
        SlowDisk,
        FullDisk,
        FailingSyncs,
        PowerCut,
        TornWrite,
        Damage,
        WallJump,
        WallDrift,
        MonotonicJump,
        MonotonicDrift,
        AgentKill,
        AgentZombie,
    )
}
