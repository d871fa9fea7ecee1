"""When a replica takes a snapshot by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coord.replication.snapshot_exchange import FEWEST_ENTRIES
from tests.support.replica_world import ReplicaWorld


class World(ReplicaWorld):
    """One node alone, that commits what it proposes; `taken`: snapshots that were begun."""

    def __init__(self) -> None:
        self.taken = 0
        super().__init__(1)
        self.tick(5.0)
        self.sync()

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self.taken += 1

    def grow(self, entries: int) -> None:
        """In portions, as the number of entries under way is bounded."""
        while entries > 0:
            portion = min(entries, 1_000)
            for _ in range(portion):
                self.replica.propose(b"x" * 10)
            self.sync()
            while self.replica.engine.applied_index < self.replica.journal.last_index:
                self.tick()
            entries -= portion
        self.tick()


def test_a_small_state_is_written_after_few_entries() -> None:
    """Else the node would apply a long log again whenever it starts."""
    world = World()
    world.grow(FEWEST_ENTRIES - 100)
    assert world.taken == 0
    world.grow(200)
    assert world.taken == 1


@pytest.mark.parametrize(("large_bytes", "expected"), [(1_000, 1), (1 << 30, 0)])
def test_a_large_state_only_when_the_log_has_grown_as_much(large_bytes: int, expected: int) -> None:
    world = World()
    world.replica.snapshots._taker.bytes_taken = large_bytes  # of the one before
    world.grow(FEWEST_ENTRIES + 100)
    assert world.taken == expected
