"""Targets, the page and the plots: what is said of a run."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from bench.bench import Metrics
from bench.errors import BenchError
from bench.figures import CYCLE, END_TO_END, LOCK_SERIAL, Figures
from bench.report import ALL, Report, latency_plot, read
from bench.results import Results, Sample
from bench.targets import CLAIMS, judge

SVG = "{http://www.w3.org/2000/svg}"
SUSTAINED: Metrics = {
    "lost": 0,
    "drained_worst_s": 1.5,
    "memory_end_of_middle": 1.01,
    "seconds": 1_800,
    "rate": 1_157,
}


def cycle(system: str, per_second: float, p99_ms: float = 5.0, number: int = 1) -> Sample:
    metrics = {"per_second": per_second, "p50_ms": 1.0, "p99_ms": p99_ms, "p999_ms": 9.0}
    return Sample("cycle", CYCLE.label, system, number, metrics)


def results_of(*samples: Sample, command: str = "scripts/bench") -> Results:
    return Results([command], {"cores": 2}, {"coord": "3 nodes"}, {}, list(samples))


def verdicts(target: int, *samples: Sample) -> list[bool | None]:
    found = judge(Figures(results_of(*samples), ALL))
    return [finding.met for finding in found if finding.target == target]


def test_a_run_that_measured_nothing_of_a_target_says_so() -> None:
    assert {finding.met for finding in judge(Figures(results_of(), ALL))} == {None}
    assert sorted({claim.target for claim in CLAIMS}) == list(range(10))


def test_ratios_and_values_are_held_against_their_bounds() -> None:
    met = (cycle("coord", 2_100, p99_ms=10.0), cycle("etcd", 300), cycle("postgres", 700))
    assert verdicts(1, *met) == [True, True, True]
    missed = (cycle("coord", 2_099, p99_ms=10.1), cycle("etcd", 300), cycle("postgres", 700))
    assert verdicts(1, *missed) == [False, False, False]
    assert verdicts(1, cycle("coord", 2_100)) == [None, None, True]


def test_less_is_better_where_latency_is_compared() -> None:
    def lock(system: str, p50_ms: float) -> Sample:
        return Sample("lock", LOCK_SERIAL.label, system, 1, {"p50_ms": p50_ms})

    assert verdicts(5, lock("coord", 0.9), lock("etcd", 1.8)) == [None, True]
    assert verdicts(5, lock("coord", 1.8), lock("etcd", 0.9)) == [None, False]


def test_end_to_end_compares_the_best_of_each() -> None:
    def slots(system: str, count: int, per_second: float) -> Sample:
        return Sample("end-to-end", f"{count} slots", system, 1, {"per_second": per_second})

    samples = [slots("coord", 1, 100), slots("coord", 64, 900), slots("celery", 8, 90)]
    figures = Figures(results_of(*samples), ALL)
    assert figures.ratio(END_TO_END, "celery") == 10
    assert verdicts(3, *samples) == [None, True]


def test_depth_is_judged_by_the_worst_figure_of_a_million_tasks() -> None:
    def deep(pending: str, what: str, slower: float, **more: float) -> Sample:
        metrics = {"per_second": 1.0, "times_slower": slower} | more
        return Sample("depth", f"{pending} pending: {what}", "coord", 1, metrics)

    assert verdicts(7, deep("100,000", "x", 1.0, bytes_each=1.0)) == [None, None]
    samples = [deep("1,000,000", "x", 1.2, bytes_each=800.0), deep("1,000,000", "y", 1.4)]
    assert verdicts(7, *samples) == [True, True]
    assert verdicts(7, *samples, deep("1,000,000", "z", 1.6)) == [False, True]


def test_five_nodes_are_judged_by_the_slower_of_the_cycles() -> None:
    def of(label: str, share: float) -> Sample:
        metrics = {"per_second": 1.0, "of_smallest": share}
        return Sample("nodes", f"{label}: 5 nodes", "coord", 1, metrics)

    assert verdicts(8, of("a", 0.7), of("b", 0.6)) == [True]
    assert verdicts(8, of("a", 0.7), of("b", 0.5)) == [False]


def test_sustained_counts_at_its_full_length_only() -> None:
    def run(**changed: float) -> Sample:
        return Sample("sustained", "x", "coord", 1, SUSTAINED | changed)

    assert verdicts(9, run()) == [True, True, True]
    assert verdicts(9, run(drained_worst_s=11, memory_end_of_middle=1.2)) == [True, False, False]
    assert verdicts(9, run(seconds=60)) == [None, None, None]
    assert verdicts(9, run(rate=300)) == [None, None, None]


def test_lost_tasks_miss_the_target() -> None:
    failed = Sample("sustained", "(failed)", "coord", 1, error="2 tasks committed more than once")
    assert verdicts(9, failed) == [False, False, False]
    [finding, *_] = [f for f in judge(Figures(results_of(failed), ALL)) if f.target == 9]
    assert finding.shown == "failed: 2 tasks committed more than once"


def test_everything_is_written_and_can_be_put_together_again(tmp_path: Path) -> None:
    quiet = Console(file=io.StringIO(), width=150)
    first = results_of(cycle("coord", 800), cycle("etcd", 100), command="scripts/bench A")
    first.not_run["redis"] = "the program redis-server is not installed"
    Report(json=tmp_path / "a.json").make(first, quiet)
    second = results_of(
        cycle("coord", 1_000, number=2), Sample("sustained", "x", "coord", 1, SUSTAINED)
    )
    second.configurations["redis"] = "one server"
    Report(json=tmp_path / "b.json").make(second, quiet)

    both = read((tmp_path / "a.json", tmp_path / "b.json"))
    assert both.commands == ["scripts/bench A", "scripts/bench"]
    assert both.not_run == {}
    out = io.StringIO()
    report = Report(tmp_path / "c.json", tmp_path / "docs/page.md", tmp_path / "docs/img/b.svg")
    report.make(both, Console(file=out, width=150))
    assert "not met" not in out.getvalue()
    found = json.loads((tmp_path / "c.json").read_text())["targets"]
    [ratio] = [one for one in found if (one["target"], one["goal"]) == (1, ">= 7 x")]
    assert (ratio["measured"], ratio["met"]) == (9.0, True)
    page = (tmp_path / "docs/page.md").read_text()
    assert "](img/b.svg)" in page
    assert "](img/b-latency.svg)" in page
    assert "| 9 x (goal 7) |" in page
    assert "`scripts/bench A`" in page


@pytest.mark.parametrize("text", ["", "[", "{}", '{"commands": [], "environment": 3}'])
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BenchError):
        read((tmp_path / "x.json",))


def plots_of(results: Results, folder: Path) -> tuple[ET.Element, ET.Element]:
    plot = folder / "b.svg"
    Report(plot=plot).make(results, Console(file=io.StringIO()))
    return ET.parse(plot).getroot(), ET.parse(latency_plot(plot)).getroot()


def test_bars_show_ratios_on_both_sides_of_one(tmp_path: Path) -> None:
    results = results_of(cycle("coord", 400), cycle("etcd", 100), cycle("redis", 800))
    ratios, latencies = plots_of(results, tmp_path)
    faster, slower = [bar.attrib for bar in ratios.iter(f"{SVG}rect") if "fill" in bar.attrib]
    # On a scale of factors 4 times faster is twice as far from 1 as 2 times slower.
    assert float(faster["width"]) == pytest.approx(2 * float(slower["width"]), abs=0.2)
    one = float(faster["x"])
    assert float(slower["x"]) + float(slower["width"]) == pytest.approx(one, abs=0.2)
    texts = [text.text for text in ratios.iter(f"{SVG}text")]
    assert {"4 x", "0.50 x", "than etcd"} <= set(texts)
    assert len(list(latencies.iter(f"{SVG}circle"))) == 3 + 3 * 3


def test_plots_of_nothing_are_still_plots(tmp_path: Path) -> None:
    for plot in plots_of(results_of(cycle("coord", 1)), tmp_path):
        assert plot.tag == f"{SVG}svg"
