"""Bounds on everything that comes from outside.

Checked before a command is logged, and again in apply.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in milliseconds, the rest counts.

    Every node of a cluster must run with the same values, so they are constants, not settings."""

    max_name_bytes: int = 256
    max_key_bytes: int = 4_096
    max_value_bytes: int = 1_048_576
    max_payload_bytes: int = 1_048_576
    max_error_bytes: int = 16_384
    max_batch_items: int = 1_000
    max_batch_labels: int = 1_000  # and idempotency keys, of one submit together (level 1)
    max_claim_bytes: int = 4_194_304  # payloads and checkpoints of one claim (level 1)
    max_txn_ops: int = 512
    # Work of one key-value request, in rows: a key looked at counts 1, a key written
    # `row_weight_written` (level 1). Values count where they are compared, sorted or answered.
    max_txn_rows: int = 2_400
    row_weight_written: int = 3
    max_reply_bytes: int = 2_097_152  # of a write's reply, which is kept (level 1)
    max_labels: int = 32
    max_queues_per_call: int = 64
    max_sessions: int = 100_000
    max_replies_per_session: int = 4_096
    max_reply_bytes_per_session: int = 33_554_432
    max_waiters_per_lock: int = 10_000
    min_ttl_ms: int = 100
    max_ttl_ms: int = 86_400_000
    max_duration_ms: int = 366 * 86_400_000
    max_attempts: int = 1_000
    max_list_items: int = 10_000
    # Of one answer to a read: what is larger is read in parts. One task always fits.
    max_answer_bytes: int = 8_388_608
    max_range_keys: int = 6_000  # that one read looks at
    kv_history_revisions: int = 100_000
    kv_history_bytes: int = 268_435_456
    kv_history_rows: int = 200_000  # keys changed, of all revisions together (level 1)
    max_finished_tasks: int = 1_000_000
    min_quota_bytes: int = 1_048_576
    max_tasks: int = 10_000_000
    max_queues: int = 100_000
    max_locks: int = 1_000_000
    max_waiters: int = 1_000_000
    max_keys: int = 10_000_000
    max_expiries_per_batch: int = 500
    max_redriven_at_once: int = 1_000  # the following entries do the rest of a redrive (level 1)


LIMITS = Limits()
