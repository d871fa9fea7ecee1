"""What was measured, and what follows from it: medians, spread, ratios."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.bench import Metrics
from bench.scenarios.base import Scenario

REFERENCE = "coord"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. `error`: why there are no metrics."""

    scenario: str
    label: str
    system: str
    round: int
    metrics: Metrics = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One system at one point over all rounds. `ratio`: how many times better the reference is at
    the headline figure, more than 1 = the reference is better; None = nothing to compare."""

    scenario: str
    label: str
    system: str
    rounds: int
    medians: Metrics
    lowest: float
    highest: float
    ratio: float | None
    error: str


@dataclass(slots=True)
class Results:
    """One run, or several put together. `not_run`: systems that could not take part, and why."""

    commands: list[str]
    environment: dict[str, Any]
    configurations: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def rows(self, scenario: Scenario) -> list[Row]:
        """In the order in which points and systems came up."""
        own = [sample for sample in self.samples if sample.scenario == scenario.name]
        made = []
        for label, system in dict.fromkeys((s.label, s.system) for s in own):
            samples = [s for s in own if (s.label, s.system) == (label, system)]
            base = [s for s in own if (s.label, s.system) == (label, REFERENCE)]
            made.append(_row(scenario, label, system, samples, base))
        labels = list(dict.fromkeys(row.label for row in made))
        return sorted(made, key=lambda row: labels.index(row.label))

    def all_rows(self, scenarios: Sequence[Scenario]) -> Iterator[tuple[Scenario, list[Row]]]:
        for scenario in scenarios:
            if rows := self.rows(scenario):
                yield scenario, rows

    @classmethod
    def from_dicts(cls, runs: Sequence[Mapping[str, Any]]) -> Results:
        """What `to_dict` has made of one or several runs."""
        found = cls([], dict(runs[0]["environment"]))
        for run in runs:
            found.commands += run["commands"]
            found.configurations |= run["configurations"]
            found.not_run |= run["not_run"]
            found.samples += [Sample(**sample) for sample in run["samples"]]
        found.not_run = {k: v for k, v in found.not_run.items() if k not in found.configurations}
        return found

    def to_dict(self, scenarios: Sequence[Scenario]) -> dict[str, Any]:
        return {
            "commands": self.commands,
            "environment": self.environment,
            "configurations": self.configurations,
            "not_run": self.not_run,
            "scenarios": {
                scenario.name: {
                    "title": scenario.title,
                    "headline": scenario.headline,
                    "unit": scenario.unit,
                    "higher_is_better": scenario.higher_is_better,
                    "rows": [dataclasses.asdict(row) for row in rows],
                }
                for scenario, rows in self.all_rows(scenarios)
            },
            "samples": [dataclasses.asdict(sample) for sample in self.samples],
        }


def medians(samples: Sequence[Sample]) -> Metrics:
    """Of each figure over the rounds that have it."""
    names = dict.fromkeys(name for sample in samples for name in sample.metrics)
    return {
        name: statistics.median(s.metrics[name] for s in samples if name in s.metrics)
        for name in names
    }


def _row(
    scenario: Scenario, label: str, system: str, samples: list[Sample], base: list[Sample]
) -> Row:
    good = [sample for sample in samples if not sample.error]
    values = [s.metrics[scenario.headline] for s in good if scenario.headline in s.metrics]
    middle = medians(good)
    return Row(
        scenario=scenario.name,
        label=label,
        system=system,
        rounds=len(good),
        medians=middle,
        lowest=min(values, default=0.0),
        highest=max(values, default=0.0),
        ratio=None if system == REFERENCE else _ratio(scenario, middle, medians(base)),
        error=next((sample.error for sample in samples if sample.error), ""),
    )


def _ratio(scenario: Scenario, other: Metrics, base: Metrics) -> float | None:
    ours, theirs = base.get(scenario.headline), other.get(scenario.headline)
    if not ours or not theirs:
        return None
    return ours / theirs if scenario.higher_is_better else theirs / ours
