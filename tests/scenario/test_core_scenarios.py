"""Every file in tests/scenario/core: commands to the state machine and the traces they must give.

`pytest tests/scenario --rewrite` writes the traces anew; a diff you do not understand is not
committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.core_scenario import CoreScenario
from tests.support.scenario_files import Scenario, check, read_scenarios, rewrite

FILES = sorted((Path(__file__).parent / "core").glob("*.txt"))
SCENARIOS = [scenario for path in FILES for scenario in read_scenarios(path)]


@pytest.fixture(scope="session", autouse=True)
def _rewritten(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        for path in FILES:
            rewrite(path, lambda: CoreScenario().run)


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: f"{scenario.path.stem}: {scenario.title}"
)
def test_scenario(scenario: Scenario, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        pytest.skip("rewritten; run again without --rewrite")
    check(scenario, CoreScenario().run)


def test_there_are_scenarios_of_every_kind() -> None:
    verbs = {step.command.split()[0] for scenario in SCENARIOS for step in scenario.steps}
    assert len(SCENARIOS) >= 40
    assert verbs >= {
        "open", "keepalive", "close", "submit", "claim", "heartbeat", "complete", "fail",
        "release", "cancel", "retry", "redrive", "pause", "resume", "acquire", "unlock",
        "refresh", "cancel-wait", "put", "del", "txn", "compact",
    }  # fmt: skip
