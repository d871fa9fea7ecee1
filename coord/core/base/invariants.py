"""What must hold in production too. A broken invariant is a bug or damaged memory: the node stops
and says what it saw, rather than going on from a state nobody can vouch for."""

from __future__ import annotations


class InvariantViolation(Exception):  # noqa: N818 - the established word
    """Something that must always hold did not. Fatal: the state is not to be trusted."""

    def __init__(self, what: str, values: object) -> None:
        super().__init__(f"does not hold: {what}: {values!r}")
        self.what = what
        self.values = values


def invariant(condition: bool, what: str, values: object = None) -> None:
    """Raises InvariantViolation unless `condition`. `what` says what should have held."""
    if not condition:
        raise InvariantViolation(what, values)
