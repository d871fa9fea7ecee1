"""The two ways to put load on a system, and how latency is taken in each.

Closed loop: a fixed number of callers; the rate follows from the latency. Open loop: work arrives
on a schedule of its own. There, latency counts from the moment an operation was due, so that time
in which the system made others wait is not left out ("coordinated omission").
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from bench.errors import BenchError
from bench.job import GAP_MS, Outcome, latency_figures

# Gets the caller's number, returns how many units (tasks, keys ...) it did.
Operation = Callable[[int], Awaitable[int]]
Begun = Callable[[], None]

MAX_IN_FLIGHT = 20_000
LONGEST_WAIT_S = 20.0


async def closed_loop(
    operation: Operation, callers: int, warmup_s: float, duration_s: float, begun: Begun
) -> Outcome:
    """Counts what ends between the end of the warm-up and `duration_s` later."""
    loop = asyncio.get_running_loop()
    opens = now() + warmup_s
    closes = opens + duration_s
    latencies: list[float] = []
    units = 0
    longest_ms, last_end = 0.0, opens
    gaps: list[tuple[float, float]] = []

    def succeeded(at: float) -> None:
        nonlocal longest_ms, last_end
        gap_ms = (at - last_end) * 1000
        longest_ms = max(longest_ms, gap_ms)
        if gap_ms >= GAP_MS:
            gaps.append((round(last_end - opens, 4), round(gap_ms, 2)))
        last_end = at

    async def caller(number: int) -> None:
        nonlocal units
        while (start := now()) < closes:
            done = await operation(number)
            end = now()
            if opens <= end < closes:
                units += done
                latencies.append(end - start)
                succeeded(end)

    work = [asyncio.ensure_future(caller(number)) for number in range(callers)]
    at_begin = loop.call_later(warmup_s, begun)
    try:
        await _all(work, closes - now() + LONGEST_WAIT_S)
    finally:
        at_begin.cancel()
    succeeded(closes)
    figures = latency_figures(latencies)
    return Outcome(units, duration_s, len(latencies), figures, longest_ms, gaps)


async def counted(operation: Operation, callers: int, operations: int, begun: Begun) -> Outcome:
    """So many operations by `callers` callers, without warm-up."""
    latencies: list[float] = []
    units = 0
    left = operations

    async def caller(number: int) -> None:
        nonlocal units, left
        while left > 0:
            left -= 1
            start = now()
            done = await operation(number)
            latencies.append(now() - start)
            units += done

    begun()
    start = now()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return Outcome(units, now() - start, len(latencies), latency_figures(latencies))


def now() -> float:
    """The event loop's own clock counts only milliseconds."""
    return time.perf_counter()


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments of a Poisson process, rounded up to whole milliseconds, which is how exactly the
    event loop's timer can keep them."""
    source = random.Random(seed)
    moments: list[float] = []
    at = source.expovariate(rate)
    while at < seconds:
        moments.append(-(-at // 0.001) * 0.001)
        at += source.expovariate(rate)
    return moments


async def paced(
    moments: Sequence[float],
    begin: Callable[[int, float], Coroutine[Any, Any, None]],
    longest_wait_s: float,
) -> None:
    """Begins something at each of the moments (seconds from now on), whether or not what came
    before has ended: `begin` gets its number and moment. What has not ended `longest_wait_s` after
    the last one is cancelled; the first error ends everything."""
    zero = now()
    running: set[asyncio.Future[None]] = set()
    for number, due in enumerate(moments):
        if (ahead := zero + due - now()) > 0:
            await asyncio.sleep(ahead)
        if len(running) >= MAX_IN_FLIGHT:
            raise BenchError(f"more than {MAX_IN_FLIGHT} operations under way")
        task = asyncio.ensure_future(begin(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await _all(list(running), longest_wait_s, cut=True)


async def open_loop(
    operation: Operation, rate: float, warmup_s: float, duration_s: float, seed: int, begun: Begun
) -> Outcome:
    """Latencies of the operations that were due inside the window."""
    loop = asyncio.get_running_loop()
    zero = now()
    latencies: list[float] = []
    finished_in_window = 0

    async def one(number: int, due: float) -> None:
        nonlocal finished_in_window
        done = await operation(number)
        end = now() - zero
        if due >= warmup_s:
            latencies.append(end - due)
        if warmup_s <= end < warmup_s + duration_s:
            finished_in_window += done

    moments = arrivals(rate, warmup_s + duration_s, seed)
    zero = now()  # making the moments took its time
    at_begin = loop.call_later(warmup_s, begun)
    try:
        await paced(moments, one, LONGEST_WAIT_S)
    finally:
        at_begin.cancel()
    unfinished = sum(due >= warmup_s for due in moments) - len(latencies)
    figures = latency_figures(latencies)
    return Outcome(finished_in_window, duration_s, len(latencies), figures, unfinished=unfinished)


async def _all(
    work: Sequence[asyncio.Future[None]], timeout_s: float, *, cut: bool = False
) -> None:
    """Until all are done; the first error ends the rest. With `cut`, so does the time-out."""
    done, pending = await asyncio.wait(work, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    for task in done:
        task.result()
    if pending and not cut:
        raise BenchError(f"{len(pending)} operations did not end within {LONGEST_WAIT_S:.0f} s")
