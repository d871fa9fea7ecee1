"""How the harness steers a node's machine: by a file in the node's folder, replaced as a whole.

The node looks at it all the time and answers with the number it has seen, so the harness knows from
when on a fault holds. A file outlives the process: a disk that was full still is after a restart.
What a faulty disk did to its node is noted in a third file, which outlives it too."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FAULTS, SEEN, NOTES = "faults.json", "faults.seen", "faults.notes"
NORMAL_PERMILLE = 1_000


@dataclass(frozen=True, slots=True)
class MachineFaults:
    """What is wrong with a node's disk and clocks.

    `power_cut_permille`: during the next sync of a file, this share of what is unsynced reaches the
    disk, then the process is killed; None: no cut. `monotonic_ahead_ms` only ever grows: such a
    clock does not go back. `_permille`: how fast a clock runs, 1000 = as it should."""

    sync_delay_ms: int = 0
    sync_fails: bool = False
    disk_full: bool = False
    power_cut_permille: int | None = None
    monotonic_ahead_ms: int = 0
    monotonic_permille: int = NORMAL_PERMILLE
    wall_ahead_ms: int = 0
    wall_permille: int = NORMAL_PERMILLE


def write_faults(folder: Path, number: int, faults: MachineFaults) -> None:
    """For the node of this folder. `number` grows with every change."""
    _replace(folder / FAULTS, json.dumps({"number": number, **asdict(faults)}))


def read_faults(folder: Path) -> tuple[int, MachineFaults]:
    """The last ones; none if nothing was ever written."""
    try:
        values = json.loads((folder / FAULTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0, MachineFaults()
    number = int(values.pop("number"))
    return number, MachineFaults(**values)


def write_seen(folder: Path, number: int) -> None:
    """The node's answer: these faults hold now."""
    _replace(folder / SEEN, str(number))


def read_seen(folder: Path) -> int:
    try:
        return int((folder / SEEN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0


def add_note(folder: Path, note: str) -> None:
    """Something happened to the node's disk. It survives whatever happens to the process next."""
    descriptor = os.open(folder / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{note}\n".encode())
    finally:
        os.close(descriptor)


def read_notes(folder: Path) -> list[str]:
    try:
        return (folder / NOTES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
