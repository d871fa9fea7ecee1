"""Bugs in what is written to disk, and in how it is read again."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_CRASH: Final = "tests/unit/journal/test_crash.py"
_FAILED_SYNCS: Final = "tests/unit/journal/test_failed_syncs.py"
_FILES: Final = "tests/unit/journal/test_files.py"
_RECOVERY: Final = "tests/unit/journal/test_recovery.py"
_SNAPSHOTS: Final = "tests/unit/journal/test_snapshots.py"
_VOTE: Final = "tests/unit/journal/test_vote.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "sync-syncs-nothing",
        "coord/journal/log.py",
        "sync_file(file, active.path)",
        "pass",
        _CRASH,
        _FILES,
    ),
    mutant(
        "failed-sync-is-forgiven",
        "coord/journal/log.py",
        "            raise self._failure\n        if",
        "            self._failure = None\n        if",
        f"{_CRASH}::test_a_failed_sync_ends_the_use_of_the_journal",
    ),
    mutant(
        "record-checksum-not-checked",
        "coord/journal/format.py",
        "if crc32(data[body_start:end]) != body_crc:",
        "if False:",
        _RECOVERY,
    ),
    mutant(
        "torn-tail-kept",
        "coord/journal/recovery.py",
        "    segment.size = end\n",
        "    segment.size = len(data)\n",
        _RECOVERY,
    ),
    mutant(
        "cut-leaves-an-entry",
        "coord/journal/recovery.py",
        "len(state.entries) - (state.next_index - record.index)",
        "len(state.entries) - (state.next_index - record.index) + 1",
        _RECOVERY,
        _FILES,
    ),
    mutant(
        "durable-damage-taken-for-a-torn-tail",
        "coord/journal/recovery.py",
        "if record.synced >= sequence:",
        "if record.synced > sequence:",
        _RECOVERY,
    ),
    mutant(
        "vote-in-one-copy-only",
        "coord/journal/vote.py",
        "self._write(1 - first, copy)",
        "pass",
        _VOTE,
    ),
    mutant(
        "older-copy-of-the-vote-wins",
        "coord/journal/vote.py",
        "newest = max(intact",
        "newest = min(intact",
        _VOTE,
    ),
    mutant(
        "snapshot-checksum-not-checked",
        "coord/journal/snapshot_format.py",
        "if self._crc != crc:",
        "if False:",
        _SNAPSHOTS,
    ),
    mutant(
        "start-on-a-full-disk-trusts-the-cache",
        "coord/journal/io.py",
        "        overwrite_fully(file, path, 0, data)\n",
        "",
        _FAILED_SYNCS,
    ),
    mutant(
        "vote-not-written-again-at-the-start",
        "coord/journal/vote.py",
        "self._rewrite(pages[self._good]",
        "(pages[self._good]",
        _FAILED_SYNCS,
    ),
    mutant(
        "name-of-a-snapshot-trusted",
        "coord/replication/boot.py",
        "            store.confirm(meta)\n",
        "            pass\n",
        _FAILED_SYNCS,
    ),
    mutant(
        "unreadable-told-as-damage",
        "coord/journal/io.py",
        "return StorageUnusableError(path, operation,",
        "return SyncFailedError(path, operation,",
        "tests/unit/journal/test_advice.py",
    ),
)
