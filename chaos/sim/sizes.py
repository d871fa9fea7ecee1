"""How much simulated clients ask for at once: mostly little, now and then as much as is allowed, or
one more, which has to be refused and to harm nobody.

All draws come from streams of their own. In plans that are not large nothing is drawn."""

from __future__ import annotations

from random import Random

from chaos.sim.plan import SimPlan

MAX_REQUEST_BYTES = 3 * 1024 * 1024  # of one request, as real nodes have a bound as well
BULK_KEYS = 2_000  # that the clients of a plan write many at a time


class Sizes:
    """The draws of one client."""

    def __init__(self, plan: SimPlan, number: int) -> None:
        self._seed = plan.seed
        self._rng = Random(f"sizes/{plan.seed}/{number}")
        self.large = plan.large

    def padded(self, value: int, limit: int) -> bytes:
        """The number as text, with spaces behind it. The same for the same number, so that a
        client knows what it has written."""
        text = b"%d" % value
        if not self.large:
            return text
        rng = Random(f"padding/{self._seed}/{value}")
        return text.ljust(_drawn(rng, len(text), limit))

    def count(self, usual: int, limit: int) -> int:
        """How many things in one request."""
        return _drawn(self._rng, usual, limit) if self.large else usual

    def behind(self) -> int:
        """How many earlier replies the client has not acknowledged."""
        return self._rng.choice((0, 0, 5, 50)) if self.large else 0

    def chance(self, share: float) -> bool:
        return self.large and self._rng.random() < share

    def chosen(self, among: int) -> int:
        """One of 0 to `among` - 1."""
        return self._rng.randrange(among)


def _drawn(rng: Random, usual: int, limit: int) -> int:
    """Every order of magnitude alike; at times just the limit, or one more."""
    where = rng.random()
    if where < 0.6:
        return usual
    if where < 0.96:
        return min(limit, usual + int((limit + 1) ** rng.random()))
    return limit if where < 0.985 else limit + 1
