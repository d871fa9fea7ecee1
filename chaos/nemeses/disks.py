"""Faults of disks: slow, full, failing, without power, and damaged.

A faulty disk may end its node; then the node is started again when the fault is over. What a node
must not do is go on: that is a complaint, and the run is not valid."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from chaos.nemeses.base import TARGETS, Nemesis, names, pick
from chaos.nodes.control import MachineFaults
from coord.localcluster.launch import Setting
from coord.localcluster.processes import ProcessState

ENDS_WITHIN_S = 10.0
REFUSES_WITHIN_S = 30.0
REJOINS_WITHIN_S = 10.0
WORTH_BYTES = 1_000  # a segment smaller than this may be nothing but an end that was never synced
REFUSAL = "cannot start: storage is damaged"


class _FaultyDisk(Nemesis):
    """Sets faults of the disks of some nodes, and starts those that it ended."""

    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "leader", "one", "minority", "majority", "all")
    steers: ClassVar[bool] = True
    _hit: Sequence[str] = ()

    async def _set(self, **changes: object) -> list[str]:
        self._hit = victims = await self.choose()
        hardware = self.cluster.hardware
        hardware.excused.update(victims)
        self._healed = {name: getattr(MachineFaults(), name) for name in changes}
        for node_id in victims:
            await hardware.set(node_id, **changes)
        return victims

    async def end(self) -> None:
        hardware = self.cluster.hardware
        for node_id in self._hit:
            await hardware.set(node_id, **self._healed)
            await self._after(node_id)
            await self.cluster.start(node_id)
            hardware.excused.discard(node_id)

    async def _after(self, node_id: str) -> None:
        """The node's disk is well again; it may have ended, or be about to."""


class SlowDisk(_FaultyDisk):
    """Every sync takes longer."""

    name: ClassVar[str] = "disk-slow"

    async def begin(self) -> str:
        delay_ms = self.rng.choice([20, 100, 500])
        victims = await self._set(sync_delay_ms=delay_ms)
        self.victims = None  # a slow leader may well go on leading, slowly
        return f"syncs of {names(victims)} take {delay_ms} ms longer"


class FullDisk(_FaultyDisk):
    """Nothing can be written; what is there can be read."""

    name: ClassVar[str] = "disk-full"

    async def begin(self) -> str:
        return f"disks of {names(await self._set(disk_full=True))} are full"


class FailingSyncs(_FaultyDisk):
    """Syncs fail, and what they should have made durable is lost. A node has to stop itself."""

    name: ClassVar[str] = "disk-failing"
    hold_s: ClassVar[tuple[float, float]] = (2.0, 5.0)

    async def begin(self) -> str:
        hardware = self.cluster.hardware
        self._notes = {n: len(hardware.notes(n)) for n in self.cluster.node_ids}
        return f"syncs of {names(await self._set(sync_fails=True))} fail"

    async def _after(self, node_id: str) -> None:
        hardware = self.cluster.hardware
        if len(hardware.notes(node_id)) == self._notes[node_id]:
            return
        paused = self.cluster.state(node_id) is ProcessState.PAUSED  # by another fault: it cannot
        if not paused and not await self.cluster.until_down(node_id, ENDS_WITHIN_S):
            hardware.complaints.append(f"{node_id} went on after a sync had failed")
        await self.cluster.kill(node_id)


class PowerCut(_FaultyDisk):
    """The node is killed while it syncs, and what was unsynced is lost."""

    name: ClassVar[str] = "power-cut"

    async def begin(self) -> str:
        victims = await self._set(power_cut_permille=0)
        return f"{names(victims)} will lose power and what is unsynced"


class TornWrite(_FaultyDisk):
    """The node is killed while it syncs, and a part of what was unsynced reached the disk: the last
    record there is torn."""

    name: ClassVar[str] = "torn-write"

    async def begin(self) -> str:
        permille = self.rng.randrange(1, 1_000)
        victims = await self._set(power_cut_permille=permille)
        return f"{names(victims)} will lose power, {permille / 10:g} % of what is unsynced remains"


class Damage(Nemesis):
    """A bit of a segment that was synced long ago flips while its node is down. The node has to
    refuse to start. put-back: then the bit is put right. emptied: the node gets an empty
    directory and has to fetch everything; unless another one is still doing so, since what a
    majority has lost at the same time is lost."""

    name: ClassVar[str] = "damage"
    variants: ClassVar[tuple[str, ...]] = ("put-back", "emptied")
    often: ClassVar[tuple[str, ...]] = variants
    hold_s: ClassVar[tuple[float, float]] = (2.0, 5.0)
    steers: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Setting]] = {"segment_bytes": 64 * 1024}
    _victim = ""

    async def begin(self) -> str:
        target = self.rng.choice(["one", "leader"])
        (drawn,) = await pick(self.cluster, target, self.rng)
        worth = [node for node in (drawn, *self.cluster.node_ids) if self._is_worth(node)]
        if not worth:
            return "no node has anything to damage"
        (self._victim,) = self.victims = worth[:1]
        self.cluster.hardware.excused.add(self._victim)
        await self.cluster.kill(self._victim)
        self._segment, self._place = self._draw_bit()
        _flip(self._segment, self._place)
        self._log_before = _size(self.cluster.log_path(self._victim))
        await self.cluster.start(self._victim)
        return (
            f"bit {self._place % 8} of byte {self._place // 8} of {self._victim}'s oldest segment"
        )

    async def last(self, seconds: float) -> None:
        """It has to refuse in any case, unless another fault keeps it from doing anything; after
        that, the rest of the time."""
        if not self._victim:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        give_up = loop.time() + REFUSES_WITHIN_S
        state = self.cluster.state(self._victim)
        while state is ProcessState.RUNNING and loop.time() < give_up:
            await asyncio.sleep(0.01)
            state = self.cluster.state(self._victim)
        if state is ProcessState.RUNNING:
            self._complain("started from a damaged journal")
        elif state is ProcessState.DOWN and REFUSAL not in self._new_log():
            self._complain("did not say that its storage is damaged")
        await asyncio.sleep(max(0.0, until - loop.time()))

    async def end(self) -> None:
        if not self._victim:
            return
        await self.cluster.kill(self._victim)
        if self.variant == "emptied" and await self._others_have_data():
            shutil.rmtree(self.cluster.data_directory(self._victim))
            self.cluster.hardware.emptied.add(self._victim)
        else:
            _flip(self._segment, self._place)
        await self.cluster.start(self._victim)
        self.cluster.hardware.excused.discard(self._victim)

    async def _others_have_data(self) -> bool:
        """Whether the nodes that were emptied before vote again: then they have everything."""
        emptied = self.cluster.hardware.emptied
        deadline = asyncio.get_running_loop().time() + REJOINS_WITHIN_S
        while emptied - {self._victim}:
            roles = await self.cluster.roles()
            emptied -= {node for node, (role, _) in roles.items() if role != "learner"}
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _segments(self, node_id: str) -> list[Path]:
        return sorted(self.cluster.data_directory(node_id).glob("**/*.wal"))

    def _is_worth(self, node_id: str) -> bool:
        """Not so for a node that has only just been given an empty directory."""
        segments = self._segments(node_id)
        return len(segments) > 1 or any(_size(one) >= WORTH_BYTES for one in segments)

    def _draw_bit(self) -> tuple[Path, int]:
        """In the oldest segment; where only one is left, in its older half, which is followed by
        records that were written after it had been synced."""
        segments = self._segments(self._victim)
        size = _size(segments[0])
        return segments[0], self.rng.randrange(8 * (size if len(segments) > 1 else size // 2))

    def _new_log(self) -> str:
        with self.cluster.log_path(self._victim).open("rb") as log:
            log.seek(self._log_before)
            return log.read().decode(errors="replace")

    def _complain(self, what: str) -> None:
        self.cluster.hardware.complaints.append(f"{self._victim} {what}")


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)


def _size(path: Path) -> int:
    """Without the room that is reserved behind the records."""
    return len(path.read_bytes().rstrip(b"\0"))
