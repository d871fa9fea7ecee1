"""Commands about the cluster itself, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class RaiseLevel:
    """From here on the rules of `level` hold (`coord.core.base.levels`)."""

    level: int


@dataclass(slots=True)
class SetQuota:
    """How large the state may become; 0: what the leader's machine has room for."""

    limit_bytes: int


class LevelRaised(NamedTuple):
    """`level` is the one in force now."""

    level: int
