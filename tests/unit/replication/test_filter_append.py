"""What a follower's filter makes of an append."""

from __future__ import annotations

import pytest

from coord.replication.errors import DivergenceError
from coord.replication.message_filter import Answer, Append, PeerFlow, examine_append


class Log:
    """Terms of entries, from `first` on."""

    def __init__(self, *terms: int, first: int = 1) -> None:
        self.terms = terms
        self.first_index = first
        self.last_index = first + len(terms) - 1

    def term_at(self, index: int) -> int | None:
        inside = self.first_index <= index <= self.last_index
        return self.terms[index - self.first_index] if inside else None


def append(prev: int, prev_term: int, *terms: int, commit: int = 0, term: int = 9) -> Append:
    return Append(term, prev, prev_term, commit, [(t, b"\x00%d" % i) for i, t in enumerate(terms)])


def test_new_entries_pass_with_the_commit_index_clamped_to_them() -> None:
    verdict = examine_append(append(2, 1, 1, 2, commit=99), Log(0, 1), 1)
    assert verdict.answer is None
    assert verdict.to_engine["prevLogIdx"] == 2
    assert verdict.to_engine["prevLogTerm"] == 1
    assert verdict.to_engine["entries"] == [(b"\x000", 3, 1), (b"\x001", 4, 2)]
    assert verdict.to_engine["commit_index"] == 4


def test_entries_that_match_are_never_cut_off() -> None:
    """The second, shorter batch of two that a reset caused (A5): everything in it is here."""
    verdict = examine_append(append(1, 0, 1, 1, commit=2), Log(0, 1, 1, 1, 1), 1)
    assert "prevLogIdx" not in verdict.to_engine
    assert verdict.to_engine["commit_index"] == 2
    assert verdict.answer == Answer(4, True, False)


def test_the_matching_prefix_is_stripped() -> None:
    verdict = examine_append(append(1, 0, 1, 1, 3), Log(0, 1, 1, 2, 2), 2)
    assert verdict.to_engine["prevLogIdx"] == 3
    assert [entry[1:] for entry in verdict.to_engine["entries"]] == [(4, 3)]


def test_a_gap_is_answered_with_the_end_of_the_log_and_moves_no_commit_index() -> None:
    verdict = examine_append(append(9, 1, 1, commit=9), Log(0, 1), 1)
    assert verdict.answer == Answer(3, False, True)
    assert verdict.to_engine == {"type": "append_entries", "term": 9, "commit_index": 1}


def test_a_conflict_backs_off_by_a_whole_term() -> None:
    verdict = examine_append(append(6, 5, 5, commit=6), Log(0, 1, 3, 3, 3, 3), 2)
    assert verdict.answer == Answer(3, False, True)
    assert verdict.to_engine["commit_index"] == 2


def test_a_conflict_never_backs_off_below_what_is_committed() -> None:
    verdict = examine_append(append(6, 5), Log(0, 3, 3, 3, 3, 3), 4)
    assert verdict.answer == Answer(5, False, True)


def test_an_append_below_the_base_of_the_log_matches_up_to_it() -> None:
    log = Log(2, 2, first=10)
    below = examine_append(append(5, 1, 1, 1), log, 10)
    assert below.answer == Answer(8, True, False)
    across = examine_append(append(8, 2, 2, 2, 2, 3), log, 10)
    assert across.to_engine["prevLogIdx"] == 11
    assert [entry[1:] for entry in across.to_engine["entries"]] == [(12, 3)]


def test_a_contradiction_of_something_committed_stops_the_node() -> None:
    with pytest.raises(DivergenceError):
        examine_append(append(2, 2), Log(0, 1, 1), 2)
    with pytest.raises(DivergenceError):
        examine_append(append(1, 0, 2, 2), Log(0, 1, 1), 2)


def test_a_heartbeat_about_nothing_changes_nothing() -> None:
    verdict = examine_append(append(0, 0), Log(0, 1, 1), 2)
    assert verdict.to_engine == {"type": "append_entries", "term": 9, "commit_index": 2}
    assert verdict.answer == Answer(1, True, False)


def test_one_reset_is_honoured_for_all_appends_in_flight() -> None:
    flow = PeerFlow()
    for number in range(1, 5):
        flow.sent(number, 100, 0)
    assert flow.judge(2, Answer(3, False, True), 0, 50) == Answer(3, False, True)
    assert flow.in_flight_bytes == 0
    assert flow.judge(3, Answer(3, False, True), 0, 50) is None
    assert flow.judge(4, Answer(3, False, True), 0, 50) is None
    flow.sent(5, 100, 0)
    assert flow.judge(5, Answer(3, False, True), 0, 50) == Answer(3, False, True)


def test_a_reset_never_goes_below_what_is_known_to_match() -> None:
    flow = PeerFlow()
    flow.sent(1, 100, 0)
    assert flow.judge(1, Answer(3, False, True), 10, 50) == Answer(11, False, True)


def test_an_answer_to_nothing_or_beyond_the_log_is_ignored() -> None:
    flow = PeerFlow()
    flow.sent(1, 100, 0)
    assert flow.judge(2, Answer(3, True, False), 0, 50) is None
    assert flow.judge(0, Answer(3, True, False), 0, 50) is None
    assert flow.judge(1, Answer(52, True, False), 0, 50) is None
    assert flow.judge(1, Answer(51, True, False), 0, 50) == Answer(51, True, False)


def test_an_answer_frees_the_room_of_all_before_it() -> None:
    flow = PeerFlow()
    for number in range(1, 5):
        flow.sent(number, 100, 0)
    flow.answered(3)
    assert flow.in_flight == [(4, 100)]
    assert flow.in_flight_bytes == 100
