"""The linearizability checker against trying every order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.linearizable import check
from chaos.checkers.models import MODELS
from chaos.histories.history import Operation

MODEL = MODELS["cas-register"]


def every_order(ops: Sequence[Operation]) -> bool:
    """Deliberately dumb: every subset of the unknown ones, every permutation, checked directly."""
    known = [op for op in ops if op.returned is not None]
    unknown = [op for op in ops if op.returned is None]
    for size in range(len(unknown) + 1):
        for extra in itertools.combinations(unknown, size):
            if any(_fits(order) for order in itertools.permutations([*known, *extra])):
                return True
    return False


def _fits(order: Sequence[Operation]) -> bool:
    for earlier, later in itertools.combinations(order, 2):
        if later.returned is not None and later.returned < earlier.invoked:
            return False
    state: Any = MODEL.initial()
    for op in order:
        after = MODEL.step(state, op)
        if after is None:
            return False
        (state,) = after
    return True


@st.composite
def small_histories(draw: st.DrawFn) -> list[Operation]:
    ops = []
    for number in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, 9)) * 100 + number
        length = draw(st.one_of(st.none(), st.integers(1, 400)))
        f = draw(st.sampled_from(["read", "write", "cas"]))
        small = st.integers(0, 2)
        argument = {"read": None, "write": draw(small), "cas": [draw(small), draw(small)]}[f]
        result = draw(st.one_of(st.none(), small)) if f == "read" else argument
        end = None if length is None else start + length * 100 + 50 + number
        ops.append(Operation(number, number, f, "k", argument, result, start, end))
    return ops


@settings(max_examples=400, deadline=None)
@given(small_histories())
def test_same_verdict_as_every_order(ops: list[Operation]) -> None:
    reads_known = [op for op in ops if not (op.f == "read" and op.returned is None)]
    assert check(ops, MODEL).valid is every_order(reads_known)
