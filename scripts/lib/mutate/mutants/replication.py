"""Bugs in elections, commitment, acknowledgements, reads and membership."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_COMMIT: Final = "tests/unit/replication/test_engine_commit.py"
_ELECTION: Final = "tests/unit/replication/test_engine_election.py"
_FULL_DISK: Final = "tests/unit/replication/test_engine_full_disk.py"
_ADMISSION: Final = "tests/unit/replication/test_engine_admission.py"
_APPEND: Final = "tests/unit/replication/test_filter_append.py"
_MEMBERSHIP: Final = "tests/unit/replication/test_engine_membership.py"
_STALENESS: Final = "tests/unit/replication/test_staleness.py"
_RESTART: Final = "tests/unit/replication/test_engine_restart.py"
_SNAPSHOT_FAILS: Final = "tests/unit/replication/test_snapshot_failures.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "acknowledged-before-synced",
        "coord/replication/outbox.py",
        "if self._journal.synced_sequence >= barrier:",
        "if True:",
        _ELECTION,
    ),
    mutant(
        "vote-sent-before-stored",
        "coord/replication/outbox.py",
        "if self._journal.vote_is_stored:",
        "if True:",
        _ELECTION,
    ),
    mutant(
        "vote-not-persisted",
        "coord/replication/engine_journal.py",
        "self._emit(StoreVote(term, votedForNodeId))",
        "self._emit(StoreVote(term, None))",
        _ADMISSION,
    ),
    mutant(
        "leader-counts-its-unsynced-copy",
        "coord/replication/pysyncobj_engine.py",
        "durable = min(self._SyncObj__raftCommitIndex, self._journal.synced_index)",
        "durable = self._SyncObj__raftCommitIndex",
        _COMMIT,
    ),
    mutant(
        "follower-commits-what-it-did-not-verify",
        "coord/replication/message_filter.py",
        '"commit_index": min(append.commit, verified)',
        '"commit_index": append.commit',
        _APPEND,
    ),
    mutant(
        "entries-appended-behind-a-conflict",
        "coord/replication/message_filter.py",
        "if log.term_at(prev) != prev_term:",
        "if False:",
        _APPEND,
    ),
    mutant(
        "reply-of-an-old-term-counts",
        "coord/replication/answers.py",
        ' or message["term"] != engine.term:',
        ":",
        _ELECTION,
    ),
    mutant(
        "leader-of-an-old-term-followed",
        "coord/replication/following.py",
        'if message["term"] < term:',
        "if False:",
        _ELECTION,
    ),
    mutant(
        "shorter-log-of-a-candidate-wins-by-length",
        "coord/replication/election.py",
        "return candidate >= own",
        "return candidate[1] >= own[1]",
        _ELECTION,
    ),
    mutant(
        "read-at-an-index-of-an-old-term",
        "coord/replication/reading.py",
        "if engine.commit_index < engine.own_term_index:",
        "if False:",
        _ELECTION,
    ),
    mutant(
        "read-without-a-majority",
        "coord/replication/read_index.py",
        "while self._rounds and self._is_majority(self._rounds[0].supporters):",
        "while self._rounds:",
        _ELECTION,
    ),
    mutant(
        "read-confirmed-by-an-earlier-append",
        "coord/replication/read_index.py",
        "if entry.number <= number:",
        "if entry.number <= number + 1:",
        _ELECTION,
    ),
    mutant(
        "stale-read-of-unbounded-age",
        "coord/replication/staleness.py",
        "> current.sent.get(peer_id, 0):",
        ">= current.sent.get(peer_id, 0):",
        _STALENESS,
    ),
    mutant(
        "learners-counted-for-a-majority",
        "coord/replication/membership.py",
        "for peer in self.voting_peers) >= self.quorum",
        "for peer in self.peers) >= self.quorum",
        _MEMBERSHIP,
    ),
    mutant(
        "two-changes-of-members-at-once",
        "coord/replication/reconfiguration.py",
        "if present.index > engine.commit_index:",
        "if False:",
        _MEMBERSHIP,
    ),
    mutant(
        "acknowledgement-of-a-lost-disk-counts",
        "coord/replication/progress.py",
        "self._engine.forget_match(peer_id)",
        "pass",
        _ADMISSION,
    ),
    mutant(
        "readmitted-node-takes-the-lowest-term",
        "coord/replication/admission.py",
        "return Follow(max(answers[peer].term for peer in peers))",
        "return Follow(min(answers[peer].term for peer in peers))",
        "tests/unit/replication/test_admission_rules.py",
    ),
    mutant(
        "half-of-the-states-are-a-majority",
        "coord/replication/state_check.py",
        "if count * 2 > len(voters):",
        "if count * 2 >= len(voters):",
        "tests/unit/replication/test_state_check.py",
    ),
    mutant(
        "build-below-the-level-admitted",
        "coord/replication/levels.py",
        "return level < self.required",
        "return False",
        "tests/unit/replication/test_peer_levels.py",
    ),
    mutant(
        "unknown-outcome-told-as-definite",
        "coord/replication/callers.py",
        "future.set_exception(OutcomeUnknownError(why))",
        "future.set_exception(ReplicationError(why))",
        "tests/unit/replication/test_replicator_outcomes.py",
    ),
    mutant(
        "reply-of-another-entry-taken",
        "coord/replication/callers.py",
        "if proposed_term == term:",
        "if True:",
        "tests/unit/replication/test_replicator_outcomes.py",
    ),
    mutant(
        "vote-forgotten-at-the-start",
        "coord/replication/boot.py",
        "voted_for=vote.voted_for,",
        "voted_for=None,",
        _RESTART,
    ),
    mutant(
        "snapshot-without-the-members",
        "coord/replication/snapshot_exchange.py",
        'return encode_members(membership.members) if membership.index else b""',
        'return b""',
        _RESTART,
    ),
    mutant(
        "members-of-a-snapshot-not-read",
        "coord/replication/recovery.py",
        "if snapshot is None or not snapshot.members:",
        "if True:",
        _RESTART,
    ),
    mutant(
        "members-lost-in-a-transfer",
        "coord/replication/snapshots.py",
        'members=message["members"],',
        'members=b"",',
        _RESTART,
    ),
    mutant(
        "snapshot-that-fails-is-tried-at-every-tick",
        "coord/replication/snapshot_exchange.py",
        "if self._failures and self._ports.now() < self._retry_at:",
        "if False:",
        _SNAPSHOT_FAILS,
    ),
    mutant(
        "broken-disk-taken-for-a-failed-snapshot",
        "coord/replication/snapshots.py",
        "return isinstance(error, StorageError | OSError | FatalReplicaError)",
        "return isinstance(error, FatalReplicaError)",
        _SNAPSHOT_FAILS,
    ),
)
