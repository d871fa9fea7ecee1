"""`coord serve` with a probe on its event loop: how long was the loop held up, and by whom?

    python -m bench.state.probed_node REPORT CONFIG

On SIGUSR1 the probe writes what it saw since the last time to REPORT (JSON) and begins anew. A gap
is the time by which a 1 ms sleep was late; `cpu_ms` is the processor time this process used in it
(`loop_ms`: the event loop's thread alone, the rest is disk work of other threads), so a gap in
which another process had the processor can be told from one of the node's own making.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import Any

from coord.node.config import load_config
from coord.node.node import Node
from coord.node.serve import run

_SLEEP_S = 0.001
_LONG_MS = 20.0
_SHOWN = 8


@dataclass
class Gaps:
    """Milliseconds. `long`: the longest gaps of more than 20 ms, (wall, cpu, loop)."""

    seconds: float = 0.0
    looks: int = 0
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    loop_ms: float = 0.0
    full_collections: int = 0
    collection_ms: float = 0.0  # the longest, of any generation
    rss_bytes: int = 0
    long: list[tuple[float, float, float]] = field(default_factory=list)


class Probe:
    """Runs beside a node on its event loop."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._gaps = Gaps()
        self._since = time.monotonic()
        self._collecting_since = 0.0
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        gc.callbacks.append(self._on_collection)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._write)
        self._watching = loop.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
            await asyncio.sleep(_SLEEP_S)
            late_ms = (time.perf_counter() - wall - _SLEEP_S) * 1e3
            # A sleep of 1 ms may take a timer tick longer without anybody's doing.
            cpu_ms = min(late_ms, (time.process_time() - cpu) * 1e3)
            own_ms = min(late_ms, (time.thread_time() - own) * 1e3)
            gaps = self._gaps
            gaps.looks += 1
            gaps.wall_ms = max(gaps.wall_ms, late_ms)
            gaps.cpu_ms = max(gaps.cpu_ms, cpu_ms)
            gaps.loop_ms = max(gaps.loop_ms, own_ms)
            if late_ms > _LONG_MS:
                longest = [*gaps.long, (round(late_ms, 1), round(cpu_ms, 1), round(own_ms, 1))]
                gaps.long = nlargest(_SHOWN, longest)

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_since = time.perf_counter()
            return
        took_ms = (time.perf_counter() - self._collecting_since) * 1e3
        self._gaps.collection_ms = max(self._gaps.collection_ms, took_ms)
        self._gaps.full_collections += info["generation"] == 2

    def _write(self) -> None:
        gaps, self._gaps = self._gaps, Gaps()
        now = time.monotonic()
        gaps.seconds, self._since = now - self._since, now
        gaps.rss_bytes = _rss_bytes()
        beside = self._report.with_suffix(".new")
        beside.write_text(json.dumps(asdict(gaps)), encoding="utf-8")
        os.replace(beside, self._report)


def _rss_bytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def main(report: str, config: str) -> int:
    """Serve with the probe until told to stop."""
    probe, start = Probe(Path(report)), Node.start

    async def start_with_probe(node: Node) -> None:
        probe.start()
        await start(node)

    Node.start = start_with_probe  # type: ignore[method-assign, assignment]
    return run(load_config({}, Path(config)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
