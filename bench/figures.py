"""The figures of a run by name, and the headlines: what is compared with others first of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results import REFERENCE, Results, Row
from bench.scenarios.base import Scenario


@dataclass(frozen=True, slots=True)
class Headline:
    """One row of a scenario; without a label the best row of each system. `figure` is what is
    compared, `less` = less of it is better."""

    title: str
    scenario: str
    label: str = ""
    figure: str = "per_second"
    less: bool = False


CYCLE = Headline("Task cycle, 1 task a call", "cycle", "64 callers, 1 task a call")
BATCH_32 = Headline("Task cycle, 32 tasks a call", "batch", "32 tasks a call, 16 callers")
BATCH_100 = Headline("Task cycle, 100 tasks a call", "batch", "100 tasks a call, 16 callers")
END_TO_END = Headline("End to end, no-op handlers", "end-to-end")
COMMIT = Headline("Durable write, latency", "commit", "put 100 B, 1 caller", "p50_ms", less=True)
LOCK = Headline("Lock + unlock, 32 callers", "lock", "32 callers")
LOCK_SERIAL = Headline("Lock + unlock, latency", "lock", "1 caller", "p50_ms", less=True)
GET = Headline("Linearizable get, 64 callers", "kv", "get, 64 callers")
GET_UNARY = Headline("Linearizable get, etcd's protocol", "unary", "64 callers, etcd's protocol")
HEADLINES = (
    *(CYCLE, BATCH_32, BATCH_100, END_TO_END, COMMIT),
    *(LOCK, LOCK_SERIAL, GET, GET_UNARY),
)


class Figures:
    """Medians of a run. None = not measured."""

    def __init__(self, results: Results, scenarios: Sequence[Scenario]) -> None:
        self._rows = {scenario.name: rows for scenario, rows in results.all_rows(scenarios)}

    def rows(self, scenario: str, system: str = REFERENCE) -> list[Row]:
        return [row for row in self._rows.get(scenario, []) if row.system == system]

    def value(
        self, scenario: str, label: str, figure: str, system: str = REFERENCE
    ) -> float | None:
        for row in self.rows(scenario, system):
            if row.label == label:
                return row.medians.get(figure)
        return None

    def errors(self, scenario: str) -> list[str]:
        """Why measurements of this store failed."""
        return [row.error for row in self.rows(scenario) if row.error]

    def of(self, headline: Headline, system: str = REFERENCE) -> float | None:
        if headline.label:
            return self.value(headline.scenario, headline.label, headline.figure, system)
        found = [
            row.medians[headline.figure]
            for row in self.rows(headline.scenario, system)
            if headline.figure in row.medians
        ]
        return max(found, default=None)

    def ratio(self, headline: Headline, peer: str) -> float | None:
        """How many times better this store is than `peer`."""
        ours, theirs = self.of(headline), self.of(headline, peer)
        if not ours or not theirs:
            return None
        return theirs / ours if headline.less else ours / theirs

    def peers(self) -> list[str]:
        """Other systems, in the order in which they were measured."""
        everybody = dict.fromkeys(row.system for rows in self._rows.values() for row in rows)
        return [name for name in everybody if not name.startswith(REFERENCE)]
