"""What the demo shows while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from scripts.lib.demo_verdict import Verdict


class Screen:
    """Use as a context manager; `say` may be called at any time."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._begun = time.monotonic()
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, line: str, style: str = "") -> None:
        """One event with the time since the demo began."""
        self.console.print(Text(f"{time.monotonic() - self._begun:6.1f} s  {line}", style=style))

    def begin_stage(self, stage: str, tasks: int) -> None:
        if stage in self._bars:
            return
        self._bars[stage] = self._progress.add_task(stage, total=tasks, note="")
        self.say(f"stage {stage}: {tasks} tasks submitted")

    def update(self, completed: Mapping[str, int], notes: Mapping[str, str]) -> None:
        for stage, bar in self._bars.items():
            self._progress.update(bar, completed=completed.get(stage, 0), note=notes.get(stage, ""))

    def verdict(self, verdict: Verdict) -> None:
        """The facts the demo has computed, and whether it holds."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for name, value in _facts(verdict):
            table.add_row(name, Text(str(value)))
        self.console.print()
        self.console.print(table)
        self.console.print()
        for line in verdict.broken:
            self.console.print(Text(f"BROKEN: {line}", style="bold red"))
        if verdict.holds:
            self.console.print(
                Text("verdict: every task was committed exactly once", style="bold green")
            )
        else:
            self.console.print(Text("verdict: it does not hold", style="bold red"))


def _facts(verdict: Verdict) -> Sequence[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("tasks committed", f"{verdict.tasks_committed} of {verdict.tasks_expected}"),
        ("duplicates committed", verdict.duplicates_committed),
    ]
    if verdict.failover_ms is not None:
        facts += [
            ("attempts re-run", f"{verdict.attempts_rerun} because of the kills"),
            ("failover time", f"{verdict.failover_ms} ms without a successful write"),
            ("leader", f"{verdict.killed_node} killed, then {verdict.new_leader}"),
        ]
    else:
        facts.append(("attempts re-run", verdict.attempts_rerun))
    facts += [
        ("all nodes' states", "equal" if verdict.digests_equal else "DIFFERENT"),
        ("report", verdict.report),
        (
            "single process says",
            "the same, byte for byte" if verdict.report_matches else "SOMETHING ELSE",
        ),
    ]
    return facts
