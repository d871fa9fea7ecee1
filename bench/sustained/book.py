"""What clients were told, line by line, in a file per process; and all of it read together.

Tasks have numbers, 0 and up, in the order in which they were due. Moments are seconds of the
machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

NEVER = math.inf
NOBODY = 0  # no fencing token; those of a cluster begin at 1


class Book:
    """Written by one process."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="ascii")

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def submitted(self, number: int, due: float, at: float) -> None:
        """The cluster has accepted it."""
        self._file.write(f"submitted {number} {due:.6f} {at:.6f}\n")

    def refused(self, number: int) -> None:
        """It certainly was not accepted."""
        self._file.write(f"refused {number}\n")

    def unsure(self, number: int) -> None:
        """It may have been accepted."""
        self._file.write(f"unsure {number}\n")

    def ended(self, number: int, state: str, token: int) -> None:
        """So the cluster says of a task it had accepted. `token` is in the result."""
        self._file.write(f"ended {number} {state} {token}\n")

    def gone(self, number: int) -> None:
        """The cluster does not know a task it had accepted."""
        self._file.write(f"gone {number}\n")

    def committed(self, number: int, token: int, at: float) -> None:
        """A worker's result is the task's result."""
        self._file.write(f"committed {number} {token} {at:.6f}\n")

    def maybe_committed(self, number: int, token: int, at: float) -> None:
        """A worker does not know whether it is."""
        self._file.write(f"maybe {number} {token} {at:.6f}\n")


@dataclass(slots=True)
class Ledger:
    """All books of a run. Columns by task number, so that millions of tasks fit in memory."""

    due: array[float] = field(default_factory=lambda: array("d"))
    accepted_at: array[float] = field(default_factory=lambda: array("d"))
    committed_at: array[float] = field(default_factory=lambda: array("d"))
    told_token: array[int] = field(default_factory=lambda: array("q"))  # by a worker
    kept_token: array[int] = field(default_factory=lambda: array("q"))  # by the cluster
    refused: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    ended_otherwise: dict[int, str] = field(default_factory=dict)
    again: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    maybe: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Ledger:
        ledger = cls()
        for path in paths:
            with path.open(encoding="ascii") as lines:
                for line in lines:
                    ledger.take(line.split())
        return ledger

    def take(self, words: list[str]) -> None:
        """One line of a book."""
        kind, number = words[0], int(words[1])
        self._reach(number)
        match kind:
            case "submitted":
                self.due[number], self.accepted_at[number] = float(words[2]), float(words[3])
            case "committed":
                self._committed(number, int(words[2]), float(words[3]))
            case "ended" if words[2] == "COMPLETED":
                self.kept_token[number] = int(words[3])
            case "ended":
                self.ended_otherwise[number] = words[2]
            case "maybe":
                self.maybe[number].add(int(words[2]))
                # If so, not later than this.
                self.committed_at[number] = min(self.committed_at[number], float(words[3]))
            case "gone":
                self.gone.add(number)
            case "refused":
                self.refused.add(number)
            case "unsure":
                self.unsure.add(number)
            case _:
                raise ValueError(f"no line of a book: {' '.join(words)}")

    def accepted(self) -> list[int]:
        """Numbers of the tasks whose submit was acknowledged."""
        return [number for number, at in enumerate(self.accepted_at) if at < NEVER]

    def _committed(self, number: int, token: int, at: float) -> None:
        if self.told_token[number] != NOBODY:
            self.again[number].append(token)
            return
        self.told_token[number] = token
        self.committed_at[number] = min(self.committed_at[number], at)

    def _reach(self, number: int) -> None:
        missing = number + 1 - len(self.due)
        if missing > 0:
            for times in (self.due, self.accepted_at, self.committed_at):
                times.extend([NEVER] * missing)
            for tokens in (self.told_token, self.kept_token):
                tokens.extend([NOBODY] * missing)
