"""Table: canonical order, and views that stay as of their freeze."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.core.base.invariants import InvariantViolation
from coord.core.base.table import Budget, Row, Table, ViewGivenUpError


@dataclass(slots=True)
class Box:
    value: int


def make_table(rows: dict[int, int] | None = None) -> Table[int, Box]:
    table: Table[int, Box] = Table(
        "boxes", lambda key, box: (key, box.value), lambda row: (row[0], Box(row[1]))
    )
    for key, value in (rows or {}).items():
        table.insert(key, Box(value))
    return table


def read_all(table: Table[int, Box]) -> list[Row]:
    view = table.freeze()
    rows = []
    while chunk := view.next_rows(3):
        rows += chunk
    view.close()
    return rows


def test_walks_in_key_order() -> None:
    table = make_table({3: 30, 1: 10, 2: 20})
    assert list(table) == [1, 2, 3]
    assert [box.value for box in table.values()] == [10, 20, 30]
    assert list(table.keys_between(2, 3, inclusive=(True, True), reverse=True)) == [3, 2]
    assert table.rank(3) == 2


def test_missing_keys() -> None:
    table = make_table()
    assert table.get(1) is None
    with pytest.raises(KeyError):
        table.edit(1)
    with pytest.raises(KeyError):
        table.remove(1)


def test_insert_over_a_taken_key_is_a_violation() -> None:
    table = make_table({1: 10})
    with pytest.raises(InvariantViolation, match="inserted key is new"):
        table.insert(1, Box(11))


def test_views_do_not_disturb_each_other() -> None:
    table = make_table({1: 10, 2: 20})
    first = table.freeze()
    table.edit(2).value = 21
    second = table.freeze()
    table.edit(2).value = 22
    assert first.next_rows(5) == [(1, 10), (2, 20)]
    first.close()
    first.close()
    table.edit(1).value = 12
    assert second.next_rows(5) == [(1, 10), (2, 21)]
    second.close()
    assert read_all(table) == [(1, 12), (2, 22)]


def test_load_restores_rows() -> None:
    table = make_table({1: 10, 5: 50})
    copy = make_table()
    copy.load(read_all(table))
    assert read_all(copy) == [(1, 10), (5, 50)]


def test_view_is_untouched_by_later_changes() -> None:
    table = make_table({1: 10, 2: 20, 4: 40, 6: 60})
    view = table.freeze()
    table.edit(4).value = 41
    table.remove(2)
    table.insert(3, Box(30))
    table.insert(9, Box(90))
    assert view.next_rows(2) == [(1, 10), (2, 20)]
    table.insert(2, Box(22))  # behind the cursor by now
    table.remove(6)
    table.insert(6, Box(66))
    assert view.next_rows(10) == [(4, 40), (6, 60)]
    assert view.next_rows(10) == []
    view.close()
    assert read_all(table) == [(1, 10), (2, 22), (3, 30), (4, 41), (6, 66), (9, 90)]


KEYS = st.integers(0, 12)
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "edit", "replace", "remove", "read"]), KEYS, KEYS),
    max_size=60,
)


@given(st.dictionaries(KEYS, KEYS), STEPS, st.integers(1, 4))
def test_view_equals_a_copy_taken_at_the_freeze(
    rows: dict[int, int], steps: list[tuple[str, int, int]], slice_rows: int
) -> None:
    table = make_table(rows)
    expected = sorted(rows.items())
    view = table.freeze()
    seen: list[Row] = []
    for what, key, value in steps:
        if what == "read":
            seen += view.next_rows(slice_rows)
        elif what == "insert" and key not in table:
            table.insert(key, Box(value))
        elif what == "edit" and key in table:
            table.edit(key).value = value
        elif what == "replace" and key in table:
            table.replace(key, Box(value))
        elif what == "remove" and key in table:
            table.remove(key)
    while chunk := view.next_rows(slice_rows):
        seen += chunk
    view.close()
    assert seen == expected


def text_table(rows: int, size: int) -> Table[int, bytes]:
    table: Table[int, bytes] = Table("texts", lambda key, text: (key, text), tuple)
    for key in range(rows):
        table.insert(key, b"x" * size)
    return table


@pytest.mark.parametrize(("size", "most"), [(10, 64), (10_000, 27), (1_048_576, 1)])
def test_a_slice_is_bounded_by_bytes_too(size: int, most: int) -> None:
    table = text_table(70, size)
    view = table.freeze()
    slices = list(iter(lambda: view.next_rows(64), []))
    view.close()
    assert max(map(len, slices)) == most
    assert [row for rows in slices for row in rows] == [table.row(key) for key in range(70)]


def test_what_a_view_holds_of_changed_rows_is_bounded() -> None:
    table, other = text_table(100, 1_000), text_table(1, 1)
    budget = Budget(50_000)
    view, second = table.freeze(budget), other.freeze(budget)
    steady = table.freeze()
    assert view.next_rows(10) == [(key, b"x" * 1_000) for key in range(10)]
    for key in range(100):
        table.replace(key, b"y")
    assert budget.overdrawn
    assert not view._saved, "what nobody will read is not kept"
    for given_up in (view, second):
        with pytest.raises(ViewGivenUpError, match="50000 bytes"):
            given_up.next_rows(10)
    assert len(list(iter(lambda: steady.next_rows(64), []))) == 2
    steady.close()
    assert table._views == ()


def test_what_was_walked_over_counts_no_more() -> None:
    table = text_table(100, 1_000)
    budget = Budget(20_000)
    view = table.freeze(budget)
    seen = []
    for key in range(100):
        table.replace(key, b"y")
        if key % 10 == 9:
            seen += view.next_rows(10)
    assert seen == [(key, b"x" * 1_000) for key in range(100)]
    assert budget.held_bytes == 0


def test_looking_for_rows_is_bounded_too() -> None:
    """Very many keys may have come since, all in one place."""
    table = text_table(1, 1)
    table.insert(10**9, b"last")
    view = table.freeze()
    for key in range(1, 20_000):
        table.insert(key, b"new")
    assert view.look_for_rows(64) == [(0, b"x")]
    looks = 0
    while not (rows := view.look_for_rows(64)):
        looks += 1
        assert not view.done
        assert 20_000 - (looks + 1) * 2_000 < len(view._saved) < 20_000
    assert looks > 5
    assert rows == [(10**9, b"last")]
    assert view.look_for_rows(64) == []
    assert view.done
