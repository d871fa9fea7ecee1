"""Bounded log lines: a burst, then a steady rate, and a count of what was left out."""

from __future__ import annotations

from typing import Any

import pytest

from coord.ratelimit import MAX_KINDS, LogLimiter


class Time:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_one_line_each_interval() -> None:
    time = Time()
    limiter = LogLimiter(time, burst=3, interval_s=10.0)
    assert [limiter.admit("a") for _ in range(5)] == [0, 0, 0, None, None]
    time.now += 9.9
    assert limiter.admit("a") is None
    time.now += 0.2
    assert limiter.admit("a") == 3
    assert limiter.admit("a") is None
    time.now += 1_000.0
    assert [limiter.admit("a") for _ in range(4)] == [1, 0, 0, None]


def test_a_flood_of_an_hour_leaves_few_lines_and_none_is_uncounted() -> None:
    time = Time()
    limiter = LogLimiter(time, burst=5, interval_s=10.0)
    lines, left_out = 0, 0
    for _ in range(360_000):
        time.now += 0.01
        told = limiter.admit("handshake")
        if told is not None:
            lines, left_out = lines + 1, left_out + told
    time.now += 10.0
    left_out += limiter.overdue()["handshake"]
    assert lines <= 5 + 360 + 1
    assert lines + left_out == 360_000


def test_kinds_do_not_share_a_bucket() -> None:
    limiter = LogLimiter(Time(), burst=1)
    assert limiter.admit("a") == 0
    assert limiter.admit("a") is None
    assert limiter.admit("b") == 0


def test_the_end_of_a_flood_is_told_once() -> None:
    time = Time()
    limiter = LogLimiter(time, burst=1, interval_s=10.0)
    for _ in range(8):
        limiter.admit("a")
    assert limiter.overdue() == {}, "no line may be logged yet"
    time.now += 11.0
    assert limiter.overdue() == {"a": 7}
    time.now += 11.0
    assert limiter.overdue() == {}


def test_a_line_says_how_many_were_left_out() -> None:
    time = Time()
    limiter = LogLimiter(time, burst=1, interval_s=10.0)
    lines: list[tuple[str, dict[str, Any]]] = []

    def report(event: str, **fields: Any) -> None:
        lines.append((event, fields))

    for number in range(3):
        limiter.log(report, "refused", kind="stranger", number=number)
    limiter.log(report, "refused", number=3)
    time.now += 10.0
    limiter.log(report, "refused", kind="stranger", number=4)
    assert lines == [
        ("refused", {"number": 0}),
        ("refused", {"number": 3}),
        ("refused", {"number": 4, "suppressed": 2}),
    ]


def test_the_number_of_kinds_is_bounded() -> None:
    time = Time()
    limiter = LogLimiter(time, burst=1)
    limiter.admit("first")
    limiter.admit("first")
    for number in range(MAX_KINDS * 3):
        time.now += 0.001
        limiter.admit(f"kind {number}")
    assert len(limiter._buckets) == MAX_KINDS
    assert limiter.admit("first") is None, "what has something to tell is kept"


@pytest.mark.parametrize(("burst", "interval_s"), [(0, 1.0), (1, 0.0), (1, -1.0)])
def test_a_limiter_that_lets_nothing_through_is_a_mistake(burst: int, interval_s: float) -> None:
    with pytest.raises(ValueError, match="at least one line"):
        LogLimiter(Time(), burst=burst, interval_s=interval_s)
