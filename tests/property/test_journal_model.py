"""Random histories of a journal on a disk that crashes, fills up and fails, against a model: what
was synced survives, and nothing else appears than a prefix of what was not."""

from __future__ import annotations

import errno
import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import DiskFullError, SyncFailedError
from tests.support.journals import CheckedJournal


class JournalHistory(RuleBasedStateMachine):
    @initialize(
        segment_bytes=st.sampled_from([150, 400, 2000]),
        reserve_bytes=st.sampled_from([0, 90, 1500]),
        seed=st.integers(0, 2**32),
    )
    def open(self, segment_bytes: int, reserve_bytes: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = SimDisk()
        self.checked = CheckedJournal(self.disk, segment_bytes, reserve_bytes)

    def guarded(self, action: str, *args: int) -> None:
        try:
            getattr(self.checked, action)(*args)
        except DiskFullError:
            assert self.disk.free_bytes is not None
            self.disk.free_bytes = None
        except (SimulatedCrash, SyncFailedError):
            self.disk.fault = None
            self.disk.crash(self.rng)
            self.checked.restart()

    @rule(count=st.integers(1, 6), size=st.sampled_from([8, 20, 700]))
    def append(self, count: int, size: int) -> None:
        self.guarded("append", count, size)

    @rule()
    def sync(self) -> None:
        self.guarded("sync")

    @rule(back=st.integers(0, 8))
    def truncate(self, back: int) -> None:
        if self.checked.log:
            self.guarded("truncate", max(self.checked.log[-1][1] - back, self.checked.floor + 1))

    @rule(back=st.integers(0, 5))
    def drop(self, back: int) -> None:
        if len(self.checked.states) == 1 and self.checked.log:
            self.guarded("drop", max(1, self.checked.log[-1][1] - back))

    @rule(index=st.integers(1, 60))
    def reset(self, index: int) -> None:
        self.guarded("reset", index)

    @rule()
    def power_cut(self) -> None:
        self.disk.fault = None
        self.disk.crash(self.rng)
        self.checked.restart()

    @rule()
    def kill(self) -> None:
        self.disk.fault = None
        self.disk.revive()
        self.checked.restart()

    @rule(changes=st.integers(0, 12))
    def power_cut_soon(self, changes: int) -> None:
        self.disk.crash_after(changes)

    @rule(free=st.integers(0, 1500))
    def fill_up(self, free: int) -> None:
        self.disk.free_bytes = free

    @rule()
    def fail_syncs(self) -> None:
        self.disk.fault = lambda operation, path: (
            OSError(errno.EIO, "Input/output error") if operation == "fdatasync" else None
        )

    def teardown(self) -> None:
        if hasattr(self, "checked"):
            self.disk.fault = None
            self.disk.free_bytes = None
            self.disk.crash(self.rng)
            self.checked.restart()


TestJournalHistory = JournalHistory.TestCase
TestJournalHistory.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
