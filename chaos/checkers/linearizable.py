"""Is there one order of all operations, agreeing with real time, that one object could have had?
(Herlihy & Wing 1990; the search is Wing & Gong 1993 with the memory of visited states of Lowe.)

Verified: linearizability of each key on its own, which is linearizability of the whole (locality).
Unknown operations may take effect at any time after their call, or never. Not verified: anything
across keys. Time and memory are bounded; the verdict is "unknown" when a bound is hit.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from chaos.checkers.models import Model
from chaos.histories.history import Operation
from chaos.histories.verdicts import Verdict, worst


@dataclass(frozen=True, slots=True)
class Bounds:
    """`max_states`: visited (set, state) pairs kept for one key, at some hundred bytes each."""

    max_seconds: float = 60.0
    max_states: int = 2_000_000


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """For one key. `excerpt`: when False, the operations among which no order was found."""

    key: str | None
    valid: Verdict
    operations: int
    states_visited: int
    excerpt: tuple[Operation, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LinearizableVerdict:
    """False if any key is; else "unknown" if any key is."""

    valid: Verdict
    keys: tuple[KeyVerdict, ...] = field(default=())


def check(
    operations: Iterable[Operation],
    model: Model,
    bounds: Bounds | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> LinearizableVerdict:
    """Judge a history, key by key, within the bounds (shared by all keys)."""
    bounds = bounds or Bounds()
    deadline = clock() + bounds.max_seconds
    by_key: dict[str | None, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    verdicts = tuple(
        _Search(key, model, ops, bounds.max_states, deadline, clock).run()
        for key, ops in sorted(by_key.items(), key=lambda item: item[0] or "")
    )
    return LinearizableVerdict(worst(v.valid for v in verdicts), verdicts)


class _Entry:
    """A call or a return in the list of what has not been put in order yet."""

    __slots__ = ("bit", "following", "is_call", "operation", "partner", "previous")

    def __init__(self, operation: Operation | None, bit: int, *, is_call: bool) -> None:
        self.operation = operation
        self.bit = bit
        self.is_call = is_call
        self.partner: _Entry | None = None
        self.previous: _Entry = self
        self.following: _Entry | None = None

    def lift(self) -> None:
        """Take the call and its return out of the list."""
        self._unlink()
        if self.partner is not None:
            self.partner._unlink()

    def unlift(self) -> None:
        """Undo the last `lift`; only valid in reverse order of lifting."""
        if self.partner is not None:
            self.partner._relink()
        self._relink()

    def _unlink(self) -> None:
        self.previous.following = self.following
        if self.following is not None:
            self.following.previous = self.previous

    def _relink(self) -> None:
        self.previous.following = self
        if self.following is not None:
            self.following.previous = self


class _Search:
    """Depth-first search for an order, for one key."""

    CHECK_CLOCK_EVERY = 4_096

    def __init__(
        self,
        key: str | None,
        model: Model,
        operations: Sequence[Operation],
        max_states: int,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self._key, self._model = key, model
        self._operations = model.needed(operations)
        self._max_states, self._deadline, self._clock = max_states, deadline, clock
        self._head = _linked(self._operations)
        self._visited: set[tuple[int, Hashable]] = set()
        self._deepest: tuple[int, int, Operation | None] = (-1, 0, None)

    def run(self) -> KeyVerdict:
        model, visited = self._model, self._visited
        waiting = sum(op.returned is not None for op in self._operations)
        state, done = model.initial(), 0
        stack: list[tuple[_Entry, Hashable]] = []
        entry, steps = self._head.following, 0
        while waiting:
            steps += 1
            if steps % self.CHECK_CLOCK_EVERY == 0 and self._clock() > self._deadline:
                return self._verdict("unknown", reason="out of time")
            assert entry is not None  # a waiting operation's return is still in the list
            if entry.is_call:
                assert entry.operation is not None
                after = model.step(state, entry.operation)
                if after is not None and (done | entry.bit, after[0]) not in visited:
                    if len(visited) >= self._max_states:
                        return self._verdict("unknown", reason="too many states")
                    done |= entry.bit
                    visited.add((done, after[0]))
                    stack.append((entry, state))
                    state = after[0]
                    waiting -= entry.partner is not None
                    entry.lift()
                    entry = self._head.following
                else:
                    entry = entry.following
                continue
            # The next event is the return of an operation that could not be placed: go back.
            self._note_stuck(len(stack), done, entry)
            if not stack:
                return self._verdict(False, reason="no order agrees with real time")
            entry, state = stack.pop()
            done &= ~entry.bit
            waiting += entry.partner is not None
            entry.unlift()
            entry = entry.following
        return self._verdict(True)

    def _note_stuck(self, depth: int, done: int, entry: _Entry) -> None:
        if depth > self._deepest[0]:
            self._deepest = (depth, done, entry.operation)

    def _verdict(self, valid: Verdict, reason: str = "") -> KeyVerdict:
        return KeyVerdict(
            key=self._key,
            valid=valid,
            operations=len(self._operations),
            states_visited=len(self._visited),
            excerpt=self._excerpt() if valid is False else (),
            reason=reason,
        )

    def _excerpt(self) -> tuple[Operation, ...]:
        """The operation that could not be placed in the longest order found, what was under way
        at the same time, and the last few that were placed before it."""
        _, done, stuck = self._deepest
        assert stuck is not None and stuck.returned is not None  # noqa: PT018
        placed = [op for n, op in enumerate(self._operations) if done >> n & 1]
        before = [op for op in placed if op.returned is not None and op.returned < stuck.invoked]
        before.sort(key=lambda op: op.returned or 0)
        around = [
            op
            for op in self._operations
            if op.invoked <= stuck.returned
            and (op.returned is None or op.returned >= stuck.invoked)
        ]
        chosen = {op.id: op for op in (*before[-4:], *around)}
        return tuple(sorted(chosen.values(), key=lambda op: op.invoked))


def _linked(operations: Sequence[Operation]) -> _Entry:
    """The head of a list of calls and returns in order of time. Unknown operations never return."""
    events: list[tuple[int, _Entry]] = []
    for number, operation in enumerate(operations):
        call = _Entry(operation, 1 << number, is_call=True)
        events.append((operation.invoked, call))
        if operation.returned is not None:
            call.partner = _Entry(operation, call.bit, is_call=False)
            events.append((operation.returned, call.partner))
    events.sort(key=lambda event: event[0])
    head = last = _Entry(None, 0, is_call=False)
    for _, entry in events:
        last.following, entry.previous = entry, last
        last = entry
    return head
