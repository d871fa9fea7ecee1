"""Judging a finished run, and its report: built from a made-up record."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from chaos.about import about_now
from chaos.histories.history import EventType, HistoryEvent
from chaos.histories.lateness import Lateness
from chaos.histories.recorder import HungCall
from chaos.histories.verdicts import Verdict
from chaos.report import png
from chaos.report.html import write_report
from chaos.report.png import write_pngs
from chaos.report.promises import PROMISES
from chaos.report.promises import WORKLOADS as SENTENCES
from chaos.report.svg import NARROW, log_share, nice_step
from chaos.run.faults import Fault
from chaos.run.judge import as_json, judge
from chaos.run.probe import Probe
from chaos.run.runner import RunOptions, RunRecord
from chaos.run.settle import CheckedAfter
from chaos.testbed.cluster import UnexpectedEnd, last_words
from chaos.workloads import WORKLOADS

SECOND = 1_000_000_000
AFTER = CheckedAfter(10 * SECOND, 12.0, {"n1": "x"}, "", (), True)


def event(i: int, kind: EventType, f: str, value: object, at_s: float) -> HistoryEvent:
    return HistoryEvent(i, 0, kind, f, "k<1>", value, int(at_s * SECOND), "register")


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """Ten seconds with a write, a right read, and a fault in which no write succeeded."""
    probe = Probe()
    probe.success_ns = [n * SECOND // 10 for n in range(100) if not 40 <= n < 62]
    events = [
        event(0, "invoke", "write", 1, 1.0),
        event(1, "ok", "write", 1, 1.01),
        event(2, "invoke", "read", None, 2.0),
        event(3, "ok", "read", 1, 2.2),
    ]
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "n1.log").write_text("[error    ] <b>loud</b>\nfine\n", encoding="utf-8")
    return RunRecord(
        options=RunOptions(1, ("register",), "kill", (), 10.0, 77, tmp_path),
        events=events,
        faults=[
            Fault("kill:one", 4 * SECOND, 5 * SECOND, "SIGKILL to n1"),
            Fault("pause:one", 8 * SECOND, 9 * SECOND, "SIGSTOP to n1"),
        ],
        probe=probe,
        hung=[],
        roles=[(0, {"n1": "leader"}), (5 * SECOND, {"n1": "down"})],
        load_ns=(0, 10 * SECOND),
        after=AFTER,
        interrupted=False,
    )


def test_a_good_run_is_valid_and_its_gaps_are_measured(record: RunRecord) -> None:
    judgement = judge(record)
    assert judgement.valid is True
    assert [effect.unavailable_ms for effect in judgement.effects] == [2_200, 0]
    assert judgement.availability.longest_ms == 2_300
    assert judgement.availability.share == pytest.approx(0.78)
    assert judgement.counts["register"] == {"ops": 2, "ok": 2, "fail": 0, "info": 0}


def test_results_have_the_agreed_keys(record: RunRecord) -> None:
    results = json.loads(json.dumps(as_json(judge(record), record, "chaos run --seed 77")))
    assert {"valid", "seed", "workloads", "faults", "longest_write_gap_ms"} <= results.keys()
    assert {"valid", "ops", "ok", "fail", "info"} <= results["workloads"]["register"].keys()
    assert {"name", "start_ns", "end_ns", "unavailable_ms"} <= results["faults"][0].keys()


@pytest.mark.parametrize(
    ("after", "hung", "promise"),
    [
        ({"write_after_heal_ms": None}, 0, "write after heal"),
        ({"digest_complaint": "states differ"}, 0, "equal states"),
        ({"unexpected_ends": (UnexpectedEnd("n1", 5, ("boom",)),)}, 0, "no node ended"),
        ({}, 1, "no call hung"),
    ],
)
def test_every_broken_promise_makes_the_run_invalid(
    record: RunRecord, after: dict[str, object], hung: int, promise: str
) -> None:
    record.after = replace(AFTER, **after)  # type: ignore[arg-type]
    record.hung = [HungCall(0, "register", "write", "k", 1)] * hung
    judgement = judge(record)
    assert judgement.valid is False
    assert [n for n, result in judgement.promises.items() if not result.valid] == [promise]


def test_the_report_is_one_file_with_everything_in_it(record: RunRecord, tmp_path: Path) -> None:
    record.events[3] = event(3, "ok", "read", 9, 2.2)
    judgement = judge(record)
    assert judgement.valid is False
    path = tmp_path / "report.html"
    write_report(path, record, judgement, "chaos run --seed 77")
    text = path.read_text(encoding="utf-8")
    assert 'class="gap long"' in text
    for part in ("INVALID", "--seed 77", "kill:one", "2.20 s", "read k&lt;1&gt; → 9", "p0"):
        assert part in text, part
    assert "&lt;b&gt;loud" in text
    assert "<b>loud" not in text
    assert text.count("<svg") == 11, "five plots for wide pages and for narrow ones, an anomaly"
    assert not any(foreign in text for foreign in ("src=", "href=", "@import", "url("))


def test_the_report_says_what_each_verdict_is_about_and_where_it_was_made(
    record: RunRecord, tmp_path: Path
) -> None:
    record.about = {"version": "coord-store 9.9", "machine": "2 cores", "date": "2026-01-01 12:00"}
    judgement = judge(record)
    write_report(tmp_path / "r.html", record, judgement, "chaos run")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for name in (*judgement.promises, *judgement.workloads):
        sentence = {**PROMISES, **SENTENCES}[name]
        assert escape(sentence) in text
        assert sentence.endswith(".")
    assert "coord-store 9.9 · 2 cores · 2026-01-01 12:00" in text
    for label in ("how long a call took", "calls that ended, a second", "length of a time without"):
        assert text.count(label) >= 2, "the axes have names, in both widths"
    assert "@media(max-width:620px)" in text
    assert f'viewBox="0 0 {NARROW} ' in text
    assert as_json(judgement, record, "chaos run")["about"] == record.about


def test_every_workload_and_every_promise_has_its_sentence(record: RunRecord) -> None:
    record.options = replace(record.options, min_available=0.1)
    assert set(SENTENCES) == set(WORKLOADS)
    assert set(PROMISES) == set(judge(record).promises)


def test_availability_is_told_apart_for_when_a_majority_was_left_alone(
    record: RunRecord, tmp_path: Path
) -> None:
    """Writes stop from 4.0 to 6.2 s; the first fault, from 4 to 5 s, hits a majority."""
    record.faults[1].majority_spared = True
    judgement = judge(record)
    assert (judgement.under.majority_hit, judgement.under.majority_hit_ms) == (0.0, 1_000)
    assert judgement.under.spared == pytest.approx(78 / 90)
    assert judgement.under.spared_ms == 9_000
    write_report(tmp_path / "r.html", record, judgement, "chaos run")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("of the 1.00 s with a majority hit", "of the 9.00 s with a majority left alone"):
        assert words in text
    assert "keeps writes out in every store" in text
    record.faults = []
    calm = judge(record)
    assert (calm.under.majority_hit, calm.under.majority_hit_ms) == (None, 0)
    write_report(tmp_path / "r.html", record, calm, "chaos run")
    assert "majority hit" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_a_run_was_made_with_is_known() -> None:
    about = about_now()
    assert list(about) == ["version", "machine", "system", "python", "date"]
    assert about["version"].startswith("coord-store ")
    assert "core" in about["machine"]


def test_a_run_without_faults_or_calls_still_has_a_report(
    record: RunRecord, tmp_path: Path
) -> None:
    record.events, record.faults, record.roles = [], [], []
    record.probe.success_ns = []
    judgement = judge(record)
    write_report(tmp_path / "r.html", record, judgement, "chaos run")
    assert judgement.availability.longest_ms == 10_000


def test_last_words_keep_the_errors_before_them() -> None:
    log = "\n".join(["[error    ] cause", *(f"line {n}" for n in range(50))])
    assert last_words(log)[0] == "[error    ] cause"
    assert last_words(log)[-1] == "line 49"
    assert last_words("") == ()


def test_scales() -> None:
    assert [nice_step(x) for x in (0.3, 1, 1.1, 4, 6, 30)] == [0.5, 1, 2, 5, 10, 50]
    assert (log_share(1, 1, 100), log_share(10, 1, 100), log_share(999, 1, 100)) == (0, 0.5, 1)


def test_the_main_plots_are_also_pictures(record: RunRecord, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    paths = write_pngs(tmp_path, record)
    assert [path.name for path in paths] == ["timeline.png", "latency.png", "throughput.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    calm = replace(record, faults=[])
    (tmp_path / "calm").mkdir()
    assert write_pngs(tmp_path / "calm", calm)[0].read_bytes() != paths[0].read_bytes()


def test_without_the_extra_there_are_no_pictures(
    record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png, "can_draw", lambda: False)
    assert write_pngs(tmp_path, record) == []


def test_a_majority_that_a_fault_spared_has_to_go_on(record: RunRecord) -> None:
    record.probe.success_ns = [n * SECOND // 10 for n in range(100) if not 20 <= n < 85]
    fault = Fault("lost-minority", 1 * SECOND, 9 * SECOND, "SIGKILL to n3", majority_spared=True)
    found = judge(replace(record, faults=[fault])).promises["a spared majority goes on"]
    assert found.valid is False
    assert "no write succeeded for 6600 ms during lost-minority" in found.anomalies[0]
    hit = replace(fault, majority_spared=False)
    assert judge(replace(record, faults=[hit])).promises["a spared majority goes on"].valid is True


def test_a_majority_may_take_longer_while_it_still_comes_back(record: RunRecord) -> None:
    """The nodes that an earlier fault ended have only just been started."""
    faults = [
        Fault("kill-all", 1 * SECOND, 2 * SECOND, "SIGKILL to all"),
        Fault("kill:one", 3 * SECOND, 25 * SECOND, "SIGKILL to n1", majority_spared=True),
    ]

    def verdict(*success_s: float) -> bool:
        record.probe.success_ns = [int(t * SECOND) for t in success_s]
        long = replace(record, faults=faults, load_ns=(0, 30 * SECOND))
        return bool(judge(long).promises["a spared majority goes on"].valid)

    assert verdict(0.5, 2.5, 8.5, 14.0, 19.0, 24.5)
    assert not verdict(0.5, 2.5, 9.5, 14.0, 19.0, 24.5), "it had come back"
    assert verdict(0.5, 9.5, 14.0, 19.0, 24.5), "it had not"
    assert not verdict(0.5, 24.5), "it never comes back"


def test_a_node_that_does_not_notice_its_faulty_disk_breaks_a_promise(record: RunRecord) -> None:
    after = replace(AFTER, disk_complaints=("n1 went on after a sync had failed",))
    found = judge(replace(record, after=after)).promises["faulty disks are noticed"]
    assert (found.valid, found.anomalies) == (False, after.disk_complaints)


LATE = Lateness(longest_ms=3_000)


@pytest.mark.parametrize(
    ("after", "hung", "verdict"),
    [
        ({"write_after_heal_ms": None}, 0, "unknown"),
        ({"digests": {}, "digest_complaint": "not level in time"}, 0, "unknown"),
        ({}, 1, "unknown"),
        ({"digest_complaint": "states differ"}, 0, False),
        ({"unexpected_ends": (UnexpectedEnd("n1", 5, ("boom",)),)}, 0, False),
    ],
)
def test_a_machine_that_is_late_excuses_what_came_late_and_nothing_else(
    record: RunRecord, after: dict[str, object], hung: int, verdict: Verdict
) -> None:
    record.after = replace(AFTER, **after)  # type: ignore[arg-type]
    record.hung = [HungCall(0, "register", "write", "k", 1)] * hung
    assert judge(replace(record, lateness=LATE)).valid == verdict
    assert judge(record).valid is False
    assert judge(replace(record, after=AFTER, hung=[], lateness=LATE)).valid is True


@pytest.mark.parametrize(("floor", "verdict"), [(0.78, True), (0.79, False)])
def test_a_run_may_have_to_be_available(record: RunRecord, floor: float, verdict: bool) -> None:
    record.options = replace(record.options, min_available=floor)
    judgement = judge(record)
    assert (judgement.valid, judgement.promises["available"].valid) == (verdict, verdict)
    complaint = f"writes succeeded in 78.0% of 100 ms windows, not in {floor:.1%}"
    assert judgement.promises["available"].anomalies == (() if verdict else (complaint,))
    assert judge(replace(record, lateness=LATE)).valid == (verdict or "unknown")


def test_nobody_asks_for_availability_unasked(record: RunRecord) -> None:
    record.probe.success_ns = []
    assert "available" not in judge(record).promises
