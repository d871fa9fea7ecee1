"""How the benchmark puts on load and takes latencies."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from bench.drivers.base import payload
from bench.errors import BenchError
from bench.job import Job, Outcome, latency_figures, percentile
from bench.killer import distribution, gap_of_each_kill
from bench.load import arrivals, closed_loop, counted, open_loop


class Server:
    """Answers one request after another, each taking `service_s`."""

    def __init__(self, service_s: float) -> None:
        self._service_s = service_s
        self._turn = asyncio.Lock()
        self.served = 0

    async def __call__(self, _: int) -> int:
        async with self._turn:
            await asyncio.sleep(self._service_s)
            self.served += 1
            return 1


def nothing() -> None:
    """Nobody is told that the measured part begins."""


@pytest.mark.parametrize(
    ("values", "permille", "expected"),
    [
        ([1.0], 500, 1.0),
        ([1.0, 2.0], 500, 1.0),
        ([1.0, 2.0, 3.0], 500, 2.0),
        ([float(i) for i in range(1, 1001)], 990, 990.0),
        ([float(i) for i in range(1, 1001)], 999, 999.0),
        ([1.0, 9.0], 999, 9.0),
    ],
)
def test_percentile_is_by_nearest_rank(values: list[float], permille: int, expected: float) -> None:
    assert percentile(values, permille) == expected


def test_latency_figures_are_milliseconds() -> None:
    assert latency_figures([0.002, 0.001]) == {
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "p999_ms": 2.0,
        "max_ms": 2.0,
    }
    assert latency_figures([]) == {}


def test_a_job_survives_its_way_to_the_client() -> None:
    job = Job("etcd", "put", "x", {"leader": "h:1"}, callers=7, rate=1.5)
    assert Job.from_json(job.to_json()) == job


async def test_closed_loop_counts_only_what_ends_inside_the_window() -> None:
    server = Server(0.01)
    begun: list[int] = []
    outcome = await closed_loop(server, 4, 0.1, 0.3, lambda: begun.append(server.served))
    assert begun, "nobody was told that the measured part begins"
    assert begun[0] > 0, "nothing was done during the warm-up"
    assert 0 < outcome.units <= server.served - begun[0]
    assert outcome.operations == outcome.units
    assert outcome.per_second == pytest.approx(outcome.units / 0.3)
    # Four callers share one server: each waits for the three others.
    assert outcome.latencies["p50_ms"] >= 35
    assert 9 <= outcome.longest_gap_ms < 300


async def test_closed_loop_sees_a_gap() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def stalls_once(_: int) -> int:
        since = loop.time() - start
        await asyncio.sleep(0.25 if 0.1 < since < 0.15 else 0.005)
        return 1

    outcome = await closed_loop(stalls_once, 1, 0.05, 0.5, nothing)
    assert outcome.longest_gap_ms >= 240
    begin_s, length_ms = max(outcome.gaps, key=lambda gap: gap[1])
    assert length_ms == pytest.approx(outcome.longest_gap_ms, abs=0.01)
    assert 0.03 < begin_s < 0.15


def test_each_kill_has_the_longest_gap_that_began_before_the_next() -> None:
    gaps = [(0.1, 900.0), (1.01, 30.0), (1.2, 80.0), (2.9, 20.0), (3.02, 60.0), (4.9, 700.0)]
    assert gap_of_each_kill([1.0, 3.0], gaps, 4.5) == [80.0, 60.0]
    with pytest.raises(BenchError, match=r"went on after the kill at 4\.6 s"):
        gap_of_each_kill([1.0, 4.6], gaps, 4.8)


def test_the_distribution_of_gaps() -> None:
    found = distribution([float(i) for i in range(100, 0, -1)])
    assert found == {
        "gap_min_ms": 1.0,
        "gap_p50_ms": 50.0,
        "gap_p90_ms": 90.0,
        "gap_p99_ms": 99.0,
        "gap_worst_ms": 100.0,
        "kills": 100,
    }


async def test_open_loop_counts_the_wait_that_a_stall_causes() -> None:
    """A server that stands still once makes all later requests wait: a closed loop would see one
    slow request, the open loop sees them all."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    turn = asyncio.Lock()

    async def stalls_once(_: int) -> int:
        async with turn:
            if 0.1 < loop.time() - start < 0.2:
                await asyncio.sleep(0.4)
            return 1

    outcome = await open_loop(stalls_once, 200, 0.05, 0.5, 1, nothing)
    assert outcome.unfinished == 0
    assert outcome.latencies["p50_ms"] > 50


async def test_open_loop_keeps_its_rate() -> None:
    async def at_once(_: int) -> int:
        return 1

    outcome = await open_loop(at_once, 500, 0.1, 1.0, 3, nothing)
    expected = sum(moment >= 0.1 for moment in arrivals(500, 1.1, 3))
    assert outcome.operations == expected
    assert expected == pytest.approx(500, rel=0.2)


def test_arrivals_repeat_and_lie_on_milliseconds() -> None:
    moments = arrivals(1000, 0.5, 9)
    assert moments == arrivals(1000, 0.5, 9)
    assert moments != arrivals(1000, 0.5, 10)
    assert moments == sorted(moments)
    assert all(abs(moment * 1000 - round(moment * 1000)) < 1e-6 for moment in moments)


async def test_counted_does_exactly_so_many() -> None:
    server = Server(0.0)
    outcome = await counted(server, 3, 10, nothing)
    assert (server.served, outcome.units, outcome.operations) == (10, 10, 10)


async def test_an_error_of_one_caller_ends_the_measurement() -> None:
    async def fails(caller: int) -> int:
        if caller == 2:
            raise BenchError("it is gone")
        await asyncio.sleep(0.01)
        return 1

    with pytest.raises(BenchError, match="it is gone"):
        await closed_loop(fails, 3, 0.0, 5.0, nothing)


def test_rate_of_an_outcome() -> None:
    assert Outcome(30, 2.0, 30, {}).per_second == 15.0
    assert Outcome(0, 0.0, 0, {}).per_second == 0.0


def test_payloads_repeat_and_do_not_compress() -> None:
    job = Job("redis", "put", "x", payload_bytes=16_384)
    assert len(payload(job)) == 16_384
    assert payload(job) == payload(job)
    assert len(zlib.compress(payload(job))) >= 16_384
