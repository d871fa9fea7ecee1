"""Everything that can be measured, in the order in which it is shown."""

from __future__ import annotations

from bench.scenarios import (
    agents,
    availability,
    big_state,
    bounds,
    depth,
    end_to_end,
    load,
    memory,
    sizes,
    sustained,
    waiters,
)
from bench.scenarios.base import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *load.SCENARIOS,
        end_to_end.SCENARIO,
        sizes.SCENARIO,
        depth.SCENARIO,
        memory.SCENARIO,
        *availability.SCENARIOS,
        waiters.SCENARIO,
        sustained.SCENARIO,
        *big_state.SCENARIOS,
        agents.SCENARIO,
        bounds.SCENARIO,
    )
}
# Short, and what is most likely to be broken by a change.
QUICK = ("cycle", "batch", "commit", "unary", "lock")
