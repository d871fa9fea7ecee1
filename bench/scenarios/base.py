"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.bench import Bench, Metrics
from bench.systems.base import System

Measure = Callable[[Bench, System], Mapping[str, Metrics]]


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement, repeated per round and system. `measure` returns its figures by the label of
    the row they belong to. `needs`: the operations a system must have to take part. `own`: it
    starts a system of its own, so nothing needs to be running. `only`: these systems alone.
    `once`: it is long, and measured in the first round only."""

    scenario: str
    measure: Measure
    needs: frozenset[str]
    own: bool = False
    only: frozenset[str] = frozenset()
    once: bool = False

    def suits(self, system: System) -> bool:
        return self.needs <= system.operations and (not self.only or system.name in self.only)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`headline` is the figure compared, `unit` what its numbers are, `columns` the other ones
    shown."""

    name: str
    title: str
    headline: str
    unit: str
    columns: tuple[str, ...]
    points: tuple[Point, ...]
    higher_is_better: bool = True
