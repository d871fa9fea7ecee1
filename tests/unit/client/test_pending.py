"""Requests that share a stream: what each is told when the stream ends."""

from __future__ import annotations

import asyncio

import pytest

from coord.client.transport.errors import (
    CoordError,
    DeadlineError,
    OutcomeUnknownError,
    UnavailableError,
)
from coord.client.transport.pending import Pending


def written_and_not() -> Pending[str, str]:
    """Request 1 is on its way, request 2 is not written yet."""
    pending: Pending[str, str] = Pending()
    pending.add(1, "first")
    pending.add(2, "second")
    del pending.queue[1]
    return pending


async def end_of(pending: Pending[str, str], number: int, timeout_s: float = 10.0) -> CoordError:
    with pytest.raises(CoordError) as raised:
        await pending.wait(number, timeout_s)
    return raised.value


async def test_only_what_was_not_written_certainly_did_nothing() -> None:
    pending = written_and_not()
    ends = asyncio.gather(end_of(pending, 1), end_of(pending, 2))
    await asyncio.sleep(0)
    pending.end(OutcomeUnknownError("the stream broke", "OUTCOME_UNKNOWN"))
    sent, unsent = await ends
    assert isinstance(sent, OutcomeUnknownError)
    assert isinstance(unsent, UnavailableError)
    assert len(pending) == 0


async def test_the_same_when_time_is_over() -> None:
    pending = written_and_not()
    sent, unsent = await asyncio.gather(end_of(pending, 1, 0.01), end_of(pending, 2, 0.01))
    assert isinstance(sent, DeadlineError)
    assert isinstance(unsent, UnavailableError)


async def test_whoever_gives_up_learns_whether_it_was_written() -> None:
    pending = written_and_not()
    assert pending.drop(1)
    assert not pending.drop(2)
    assert not pending.drop(2)
