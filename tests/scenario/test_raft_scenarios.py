"""Every file in tests/scenario/raft: commands to real replicas and the traces they must give.

`pytest tests/scenario --rewrite` writes the traces anew; a diff you do not understand is not
committed. The commands are described in tests/support/raft_scenario.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.raft_scenario import COMMANDS, RaftScenario
from tests.support.scenario_files import Scenario, check, read_scenarios, rewrite

FILES = sorted((Path(__file__).parent / "raft").glob("*.txt"))
SCENARIOS = [scenario for path in FILES for scenario in read_scenarios(path)]


@pytest.fixture(scope="session", autouse=True)
def _rewritten(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        for path in FILES:
            rewrite(path, lambda: RaftScenario().run)


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: f"{scenario.path.stem}: {scenario.title}"
)
def test_scenario(scenario: Scenario, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        pytest.skip("rewritten; run again without --rewrite")
    check(scenario, RaftScenario().run)


def test_every_command_is_used() -> None:
    lines = [step.command for scenario in SCENARIOS for step in scenario.steps]
    commands = [part for line in lines for part in line.removeprefix("quiet ").split(" ; ")]
    assert {command.split()[0] for command in commands} == set(COMMANDS)
    assert len(SCENARIOS) >= 40


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("commit=2 applied=2", "commit=3 applied=3"),  # a value
        ("n1 applies 3/1 x\n", ""),  # something that was not expected happens
        ("n1 is LEADER", "n1 syncs\nn1 is LEADER"),  # something that was expected does not
    ],
)
def test_another_trace_is_told_with_its_place(right: str, wrong: str, tmp_path: Path) -> None:
    text = next(path for path in FILES if path.stem == "replication").read_text(encoding="utf-8")
    text += (FILES[0].parent / "election.txt").read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "changed.txt"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    scenarios = read_scenarios(path)
    failures = []
    for scenario in scenarios:
        try:
            check(scenario, RaftScenario().run)
        except AssertionError as error:
            failures.append(str(error))
    assert len(failures) == 1
    assert "changed.txt:" in failures[0]


def test_a_rewritten_file_is_the_file(tmp_path: Path) -> None:
    original = next(path for path in FILES if path.stem == "election")
    text = original.read_text(encoding="utf-8")
    path = tmp_path / "election.txt"
    commands = [line for line in text.splitlines() if not line.startswith(("n1 ", "n2 ", "n3 "))]
    path.write_text("\n".join(line for line in commands if line != "ok") + "\n", encoding="utf-8")
    rewrite(path, lambda: RaftScenario().run)
    assert path.read_text(encoding="utf-8") == text
