"""Moments of several processes are put together in the order in which a put waits for them."""

from __future__ import annotations

from pathlib import Path

from bench.timeline.notes import Moment, Notes, read
from bench.timeline.steps import CHAIN, table


def moments(begun_us: int, who: str, *, late_us: int = 0) -> list[Moment]:
    """Of one put whose steps take 10 us each; a follower's are `late_us` later."""
    return [
        ((begun_us + 10 * (place + 1) + late_us) * 1000, name)
        for place, (owner, name, _) in enumerate(CHAIN)
        if owner == who
    ]


def put(begun_us: int) -> list[Moment]:
    return [(begun_us * 1000, "put"), *moments(begun_us, "client")]


def test_every_step_is_from_the_moment_before() -> None:
    followed, steps = table(
        put(0) + put(1_000),
        moments(0, "leader") + moments(1_000, "leader"),
        [moments(0, "follower") + moments(1_000, "follower")],
    )
    assert (followed, steps) == (2, [10.0] * len(CHAIN))


def test_the_first_follower_counts() -> None:
    followed, steps = table(
        put(0),
        moments(0, "leader"),
        [moments(0, "follower", late_us=5_000), moments(0, "follower")],
    )
    assert (followed, steps) == (1, [10.0] * len(CHAIN))


def test_a_put_of_which_a_moment_is_missing_is_left_out() -> None:
    leader = [moment for moment in moments(0, "leader") if moment[1] != "applied"]
    assert table(put(0), leader, [moments(0, "follower")]) == (0, [])


def test_methods_note_when_they_begin_and_end(tmp_path: Path) -> None:
    class Owner:
        def double(self, number: int) -> int:
            return 2 * number

    notes = Notes()
    notes.calls(Owner, "double", begun="begun", ended="ended")
    assert Owner().double(4) == 8
    assert [name for _, name in notes.moments] == ["begun", "ended"]
    notes.write(tmp_path / "notes.json")
    assert read(tmp_path / "notes.json") == notes.moments
    assert notes.moments[0][0] <= notes.moments[1][0]
