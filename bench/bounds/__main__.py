"""Write the tables of docs/limits.md: `python -m bench.bounds`.

The limits come from the code; the times are measured on this machine, which should be idle."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.bounds.measure import measure_all
from bench.bounds.page import rewritten
from bench.bounds.world import World
from bench.scenarios.bounds import KEYS, ROUNDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"


def main() -> None:
    console = Console(stderr=True)
    times = []
    for one in measure_all(World(KEYS), ROUNDS):
        times.append(one)
        console.print(f"{one.name}: {one.median_ms:.1f} ms")
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), times), encoding="utf-8")


if __name__ == "__main__":
    main()
