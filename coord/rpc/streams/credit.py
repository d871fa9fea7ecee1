"""What a worker has allowed its node to claim: free slots, and sequences to claim under.

    granted slots -> open -> in a claim -> filled by a task
                      ^         |
                      +- empty -+

A claim asks for all slots that are open and takes the lowest sequence; with as many claims out as
may be, slots that become free wait for the next one. So there are never more tasks on the way to a
worker than it has slots, however its messages and ours cross.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final

from coord.core.base.limits import LIMITS

MAX_SLOTS: Final = LIMITS.max_batch_items  # of a worker: so many tasks fit in one claim
MAX_SEQUENCES: Final = 16
# While one claim is on its way through the log, the slots that become free ride in the second.
MAX_CLAIMS: Final = 2


class CreditError(ValueError):
    """A worker stated what it cannot have. `field`: where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Credit:
    """The slots and sequences of one worker, and the claims they are in."""

    def __init__(self) -> None:
        self._open_slots = 0
        self._sequences: list[int] = []  # not used up and not in a claim, ascending
        self._claims: dict[int, int] = {}  # sequence -> slots
        self._last_sequence = 0

    @property
    def slots(self) -> int:
        """Slots that no task has filled."""
        return self._open_slots + sum(self._claims.values())

    @property
    def claims(self) -> int:
        """How many claims are out."""
        return len(self._claims)

    def grant(self, slots: int, sequences: Sequence[int]) -> None:
        """The worker states further ones. Raises CreditError; then nothing was taken."""
        if self.slots + slots > MAX_SLOTS:
            raise CreditError(
                "free_slots", f"free_slots come to {self.slots + slots}; allowed are {MAX_SLOTS}"
            )
        if len(self._sequences) + len(self._claims) + len(sequences) > MAX_SEQUENCES:
            raise CreditError("claim_sequences", f"more than {MAX_SEQUENCES} are not used up")
        last = self._last_sequence
        for sequence in sequences:
            if sequence <= last:
                raise CreditError(
                    "claim_sequences", f"{sequence} comes after {last}; they must ascend from 1"
                )
            last = sequence
        self._last_sequence = last
        self._sequences.extend(sequences)
        self._open_slots += slots

    def next_claim(self) -> tuple[int, int] | None:
        """(sequence, slots) of a claim that goes out now; None while there is none to make."""
        if not self._open_slots or not self._sequences or len(self._claims) >= MAX_CLAIMS:
            return None
        sequence, slots = self._sequences.pop(0), self._open_slots
        self._open_slots = 0
        self._claims[sequence] = slots
        return sequence, slots

    def filled(self, sequence: int, tasks: int) -> None:
        """The claim brought so many tasks; its sequence is used up."""
        self._open_slots += self._claims.pop(sequence) - tasks

    def untouched(self, sequence: int) -> None:
        """Nothing was claimed under this sequence; it is the first to be used again."""
        self._open_slots += self._claims.pop(sequence)
        insort(self._sequences, sequence)

    def take_sequences(self) -> list[int]:
        """Those no claim has: they are the worker's again."""
        sequences, self._sequences = self._sequences, []
        return sequences
