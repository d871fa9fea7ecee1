"""Nemeses by name."""

from __future__ import annotations

from chaos.nemeses.base import Nemesis
from chaos.nemeses.leadership import Transfer
from chaos.nemeses.network import Bandwidth, Delay, Partition, Resets
from chaos.nemeses.processes import Kill, KillAll, LongPause, Pause, Restart, RollingRestart

NEMESES: dict[str, type[Nemesis]] = {
    nemesis.name: nemesis
    for nemesis in (
        Kill,
        KillAll,
        Restart,
        RollingRestart,
        Pause,
        LongPause,
        Partition,
        Delay,
        Bandwidth,
        Resets,
        Transfer,
    )
}
