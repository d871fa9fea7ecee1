"""Bugs in the key-value store."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_STORE: Final = "tests/unit/core/test_kv_store.py"
_BOUNDS: Final = "tests/unit/core/test_kv_bounds.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "comparison-greater-inverted",
        "coord/core/kv/transactions.py",
        "return bool(actual > operand)",
        "return bool(actual < operand)",
        _STORE,
    ),
    mutant(
        "missing-key-has-an-empty-value",
        "coord/core/kv/transactions.py",
        "compare.target is not CompareTarget.VALUE and _compare(",
        "_compare(",
        _STORE,
    ),
    mutant(
        "history-trimmed-one-too-early",
        "coord/core/kv/history.py",
        "while len(self._revisions) > self._max_revisions or",
        "while len(self._revisions) >= self._max_revisions or",
        _STORE,
    ),
    mutant(
        "read-of-the-past-one-revision-off",
        "coord/core/kv/history.py",
        "self._by_key.between((key, revision + 1)",
        "self._by_key.between((key, revision)",
        _STORE,
    ),
    mutant(
        "compaction-keeps-a-revision",
        "coord/core/kv/history.py",
        "while self._revisions and self._revisions[0][0] <= revision:",
        "while self._revisions and self._revisions[0][0] < revision:",
        _STORE,
    ),
    mutant(
        "snapshot-without-the-history-of-keys",
        "coord/core/kv/store.py",
        "return [self._live, *self._history.tables()]",
        "return [self._live]",
        "tests/unit/core/test_machine.py",
    ),
    mutant(
        "put-does-not-count-the-version",
        "coord/core/kv/store.py",
        "before.version + 1",
        "before.version",
        _STORE,
    ),
    mutant(
        "rows-of-a-transaction-not-added-up",
        "coord/core/kv/budget.py",
        "self.rows += rows",
        "self.rows = rows",
        _BOUNDS,
    ),
    mutant(
        "own-writes-not-counted-among-the-rows",
        "coord/core/kv/draft.py",
        "found += _count(self._new, low, high) - _count(self._deleted, low, high)",
        "found -= _count(self._deleted, low, high)",
        _BOUNDS,
    ),
    mutant(
        "answer-not-measured",
        "coord/core/kv/budget.py",
        "if self.answered > self._max_bytes:",
        "if False:",
        _BOUNDS,
    ),
    mutant(
        "compaction-left-half-tidied",
        "coord/core/kv/handlers.py",
        "return tables.untidy",
        "return False",
        "tests/unit/core/test_chores.py",
    ),
    mutant(
        "redrive-takes-tasks-that-died-later",
        "coord/core/tasks/redriving.py",
        "if tables.tasks[serial].mod_revision <= rest.died_by:",
        "if True:",
        "tests/unit/core/test_chores.py",
    ),
    mutant(
        "larger-transaction-than-allowed",
        "coord/core/kv/bounds.py",
        "if _cost(command, level) > LIMITS.max_txn_ops:",
        "if _cost(command, level) > LIMITS.max_txn_ops + 1:",
        "tests/unit/core/test_kv_validate.py",
    ),
)
