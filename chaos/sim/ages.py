"""What nodes say of the age of their states, held against what was acknowledged when.

A node that says "at most so old" promises that everything that was acknowledged before that is
applied there. It is asked all the time, also while it is stalled, cut off, or leads no more without
knowing it: a caller might ask in that moment.
"""

from __future__ import annotations

from bisect import bisect_left

from chaos.sim.base_node import SimNode
from chaos.sim.invariants import Violation
from chaos.sim.plan import MAX_RATE


class Ages:
    """The acknowledgements of one run, in order of time."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._highest: list[int] = []  # index acknowledged until then
        self.told = 0  # how many ages were looked at

    def acknowledged(self, index: int, now_s: float) -> None:
        """Somebody was told that this entry is committed."""
        self._times.append(now_s)
        self._highest.append(max(index, self._highest[-1] if self._highest else 0))

    def look(self, node: SimNode, now_s: float) -> None:
        """Ask the node now. Its clock may be slow; the age may be wrong by no more than that."""
        age_s = node.age_s()
        if age_s is None:
            return
        self.told += 1
        since_s = now_s - age_s * MAX_RATE
        before = bisect_left(self._times, since_s)
        if before and self._highest[before - 1] > node.applied_index:
            raise Violation(
                f"{node.node_id} calls its state {age_s * 1000:.0f} ms old at entry "
                f"{node.applied_index}; entry {self._highest[before - 1]} was acknowledged before"
            )
