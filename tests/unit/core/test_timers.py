"""Timers: what is due comes out in order, whatever was armed, moved and disarmed before."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.core.base.build import COMPILED
from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.timers import TimerKind, Timers
from tests.support.core_time import FOREVER_MS

KINDS = (TimerKind.SESSION, TimerKind.TASK)


def drain(timers: Timers, now_ms: int) -> list[tuple[TimerKind, object]]:
    due = []
    while (key := timers.pop_due(now_ms)) is not None:
        due.append(key)
    return due


def places(timers: Timers) -> int:
    """What it holds, in memory."""
    crowds = [timers._near, timers._crowd, *timers._crowds.values()]
    return len(timers._order) + sum(map(len, timers._slots.values())) + sum(map(len, crowds))


def test_due_in_order_of_deadline_kind_and_id() -> None:
    timers = Timers()
    timers.arm(TimerKind.TASK, 2, 10)
    timers.arm(TimerKind.TASK, 1, 10)
    timers.arm(TimerKind.SESSION, 9, 10)
    timers.arm(TimerKind.TASK, 3, 5)
    timers.arm(TimerKind.TASK, 4, 11)
    assert timers.next_deadline_ms(FOREVER_MS) == 5
    assert drain(timers, 10) == [
        (TimerKind.TASK, 3),
        (TimerKind.SESSION, 9),
        (TimerKind.TASK, 1),
        (TimerKind.TASK, 2),
    ]
    assert timers.next_deadline_ms(FOREVER_MS) == 11


def test_nothing_armed_nothing_due() -> None:
    timers = Timers()
    timers.disarm(TimerKind.TASK, 1)
    assert timers.pop_due(10**12) is None
    assert timers.next_deadline_ms(FOREVER_MS) is None


def test_renewing_a_lease_does_not_grow_the_heap() -> None:
    timers = Timers()
    for now_ms in range(100_000):
        timers.arm(TimerKind.TASK, now_ms % 10, now_ms + 500)
    assert len(timers) == 10
    assert places(timers) < 50


def test_deadlines_that_come_nearer_do_not_pile_up() -> None:
    timers = Timers()
    for round_number in range(100_000, 0, -1):
        timers.arm(TimerKind.TASK, 1, round_number)
    assert places(timers) < 5_000
    assert drain(timers, 1) == [(TimerKind.TASK, 1)]
    assert drain(timers, 10**6) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arm", "arm", "disarm", "pop", "next", "look"]),
        st.sampled_from(KINDS),
        st.integers(0, 6),
        st.integers(0, 20) | st.sampled_from([60, 63, 64, 65, 130, 70_000]),
    ),
    max_size=80,
)


@pytest.mark.parametrize("bound", [0, 1, 3, 1_000])
@settings(deadline=None)
@given(STEPS)
def test_same_as_a_plain_dictionary(
    bound: int, steps: list[tuple[str, TimerKind, int, int]]
) -> None:
    """Whatever is sorted when it comes, or when its slot is opened."""
    timers, model = Timers(bound, bound), dict[tuple[TimerKind, int], int]()
    for what, kind, ident, at_ms in steps:
        if what == "arm":
            timers.arm(kind, ident, at_ms)
            model[kind, ident] = at_ms
        elif what == "disarm":
            timers.disarm(kind, ident)
            model.pop((kind, ident), None)
        elif what == "look":
            found, first = timers.next_deadline_ms(at_ms), min(model.values(), default=None)
            if first is None or first <= at_ms:
                assert found == first
            else:
                assert found is not None
                assert at_ms < found <= first
        elif what == "next":
            assert timers.next_deadline_ms(FOREVER_MS) == min(model.values(), default=None)
        else:
            due = sorted((at, key) for key, at in model.items() if at <= at_ms)
            assert drain(timers, at_ms) == [key for _, key in due]
            for _, key in due:
                del model[key]
        assert len(timers) == len(model)
        stale = sum(timers._filed[key] != at_ms for key, at_ms in model.items())
        assert timers._stale == stale <= bound


def test_what_was_disarmed_is_not_kept_until_its_time() -> None:
    """A busy half minute leaves nothing behind that would be thrown away all at once."""
    timers = Timers()
    for ident in range(20_000):
        timers.arm(TimerKind.TASK, ident, 30_000 + ident)
        if ident >= 100:
            timers.disarm(TimerKind.TASK, ident - 100)
        assert places(timers) < 2_000
    assert timers.next_deadline_ms(FOREVER_MS) == 30_000 + 19_900
    due = [timers.pop_due(100_000) for _ in range(100)]
    assert due == [(TimerKind.TASK, ident) for ident in range(19_900, 20_000)]
    assert timers.pop_due(100_000) is None


def test_what_was_renewed_is_moved_in_its_time_and_not_all_at_once() -> None:
    """Hundreds of leases that end in a second: a look before that leaves them where they are."""
    timers = Timers()
    for ident in range(500):
        timers.arm(TimerKind.TASK, ident, 1_000 + ident)
    for ident in range(500):
        timers.arm(TimerKind.TASK, ident, 50_000 + ident)
    assert 500 < (timers.next_deadline_ms(500) or 0) <= 1_000
    assert len(timers._near) == 0
    assert timers.pop_due(1_009) is None
    assert 10 <= sum(at_ms >= 50_000 for at_ms in timers._filed.values()) <= 64
    assert 1_009 < (timers.next_deadline_ms(1_009) or 0) <= 1_010
    assert timers.next_deadline_ms(FOREVER_MS) == 50_000


def test_nothing_takes_long_however_much_there_is_and_was() -> None:
    """Counted in places that a step can touch: many that stay, and as many that have gone."""
    timers = Timers()
    for ident in range(100_000):
        timers.arm(TimerKind.TASK, ident, 3_600_000 + ident)
    for ident in range(100_000):
        timers.disarm(TimerKind.TASK, ident)
        timers.arm(TimerKind.TASK, 100_000 + ident, 3_700_000 + ident)
        assert len(timers._near) == 0
    assert places(timers) < 110_000, "what was disarmed is gone, without a clearing-up"
    assert timers.pop_due(3_699_999) is None
    assert len(timers._near) < 64
    assert timers.pop_due(3_700_000) == (TimerKind.TASK, 100_000)
    assert len(timers._near) < 64


class Steps:
    """Counts what sorting, filing and taking out touch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("add", "remove", "pop_first"):
            self._count_calls(monkeypatch, name)
        update = SortedKeys.update

        def counted(keys: SortedKeys[object], more: list[object]) -> None:
            self.count += len(keys) + len(more)
            update(keys, more)

        monkeypatch.setattr(SortedKeys, "update", counted)

    def _count_calls(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        plain = getattr(SortedKeys, name)

        def counted(*arguments: object) -> object:
            self.count += 1
            return plain(*arguments)

        monkeypatch.setattr(SortedKeys, name, counted)

    def taken(self) -> int:
        """Since the last call."""
        count, self.count = self.count, 0
        return count


MANY = 100_000
MOST_STEPS = 8_000  # of a batch: some 4 ms in pure Python
needs_pure_python = pytest.mark.skipif(
    COMPILED, reason="compiled code does not call what a test set"
)


def most_steps(timers: Timers, steps: Steps, now_ms: int, expiries: int = 500) -> tuple[int, int]:
    """What is due comes out, `expiries` a batch: the largest batch's steps, and how many came."""
    worst, count, taken = 0, 0, expiries
    while taken == expiries:
        steps.taken()
        taken = 0
        while taken < expiries and timers.pop_due(now_ms) is not None:
            taken += 1
        timers.next_deadline_ms(now_ms)
        worst, count = max(worst, steps.taken()), count + taken
    return worst, count


@needs_pure_python
def test_many_renewed_leases_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, timers = Steps(monkeypatch), Timers()
    for at_ms in (1_000, 20_000, 50_000):
        steps.taken()
        for ident in range(MANY):
            timers.arm(TimerKind.TASK, ident, at_ms)
        assert steps.taken() <= 3 * MANY
        assert most_steps(timers, steps, at_ms - 1)[0] <= MOST_STEPS
    worst, count = most_steps(timers, steps, 60_000)
    assert count == MANY
    assert worst <= MOST_STEPS


@needs_pure_python
def test_many_tasks_that_begin_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, timers = Steps(monkeypatch), Timers()
    idents = list(range(MANY))
    Random(7).shuffle(idents)
    for ident in idents:
        timers.arm(TimerKind.TASK, ident, 1_000)
    steps.taken()
    assert timers.next_deadline_ms(999) in range(961, 1_001)
    assert timers.next_deadline_ms(1_000) == 1_000
    assert steps.taken() <= MOST_STEPS
    due = [timers.pop_due(1_000) for _ in range(500)]
    assert due == [(TimerKind.TASK, ident) for ident in range(500)]
    worst, count = most_steps(timers, steps, 1_000)
    assert count == MANY - 500
    assert worst <= MOST_STEPS


@needs_pure_python
def test_a_jump_over_many_crowded_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a rest in which nothing was proposed."""
    steps, timers = Steps(monkeypatch), Timers()
    for ident in range(MANY):
        timers.arm(TimerKind.TASK, ident, 1_000 + ident % 1_000)
    for ident in range(0, MANY, 2):
        timers.arm(TimerKind.TASK, ident, 50_000 + ident % 1_000)
    steps.taken()
    worst, count = most_steps(timers, steps, 10_000)
    assert count == MANY // 2
    assert worst <= MOST_STEPS
    steps.taken()
    for ident in range(0, MANY, 2):
        timers.disarm(TimerKind.TASK, ident)
    assert steps.taken() <= 2 * MANY
    assert (len(timers), places(timers)) == (0, 0)
