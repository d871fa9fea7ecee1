"""What a worker has granted its node: slots, and sequences to claim under."""

from __future__ import annotations

import random

import pytest

from coord.rpc.streams.credit import MAX_CLAIMS, MAX_SEQUENCES, MAX_SLOTS, Credit, CreditError


def test_a_claim_takes_all_slots_under_the_lowest_sequence() -> None:
    credit = Credit()
    assert credit.next_claim() is None
    credit.grant(3, [])
    assert credit.next_claim() is None, "nothing to claim under"
    credit.grant(2, [4, 7])
    assert credit.next_claim() == (4, 5)
    assert credit.next_claim() is None, "no slot is open"
    credit.filled(4, 2)
    assert (credit.next_claim(), credit.slots) == ((7, 3), 3)


def test_an_untouched_sequence_is_the_first_to_be_used_again() -> None:
    credit = Credit()
    credit.grant(2, [1, 2, 3])
    assert credit.next_claim() == (1, 2)
    credit.grant(1, [])
    assert credit.next_claim() == (2, 1)
    credit.untouched(2)
    credit.untouched(1)
    assert credit.take_sequences() == [1, 2, 3]
    assert (credit.slots, credit.claims) == (3, 0)


def test_slots_that_become_free_wait_when_enough_claims_are_out() -> None:
    credit = Credit()
    credit.grant(0, range(1, 10))
    for number in range(MAX_CLAIMS):
        credit.grant(1, [])
        assert credit.next_claim() == (number + 1, 1)
    credit.grant(4, [])
    assert credit.next_claim() is None
    credit.filled(1, 1)
    assert credit.next_claim() == (MAX_CLAIMS + 1, 4)


@pytest.mark.parametrize(
    ("slots", "sequences", "field"),
    [
        (MAX_SLOTS, [], "free_slots"),
        (0, [5], "claim_sequences"),
        (0, [9, 8], "claim_sequences"),
        (0, range(6, 6 + MAX_SEQUENCES), "claim_sequences"),
    ],
)
def test_what_cannot_be_granted_is_refused_whole(
    slots: int, sequences: list[int], field: str
) -> None:
    credit = Credit()
    credit.grant(1, [5])
    with pytest.raises(CreditError) as refused:
        credit.grant(slots, sequences)
    assert refused.value.field == field
    assert (credit.slots, credit.take_sequences()) == (1, [5])


@pytest.mark.parametrize("seed", range(20))
def test_there_are_never_more_tasks_than_slots(seed: int) -> None:
    """Whatever the order in which slots come and claims end."""
    chance = random.Random(seed)
    credit, granted, tasks, sequence = Credit(), 0, 0, 0
    out: dict[int, int] = {}
    for _ in range(300):
        if chance.random() < 0.4 and credit.slots < 50:
            slots = chance.randrange(4)
            room = MAX_SEQUENCES - 4 - len(out)
            more = [sequence + n + 1 for n in range(min(room, chance.randrange(2)))]
            if len(credit.take_sequences()) > 3:  # the worker's again
                more = []
            sequence += len(more)
            credit.grant(slots, more)
            granted += slots
        while (claim := credit.next_claim()) is not None:
            assert claim[0] not in out
            out[claim[0]] = claim[1]
        if out and chance.random() < 0.6:
            ending = chance.choice(sorted(out))
            found = chance.randint(0, out.pop(ending))
            tasks += found
            credit.filled(ending, found)
        assert tasks + credit.slots == granted
        assert sum(out.values()) <= granted - tasks
