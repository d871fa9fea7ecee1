"""Which fault comes when: drawn from the seed before the run, so that a seed names a schedule.

What a schedule meets is not the same twice - real processes take their own time - but the order,
the kinds, the targets and the times are."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chaos.nemeses import NEMESES
from coord.localcluster.launch import Setting

FIRST_QUIET_S = (1.0, 2.0)


class ScheduleError(ValueError):
    """The text names no nemesis; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One nemesis in one of its variants. `seed` is for its own draws."""

    nemesis: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.nemesis}:{self.variant}" if self.variant else self.nemesis


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault of one or more parts at the same time. Seconds; `start_s` from the run's start."""

    start_s: float
    hold_s: float
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)


@dataclass(frozen=True, slots=True)
class Spec:
    """What the user asked for: nemeses (with a variant or "") that come together."""

    parts: tuple[tuple[str, str], ...]


def steered(specs: Sequence[Spec]) -> bool:
    """Whether the nodes' disks and clocks must be such that they can be hurt."""
    return any(NEMESES[name].steers for spec in specs for name, _ in spec.parts)


def settings_for(specs: Sequence[Spec]) -> dict[str, Setting]:
    """What the nemeses need of every node."""
    return {
        setting: value
        for spec in specs
        for name, _ in spec.parts
        for setting, value in NEMESES[name].settings.items()
    }


def parse_specs(text: str, lacks: Collection[str] = ()) -> list[Spec]:
    """`kill,partition:halves,pause+delay`: `,` between alternatives, `+` between nemeses at the
    same time, `:` before a variant. "none" is no fault at all, "all" are those that need nothing
    that the run `lacks`. Raises ScheduleError."""
    if text.strip() in {"", "none"}:
        return []
    if text.strip() == "all":
        return [Spec(((name, ""),)) for name, one in NEMESES.items() if not one.needs & {*lacks}]
    specs = [
        Spec(tuple(_parse_one(one) for one in alternative.split("+")))
        for alternative in text.split(",")
    ]
    for name in (name for spec in specs for name, _ in spec.parts):
        if missing := NEMESES[name].needs & {*lacks}:
            raise ScheduleError(f"{name} needs what this run has not: {', '.join(sorted(missing))}")
    return specs


def _parse_one(text: str) -> tuple[str, str]:
    name, _, variant = text.strip().partition(":")
    nemesis = NEMESES.get(name)
    if nemesis is None:
        raise ScheduleError(f"no nemesis {name!r}; choose from: {', '.join(NEMESES)}, none, all")
    if variant and variant not in nemesis.variants:
        allowed = ", ".join(v for v in nemesis.variants if v) or "none"
        raise ScheduleError(f"{name} has no variant {variant!r}; it has: {allowed}")
    return name, variant


def plan(
    specs: Sequence[Spec],
    duration_s: float,
    seed: int,
    quiet_s: tuple[float, float],
    every_s: float = 0.0,
) -> list[Planned]:
    """Faults one after another, all over before `duration_s`: with quiet times between, or one
    `every_s` seconds."""
    rng = random.Random(f"{seed}/schedule")
    planned: list[Planned] = []
    bag: list[Spec] = []
    now = rng.uniform(*FIRST_QUIET_S)
    while specs and now < duration_s - 0.5:
        if not bag:
            bag = list(specs)
            rng.shuffle(bag)
        parts = tuple(_draw(name, variant, rng) for name, variant in bag.pop().parts)
        hold_s = max(rng.uniform(*NEMESES[part.nemesis].hold_s) for part in parts)
        next_s = now + every_s if every_s else now + hold_s + rng.uniform(*quiet_s)
        hold_s = min(hold_s, max(0.3, min(next_s, duration_s) - now - 0.3))
        planned.append(Planned(now, hold_s, parts))
        now = next_s
    return planned


def _draw(name: str, variant: str, rng: random.Random) -> Part:
    nemesis = NEMESES[name]
    drawn = rng.choice(nemesis.often or nemesis.variants)
    return Part(name, variant or drawn, rng.getrandbits(32))
