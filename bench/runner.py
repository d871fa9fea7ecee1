"""Takes the points in turns: in every round, every point, on every system, one after another, so
that what changes on the machine meanwhile hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.bench import Bench
from bench.errors import BenchError, NotAvailableError
from bench.results import Results, Sample
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System

Say = Callable[[str], None]


@dataclass(slots=True)
class Runner:
    """One run over these scenarios and systems. `say` gets a line per step."""

    bench: Bench
    scenarios: Sequence[Scenario]
    systems: Sequence[System]
    rounds: int
    results: Results
    say: Say

    def run(self) -> None:
        """Starts what is needed, measures, stops everything, also when interrupted."""
        with ExitStack() as stack:
            there = [system for system in self.systems if self._start(system, stack)]
            for number in range(1, self.rounds + 1):
                for point in self._points():
                    if point.once and number > 1:
                        continue
                    for system in there:
                        if point.suits(system):
                            self._measure(point, system, number)

    def _points(self) -> list[Point]:
        return [point for scenario in self.scenarios for point in scenario.points]

    def _start(self, system: System, stack: ExitStack) -> bool:
        """Whether it takes part. It is started only if something is measured on it as it runs."""
        suited = [point for point in self._points() if point.suits(system)]
        try:
            system.check()
            if not suited:
                self.results.not_run[system.label] = "none of the scenarios is for it"
                return False
            if not all(point.own for point in suited):
                self.say(f"starting {system.label}")
                stack.callback(system.stop)
                system.start(self.bench.new_directory(system.name))
            self.results.configurations[system.label] = system.configuration()
        except NotAvailableError as error:
            self.results.not_run[system.label] = str(error)
            return False
        except BenchError as error:
            self.results.not_run[system.label] = f"it did not start: {error}"
            return False
        return True

    def _measure(self, point: Point, system: System, number: int) -> None:
        self.say(f"round {number}/{self.rounds}: {point.scenario}: {system.label}")
        try:
            found = point.measure(self.bench, system)
        except BenchError as error:
            self.say(f"  {error}")
            self._keep(Sample(point.scenario, "(failed)", system.label, number, error=str(error)))
            return
        for label, metrics in found.items():
            self._keep(Sample(point.scenario, label, system.label, number, metrics))

    def _keep(self, sample: Sample) -> None:
        self.results.samples.append(sample)
