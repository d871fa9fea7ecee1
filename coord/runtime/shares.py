"""Room that many callers share, so that none of them can take all of it.

An owner may take more as long as what it has is not more than what is free. One that floods a node
gets half of the room; a second one then a quarter; and whoever has nothing yet finds some. (In
network switches this is known as dynamic thresholds, after Choudhury and Hahne.) What an owner has
not given back counts; nothing is reserved for owners that want nothing.
"""

from __future__ import annotations

from collections.abc import Hashable


class Shares:
    """`total`: how much there is, in any unit. Owners are anything that can be a key; the empty
    text is the node itself, and is given whatever is free."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._owners: dict[Hashable, int] = {}

    @property
    def used(self) -> int:
        """What all owners have."""
        return self._used

    @property
    def owners(self) -> int:
        """How many have something."""
        return len(self._owners)

    def of(self, owner: Hashable) -> int:
        """What this owner has."""
        return self._owners.get(owner, 0)

    def try_take(self, owner: Hashable, amount: int) -> bool:
        """The owner has so much more, if there is room for it; whether there was."""
        free = self._total - self._used
        own = self._owners.get(owner, 0)
        if amount > free or (own and own + amount > free and owner != ""):
            return False
        self._used += amount
        self._owners[owner] = own + amount
        return True

    def may_take(self, owner: Hashable, amount: int) -> bool:
        """Whether there is room for so much more of this owner's."""
        free = self._total - self._used
        own = self._owners.get(owner, 0)
        return amount <= free and (not own or own + amount <= free or owner == "")

    def take(self, owner: Hashable, amount: int) -> None:
        """The owner has so much more now, whether or not there was room."""
        self._used += amount
        self._owners[owner] = self._owners.get(owner, 0) + amount

    def give_back(self, owner: Hashable, amount: int) -> None:
        """The owner has so much less."""
        self._used -= amount
        left = self._owners.get(owner, 0) - amount
        if left > 0:
            self._owners[owner] = left
        else:
            self._owners.pop(owner, None)
