"""Comparing two checkouts: which figures are paired, and what a ratio and its interval say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.compare import Figure, Pair, figures, interval, main, measure, paired, table
from bench.errors import BenchError


def run(rate: float, p50_ms: float, error: str = "") -> dict[str, Any]:
    cycle = {"per_second": rate, "server_cores": 1.2}
    return {
        "scenarios": {
            "cycle": {
                "headline": "per_second",
                "higher_is_better": True,
                "rows": [{"label": "64 callers", "medians": cycle, "error": error}],
            },
            "commit": {
                "headline": "p50_ms",
                "higher_is_better": False,
                "rows": [{"label": "1 caller", "medians": {"p50_ms": p50_ms}, "error": ""}],
            },
        }
    }


def test_a_run_gives_its_headlines_and_the_processor_time_of_an_operation() -> None:
    assert list(figures(run(6_000, 1.5))) == [
        Figure("cycle", "64 callers", "per_second", 6_000, True),
        Figure("cycle", "64 callers", "server us", pytest.approx(200.0), False),
        Figure("commit", "1 caller", "p50_ms", 1.5, False),
    ]


def test_a_point_that_failed_ends_the_comparison() -> None:
    with pytest.raises(BenchError, match="cycle, 64 callers: no leader"):
        list(figures(run(1, 1, error="no leader")))


def test_above_one_is_better_in_both_directions() -> None:
    assert Pair(110, 100, True).ratio == pytest.approx(1.1)
    assert Pair(1.0, 1.1, False).ratio == pytest.approx(1.1)


def test_rounds_are_paired_and_what_only_one_has_is_left_out() -> None:
    ours = [list(figures(run(6_000, 1.5))), list(figures(run(5_000, 1.6)))]
    theirs = [list(figures(run(5_500, 1.4)))[:1], list(figures(run(5_600, 1.4)))]
    pairs = paired(ours, theirs)
    assert pairs["cycle", "64 callers", "per_second"] == [
        Pair(6_000, 5_500, True),
        Pair(5_000, 5_600, True),
    ]
    assert len(pairs["commit", "1 caller", "p50_ms"]) == 1


def test_the_interval_holds_the_median_and_not_the_outlier() -> None:
    ratios = [0.98, 0.99, 1.0, 1.0, 1.01, 1.01, 1.02, 0.4, 1.0]
    low, high = interval(ratios)
    assert 0.9 < low <= 1.0 <= high < 1.03
    assert (low, high) == interval(ratios)


def test_a_slower_checkout_is_told_apart() -> None:
    low, high = interval([0.90, 0.91, 0.89, 0.90, 0.92, 0.91, 0.90])
    assert high < 0.97, (low, high)


def test_the_table_shows_both_and_the_interval() -> None:
    rounds = [list(figures(run(rate, 1.5))) for rate in (6_000, 6_100, 6_200)]
    others = [list(figures(run(6_000, 1.5)))] * 3
    console = Console(width=150, file=io.StringIO(), record=True)
    console.print(table(paired(rounds, others)))
    text = console.export_text()
    assert "6,100" in text
    assert "1.017" in text
    assert "1.000 - 1.033" in text


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 2
    assert "no scripts/bench" in capsys.readouterr().err


def test_each_checkout_measures_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what lies where the comparison was started, nor what PYTHONPATH names."""
    script = tmp_path / "scripts" / "bench"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        'printf \'{"cwd": "%s", "path": "%s"}\' "$PWD" "$PYTHONPATH" >"$last"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert measure(tmp_path, ["--rounds", "1"]) == {"cwd": str(tmp_path), "path": ""}


def test_a_checkout_that_measures_nothing_is_told(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "bench"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho no disk >&2\n")
    script.chmod(0o755)
    with pytest.raises(BenchError, match="measured nothing:\nno disk"):
        measure(tmp_path, [])
