"""`python -m chaos.nodes FOLDER`: see the package."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from chaos.nodes.clocks import BentClock, BentEventLoop
from chaos.nodes.control import MachineFaults, add_note, read_faults, write_seen
from chaos.nodes.disk import FaultyDisk
from coord.node.config import load_config
from coord.node.node import Hardware
from coord.node.serve import run

LOOK_EVERY_S = 0.01


class SteeredMachine:
    """Disk and clocks as the file in `folder` says; a thread looks at it again and again, so that
    neither a busy event loop nor a bent clock keeps a fault from beginning or ending."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number, self._faults = -1, MachineFaults()
        self._loop: BentEventLoop | None = None
        self.monotonic = BentClock(time.monotonic_ns, continuous=True)
        self.wall = BentClock(time.time_ns, continuous=False)
        self.disk = FaultyDisk(lambda: self._faults, lambda note: add_note(folder, note))
        self._look()
        threading.Thread(target=self._look_on, name="chaos-faults", daemon=True).start()

    def make_loop(self) -> BentEventLoop:
        self._loop = BentEventLoop(self.monotonic)
        return self._loop

    def _look_on(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            self._look()

    def _look(self) -> None:
        number, faults = read_faults(self._folder)
        if number == self._number:
            return
        self._number, self._faults = number, faults
        self.monotonic.bend(faults.monotonic_ahead_ms, faults.monotonic_permille)
        self.wall.bend(faults.wall_ahead_ms, faults.wall_permille)
        if self._loop is not None:
            self._loop.wake()
        write_seen(self._folder, number)


def main(folder: Path) -> int:
    """Serve until told to stop; exit codes as of `coord serve`."""
    steered = SteeredMachine(folder)
    machine = Hardware(steered.disk, steered.monotonic.now_ns, steered.wall.now_ns)
    return run(load_config(config_file=folder / "node.toml"), machine, steered.make_loop)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
