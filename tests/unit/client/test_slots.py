"""The slots of a worker, as its client counts them."""

from __future__ import annotations

from coord.client.tasks.slots import Key, Slots


def key(number: int) -> Key:
    return (f"t{number}", number)


def filled(total: int) -> Slots:
    slots = Slots(total)
    assert slots.state() == total
    for number in range(total):
        slots.fill(key(number))
    return slots


def test_a_slot_is_stated_once_and_again_when_its_task_is_settled() -> None:
    slots = filled(2)
    assert (slots.state(), slots.in_use) == (0, 2)
    leaving = slots.settle([key(0)])
    assert (slots.state(), slots.in_use) == (1, 1)
    slots.settled(leaving)
    assert slots.state() == 0


def test_with_as_many_results_unanswered_as_slots_the_next_waits_for_its_answer() -> None:
    slots = filled(1)
    first = slots.settle([key(0)])
    assert slots.state() == 1
    slots.fill(key(1))
    second = slots.settle([key(1)])
    assert slots.state() == 0, "no third task, while two results are unanswered"
    slots.settled(second)
    assert slots.state() == 1
    slots.fill(key(2))
    slots.settled(first)
    slots.settle([key(2)])
    assert slots.state() == 1


def test_a_kept_slot_is_free_when_that_is_said() -> None:
    slots = filled(1)
    slots.keep(key(0))
    slots.settled(slots.settle([key(0)]))
    assert (slots.state(), slots.in_use) == (0, 1)
    assert slots.leave(key(0))
    assert not slots.leave(key(0)), "one slot, freed twice"
    assert slots.state() == 1


def test_what_a_node_has_not_filled_is_stated_again_only_after_it_is_given() -> None:
    slots = Slots(3)
    slots.state()
    slots.fill(key(0))
    taken = slots.take_back()
    assert (taken, slots.state()) == (2, 0)
    slots.fill_taken(key(1))
    slots.give(taken - 1)
    assert (slots.state(), slots.in_use) == (1, 2)


def test_settling_what_has_no_slot_frees_none() -> None:
    slots = filled(1)
    slots.settled(slots.settle([key(7)]))
    assert slots.state() == 0
