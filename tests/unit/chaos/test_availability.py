"""When the cluster took writes: the share of windows, and how long the gaps between were."""

from __future__ import annotations

from chaos.histories.availability import Availability, Bin, availability

MS = 1_000_000
STEADY = [(n * 40 + 20) * MS for n in range(250)]  # ten seconds


def without(since_ms: int, until_ms: int) -> Availability:
    """Steady writes, but none in this time."""
    kept = [t for t in STEADY if not since_ms * MS < t < until_ms * MS]
    return availability(kept, 0, 10_000 * MS)


def test_windows_without_a_write_are_no_share_of_availability() -> None:
    assert without(0, 0).share == 1.0
    assert without(2_000, 3_000).share == 0.9
    assert without(2_000, 3_020).share == 0.9
    assert without(2_000, 3_120).share == 0.89
    assert availability([], 0, 10_000 * MS).share == 0.0


def test_a_window_that_is_cut_off_counts_for_nothing() -> None:
    found = availability(STEADY, 0, 10_050 * MS)
    assert (found.windows, found.share) == (100, 1.0)
    assert availability([5 * MS], 0, 20 * MS).share == 1.0


def test_gaps_by_length() -> None:
    found = without(2_000, 3_000)
    assert (found.longest_ms, found.quantile_ms(0.5)) == (1_040, 40)
    assert found.histogram() == [
        Bin(0, 50, 225, 8_960),
        Bin(50, 100, 0, 0),
        Bin(100, 200, 0, 0),
        Bin(200, 500, 0, 0),
        Bin(500, 1_000, 0, 0),
        Bin(1_000, 2_000, 1, 1_040),
        Bin(2_000, 5_000, 0, 0),
        Bin(5_000, 10_000, 0, 0),
        Bin(10_000, None, 0, 0),
    ]
    assert sum(one.total_ms for one in found.histogram()) == 10_000
    assert availability([], 0, 60_000 * MS).histogram()[-1] == Bin(10_000, None, 1, 60_000)


def test_the_distribution_is_in_the_results() -> None:
    gaps = without(2_000, 3_000).as_json()["write_gaps"]
    assert (gaps["count"], gaps["p50_ms"], gaps["p99.9_ms"]) == (226, 40, 1_040)
    assert sum(one["count"] for one in gaps["histogram"]) == 226
