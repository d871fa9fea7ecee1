"""Bugs in the key-value store."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_STORE: Final = "tests/unit/test_kv_store.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "comparison-greater-inverted",
        "coord/core/kv_txn.py",
        "return bool(actual > operand)",
        "return bool(actual < operand)",
        _STORE,
    ),
    mutant(
        "missing-key-has-an-empty-value",
        "coord/core/kv_txn.py",
        "compare.target is not c.CompareTarget.VALUE and _compare(",
        "_compare(",
        _STORE,
    ),
    mutant(
        "history-trimmed-one-too-early",
        "coord/core/kv_history.py",
        "while len(revisions) > self._max_revisions or",
        "while len(revisions) >= self._max_revisions or",
        _STORE,
    ),
    mutant(
        "read-of-the-past-one-revision-off",
        "coord/core/kv_history.py",
        "self._by_key.between((key, revision + 1)",
        "self._by_key.between((key, revision)",
        _STORE,
    ),
    mutant(
        "compaction-keeps-a-revision",
        "coord/core/kv_history.py",
        "while revisions and revisions[0] <= revision:",
        "while revisions and revisions[0] < revision:",
        _STORE,
    ),
    mutant(
        "snapshot-without-the-history-of-keys",
        "coord/core/kv.py",
        "return [self._live, *self._history.tables()]",
        "return [self._live]",
        "tests/unit/test_core_machine.py",
    ),
    mutant(
        "put-does-not-count-the-version",
        "coord/core/kv.py",
        "before.version + 1",
        "before.version",
        _STORE,
    ),
    mutant(
        "larger-transaction-than-allowed",
        "coord/core/validate_kv.py",
        "if _cost(command) > LIMITS.max_txn_ops:",
        "if _cost(command) > LIMITS.max_txn_ops + 1:",
        "tests/unit/test_kv_validate.py",
    ),
)
