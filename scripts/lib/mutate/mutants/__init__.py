"""All mutants, in the order of the rooms they are in."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant
from scripts.lib.mutate.mutants import calls, core, journal, keys, replication

MUTANTS: Final[tuple[Mutant, ...]] = (
    *core.MUTANTS,
    *keys.MUTANTS,
    *journal.MUTANTS,
    *replication.MUTANTS,
    *calls.MUTANTS,
)
