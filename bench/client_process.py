"""The client process: a job on standard input; on standard output a line when the measured part
begins, and one with the outcome, or with an error, at the end. Connections stay open until standard
input ends, so that what serves them can still be looked at."""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from bench.drivers import make_driver
from bench.job import Job, Outcome
from bench.load import Operation, closed_loop, counted, open_loop


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _begun() -> None:
    say(phase="measuring")


async def _load(operation: Operation, job: Job) -> Outcome:
    if job.count:
        return await counted(operation, job.callers, job.count, _begun)
    if job.rate:
        return await open_loop(operation, job.rate, job.warmup_s, job.duration_s, job.seed, _begun)
    return await closed_loop(operation, job.callers, job.warmup_s, job.duration_s, _begun)


async def perform(job: Job) -> None:
    """Connect, put on the load, say what came of it, disconnect."""
    driver = make_driver(job.driver)
    try:
        await driver.open(job)
        outcome = await _load(driver.operation(job), job)
        say(outcome=outcome.to_dict())
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await driver.close()


def main() -> int:
    job = Job.from_json(sys.stdin.readline())
    try:
        uvloop.run(perform(job))
    except Exception as error:  # whatever it is, the one who waits for the outcome must know it
        say(error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
