"""SortedKeys against the plainest thing that does the same: a sorted list."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.core.base import sorted_keys
from coord.core.base.sorted_keys import SortedKeys

KEYS = st.integers(0, 60)
STEPS = st.lists(st.tuples(st.sampled_from(["next", "add", "remove", "pop"]), KEYS), max_size=150)
BOUND = st.none() | st.integers(-1, 61)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few keys fill many. (The compiled form cannot be changed from outside.)"""
    monkeypatch.setattr(sorted_keys, "_FULL", 3)


def built(
    steps: list[tuple[str, int]], *, ranks: bool = False
) -> tuple[SortedKeys[int], list[int]]:
    keys: SortedKeys[int] = SortedKeys()
    model: list[int] = []
    for what, key in steps:
        if what == "pop" and model:
            assert keys.pop_first() == model.pop(0)
        elif what == "remove" and key in model:
            keys.remove(key)
            model.remove(key)
        elif what == "add" and key not in model:
            keys.add(key)
            model = sorted([*model, key])
        elif what == "next" and (not model or model[-1] < 60):
            new = model[-1] + 1 if model else 0
            keys.add(new)
            model.append(new)
        assert len(keys) == len(model)
        if ranks:
            assert keys.rank(key) == bisect_left(model, key)
            assert keys.rank(61) == len(model)
        if model:
            assert (keys.first(), keys.last()) == (model[0], model[-1])
    return keys, model


@given(STEPS)
def test_holds_what_was_put_in_and_not_taken_out(steps: list[tuple[str, int]]) -> None:
    keys, model = built(steps)
    assert list(keys) == model
    assert [key for key in range(-1, 62) if key in keys] == model
    assert [keys.rank(key) for key in range(-1, 62)] == [
        bisect_left(model, key) for key in range(-1, 62)
    ]


@given(STEPS)
def test_ranks_are_right_after_every_change(steps: list[tuple[str, int]]) -> None:
    built(steps, ranks=True)


def test_a_rank_counts_keys_that_came_after_a_chunk_was_emptied() -> None:
    keys: SortedKeys[int] = SortedKeys()
    for key in range(4):
        keys.add(key)  # chunks of three and one
    keys.remove(0)
    assert keys.rank(3) == 2
    keys.remove(3)
    for key in range(4, 7):
        keys.add(key)
    assert [keys.rank(key) for key in (1, 2, 4, 5, 6, 7)] == [0, 1, 2, 3, 4, 5]


@given(STEPS, BOUND, BOUND, st.tuples(st.booleans(), st.booleans()), st.booleans())
def test_walks_intervals(
    steps: list[tuple[str, int]],
    low: int | None,
    high: int | None,
    inclusive: tuple[bool, bool],
    reverse: bool,
) -> None:
    keys, model = built(steps)

    def inside(key: int) -> bool:
        above = low is None or key > low or (inclusive[0] and key == low)
        below = high is None or key < high or (inclusive[1] and key == high)
        return above and below

    expected = [key for key in model if inside(key)]
    found = list(keys.between(low, high, inclusive, reverse))
    assert found == (expected[::-1] if reverse else expected)


@given(STEPS, st.sets(KEYS))
def test_takes_many_at_once(steps: list[tuple[str, int]], more: set[int]) -> None:
    keys, model = built(steps)
    new = more - set(model)
    keys.update(new)
    assert list(keys) == sorted(new | set(model))
    assert len(keys) == len(new) + len(model)


def test_what_is_not_there_is_not_removed() -> None:
    keys, _ = built([("next", 0)] * 7)
    keys.remove(3)
    for missing in (3, -1, 99):
        with pytest.raises(KeyError):
            keys.remove(missing)
    with pytest.raises(IndexError):
        SortedKeys[int]().pop_first()
    assert list(keys) == [0, 1, 2, 4, 5, 6]
