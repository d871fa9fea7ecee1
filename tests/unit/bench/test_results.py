"""Medians, ratios, tables, the plot, and which points run on which system."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from bench.bench import Bench, Metrics, Timing
from bench.cli import parse
from bench.errors import BenchError, NotAvailableError
from bench.results import Results, Sample
from bench.runner import Runner
from bench.scenarios import QUICK, SCENARIOS
from bench.scenarios.base import Point, Scenario
from bench.systems import PEERS
from bench.systems.base import System
from bench.table import show
from bench.text import number


def scenario(*points: Point, higher: bool = True) -> Scenario:
    return Scenario("s", "Some <work>", "per_second", "tasks/s", ("p50_ms",), points, higher)


def results_of(*samples: Sample) -> Results:
    return Results(["scripts/bench"], {"cores": 2}, samples=list(samples))


def sample(system: str, per_second: float, number: int = 1) -> Sample:
    return Sample("s", "row", system, number, {"per_second": per_second, "p50_ms": 1.0})


def test_medians_spread_and_ratio() -> None:
    results = results_of(
        *(sample("coord", v, i) for i, v in enumerate((300, 100, 900))),
        *(sample("etcd", v, i) for i, v in enumerate((100, 150, 50))),
    )
    ours, theirs = results.rows(scenario())
    assert (ours.medians["per_second"], ours.lowest, ours.highest) == (300, 100, 900)
    assert ours.ratio is None
    assert theirs.ratio == 3.0


def test_ratio_is_the_other_way_round_where_less_is_better() -> None:
    results = results_of(sample("coord", 2.0), sample("etcd", 6.0))
    assert [row.ratio for row in results.rows(scenario(higher=False))] == [None, 3.0]


def test_no_ratio_without_the_reference() -> None:
    [row] = results_of(sample("etcd", 6.0)).rows(scenario())
    assert row.ratio is None


def test_the_table_shows_failures_and_who_did_not_run() -> None:
    results = results_of(sample("coord", 1234.5), Sample("s", "x", "etcd", 1, error="it broke"))
    results.not_run["redis"] = "the program redis-server is not installed"
    out = io.StringIO()
    show(results, [scenario()], [], Console(file=out, width=150))
    text = out.getvalue()
    assert "1,234" in text
    assert "it broke" in text
    assert "redis: not run: the program redis-server is not installed" in text
    assert "reproduce: scripts/bench" in text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (5e4, "50,000")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


class FakeSystem(System):
    """Notes what is done to it."""

    name = "fake"
    operations = frozenset({"put"})

    def __init__(self, name: str, journal: list[str], trouble: Exception | None = None) -> None:
        self._label = name
        self._journal = journal
        self._trouble = trouble

    @property
    def label(self) -> str:
        return self._label

    def check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def start(self, directory: Path) -> None:
        self._journal.append(f"start {self.label}")

    def stop(self) -> None:
        self._journal.append(f"stop {self.label}")

    def connect(self) -> dict[str, str]:
        return {}

    def pids(self) -> list[int]:
        return []

    def configuration(self) -> str:
        return "as it is"


def runner(tmp_path: Path, systems: list[System], points: tuple[Point, ...]) -> Runner:
    return Runner(
        Bench(tmp_path, Timing()),
        [scenario(*points)],
        systems,
        2,
        results_of(),
        lambda _: None,
    )


def point(journal: list[str], name: str, operation: str = "put", *, once: bool = False) -> Point:
    def measure(_: Bench, system: System) -> Mapping[str, Metrics]:
        journal.append(f"{name} {system.label}")
        if name == "fails":
            raise BenchError("no answer")
        return {name: {"per_second": 1.0}}

    return Point("s", measure, frozenset({operation}), once=once)


def test_systems_take_turns_and_are_stopped(tmp_path: Path) -> None:
    journal: list[str] = []
    systems: list[System] = [FakeSystem("a", journal), FakeSystem("b", journal)]
    points = (point(journal, "x"), point(journal, "y"), point(journal, "z", "get"))
    run = runner(tmp_path, systems, points)
    run.run()
    one_round = ["x a", "x b", "y a", "y b"]
    assert journal == ["start a", "start b", *one_round, *one_round, "stop b", "stop a"]
    assert [s.round for s in run.results.samples] == [1] * 4 + [2] * 4


def test_what_is_long_is_measured_in_the_first_round_only(tmp_path: Path) -> None:
    journal: list[str] = []
    points = (point(journal, "x"), point(journal, "long", once=True))
    runner(tmp_path, [FakeSystem("a", journal)], points).run()
    assert journal == ["start a", "x a", "long a", "x a", "stop a"]


def test_a_system_that_is_not_installed_is_reported(tmp_path: Path) -> None:
    journal: list[str] = []
    missing = FakeSystem("b", journal, NotAvailableError("the program b is not installed"))
    run = runner(tmp_path, [FakeSystem("a", journal), missing], (point(journal, "x"),))
    run.run()
    assert run.results.not_run == {"b": "the program b is not installed"}
    assert journal == ["start a", "x a", "x a", "stop a"]


def test_a_failed_measurement_does_not_end_the_run(tmp_path: Path) -> None:
    journal: list[str] = []
    points = (point(journal, "fails"), point(journal, "x"))
    run = runner(tmp_path, [FakeSystem("a", journal)], points)
    run.run()
    assert [s.error for s in run.results.samples] == ["no answer", "", "no answer", ""]


def test_every_scenario_has_a_system_for_every_point() -> None:
    systems = [make() for make in PEERS.values()]
    for name, one in SCENARIOS.items():
        assert one.name == name
        for each in one.points:
            assert each.scenario == name
            assert any(each.suits(s) for s in systems) or "coord" in each.only, name
    assert set(QUICK) <= SCENARIOS.keys()


def test_options() -> None:
    options = parse(["--quick", "--peers", "etcd,redis", "--nodes", "3,5"])
    assert (options.scenarios, options.peers, options.nodes) == (QUICK, ("etcd", "redis"), (3, 5))
    assert options.rounds == 1
    assert parse(["--peers", "all"]).peers == tuple(PEERS)
    assert parse(["--full"]).timing.pending[-1] == 1_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        ["--peers", "oracle"],
        ["--scenario", ","],
        ["--nodes", "0"],
        ["--rounds", "0"],
        ["--duration", "-1"],
        ["--plot", "x.png"],
        ["--quick", "--full"],
        ["--from", "x.json", "--peers", "etcd"],
    ],
)
def test_wrong_usage_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(wrong)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err
