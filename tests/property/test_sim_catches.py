"""A simulator that finds nothing proves nothing: each of these breaks one promise of the product,
and the check that watches over it must say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.sim.hardened import HardenedNode
from chaos.sim.plan import make_plan
from chaos.sim.scheduler import SimOutcome
from chaos.sim.world import World, simulate
from coord.codec.envelope import BatchCache
from coord.core import machine as core_machine
from coord.core.base.build import COMPILED
from coord.core.base.context import Context
from coord.core.batch import Applied, Batch
from coord.core.locks import handlers as locks
from coord.core.locks.tables import LockTables
from coord.journal import FileSystem, VoteFile, recovery
from coord.journal.io import cut_file, open_file, sync_file
from coord.journal.recovery import Recovered
from coord.replication import following, reconfiguration
from coord.replication.engine_journal import EngineJournal
from coord.replication.membership import Electorate, Membership, MembershipHistory, changed
from coord.replication.message_filter import Append, LogView, PeerFlow, Verdict
from coord.replication.port import Member, MembershipChange, MembershipRefusal, Promote
from coord.replication.progress import LeaderAccount
from coord.replication.pysyncobj_engine import HardenedEngine
from coord.replication.staleness import StalenessBound, StalenessRounds
from coord.replication.storage.operations import LogWriter
from coord.replication.storage.writes import StoreVote
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.proposer import Proposer
from coord.runtime.state_machine import ReplicatedStateMachine

Patch = Callable[[pytest.MonkeyPatch], None]


def _unfiltered(append: Append, log: LogView, commit_index: int) -> Verdict:
    """The append as the published engine would get it."""
    entries = [(c, append.prev_index + 1 + i, t) for i, (t, c) in enumerate(append.entries)]
    message = {
        "type": "append_entries",
        "term": append.term,
        "commit_index": append.commit,
        "entries": entries,
        "prevLogIdx": append.prev_index,
        "prevLogTerm": append.prev_term,
    }
    return Verdict(message, None)


def no_filter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(following, "examine_append", _unfiltered)
    patch.setattr(PeerFlow, "judge", lambda self, number, answer, *rest: answer)


def acknowledge_before_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LogWriter, "sync", lambda self: None)


def leader_counts_unsynced(patch: pytest.MonkeyPatch) -> None:
    def apply(self: HardenedEngine) -> bool:
        return bool(super(HardenedEngine, self)._SyncObj__applyLogEntries())

    patch.setattr(HardenedEngine, "_SyncObj__applyLogEntries", apply)


def votes_not_persisted(patch: pytest.MonkeyPatch) -> None:
    store = VoteFile.store

    def forgetful(self: VoteFile, vote: Any) -> None:
        if vote.term == 0 or vote.voted_for is None:
            store(self, vote)

    patch.setattr(VoteFile, "store", forgetful)


def votes_ahead_not_persisted(patch: pytest.MonkeyPatch) -> None:
    """Told as stored while the disk is full, and only waiting."""

    def forgetful(self: LogWriter, queue: Any) -> int:
        return max((n for n, operation in queue if isinstance(operation, StoreVote)), default=0)

    patch.setattr(LogWriter, "store_vote_ahead", forgetful)


def votes_twice(patch: pytest.MonkeyPatch) -> None:
    """The engine believes that it has not voted yet."""
    receive = HardenedEngine.receive

    def forgetful(self: HardenedEngine, peer_id: str, message: dict[str, Any]) -> None:
        if message["type"] == "request_vote":
            self._SyncObj__votedForNodeId = None
        receive(self, peer_id, message)

    patch.setattr(HardenedEngine, "receive", forgetful)
    patch.setattr(EngineJournal, "getVotedForNodeId", lambda self: None)


def clock_jumps(patch: pytest.MonkeyPatch) -> None:
    """A new leader's clock starts too late, as one taken from the wall might."""
    start = ClusterClock.start

    def hasty(self: ClusterClock) -> None:
        start(self)
        self._base_ms += 400

    patch.setattr(ClusterClock, "start", hasty)


def in_flight_without_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LeaderAccount, "may_send_to", lambda self, peer_id: True)


def reads_without_barrier(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HardenedNode, "barrier", lambda self, done: done(True))


def no_deduplication(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core_machine, "find_reply", lambda *_: None)
    patch.setattr(core_machine, "keep_reply", lambda *_: None)


def snapshot_loses_rows(patch: pytest.MonkeyPatch) -> None:
    load = ReplicatedStateMachine.load

    def lossy(self: ReplicatedStateMachine, chunks: Any) -> Callable[[], None]:
        put_in_place = load(self, chunks)

        def placed() -> None:
            put_in_place()
            self.machine.state.ctx.revision += 1

        return placed

    patch.setattr(ReplicatedStateMachine, "load", lossy)


def nodes_disagree(patch: pytest.MonkeyPatch) -> None:
    """Something other than the log gets into the state."""
    counted = Context.next_revision
    calls = [0]

    def counting(self: Context) -> int:
        calls[0] += 1
        if calls[0] % 97 == 0:
            counted(self)
        return counted(self)

    patch.setattr(Context, "next_revision", counting)


def lock_tokens_are_reused(patch: pytest.MonkeyPatch) -> None:
    create = locks._create

    def same(ctx: Context, tables: LockTables, command: Any, session_id: int) -> int:
        create(ctx, tables, command, session_id)
        lock = tables.locks.edit(command.name)
        lock.token = 1
        return 1

    patch.setattr(locks, "_create", same)


def elections_end(patch: pytest.MonkeyPatch) -> None:
    """Nobody stands for a later term than the third."""
    start = HardenedEngine.start_election

    def tired(self: HardenedEngine) -> None:
        if self.term < 3:
            start(self)

    patch.setattr(HardenedEngine, "start_election", tired)


def overlapping_changes(patch: pytest.MonkeyPatch) -> None:
    """Members are changed while the change before is not committed."""
    refuse = reconfiguration.refuse

    def lenient(reason: MembershipRefusal, text: str) -> None:
        if reason is not MembershipRefusal.CHANGE_IN_PROGRESS:
            refuse(reason, text)

    patch.setattr(reconfiguration, "refuse", lenient)


def learners_are_counted(patch: pytest.MonkeyPatch) -> None:
    adopt = Electorate.adopt

    def generous(self: Electorate, new: Membership) -> None:
        adopt(self, new)
        self.voting_peers = self.peers

    patch.setattr(Electorate, "adopt", generous)


def members_of_a_cut_log_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MembershipHistory, "cut_from", lambda self, index: None)


def two_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """A change takes a second member along."""

    def greedy(present: Membership, change: MembershipChange) -> tuple[Member, ...]:
        members = changed(present, change)
        if isinstance(change, Promote):
            return tuple(replace(member, learner=False) for member in members[1:])
        return members

    patch.setattr(reconfiguration, "changed", greedy)


def ages_unconfirmed(patch: pytest.MonkeyPatch) -> None:
    """A leader that asks nobody whether it still leads before it confirms marks of others."""
    begin = StalenessRounds.__init__
    patch.setattr(StalenessRounds, "__init__", lambda self, _: begin(self, lambda supporters: True))


def pauses_make_nothing_older(patch: pytest.MonkeyPatch) -> None:
    """An append that has just come in counts as just sent."""

    def confirmed(self: StalenessBound, mark: Any) -> None:
        if mark:
            self.covered(self.mark(), mark[2])

    patch.setattr(StalenessBound, "confirmed", confirmed)


def starts_only_sync(patch: pytest.MonkeyPatch) -> None:
    """The end of a journal is not written anew at a start: a failed sync may have left something
    that the system holds for clean."""

    def synced(fs: FileSystem, state: Recovered) -> None:
        for segment in state.segments[-2:]:
            file = open_file(fs, segment.path)
            try:
                for size in (segment.size + 1, segment.size):
                    cut_file(file, segment.path, size)
                sync_file(file, segment.path)
            finally:
                file.close()

    patch.setattr(recovery, "_finish", synced)


def replies_to_others(patch: pytest.MonkeyPatch) -> None:
    """Whoever shares an entry gets the reply to another one's request."""
    tell = Proposer._on_outcome

    def mixed_up(self: Proposer[Any], requests: Any, outcome: SimOutcome) -> None:
        if not outcome.cancelled() and outcome.exception() is None:
            applied = outcome.result()
            mixed = SimOutcome(lambda callback: None)
            mixed.set_result(Applied(applied.replies[::-1], applied.events, applied.revision))
            outcome = mixed
        tell(self, requests, outcome)

    patch.setattr(Proposer, "_on_outcome", mixed_up)


def own_batches_differ(patch: pytest.MonkeyPatch) -> None:
    """A leader applies what it has proposed from memory, in another order than the log has it."""
    put = BatchCache.put

    def reversing(self: BatchCache, data: bytes, batch: Batch) -> None:
        put(self, data, Batch(batch.now_ms, batch.wall_ms, batch.requests[::-1]))

    patch.setattr(BatchCache, "put", reversing)


BROKEN: dict[str, tuple[Patch, str, str | None]] = {
    # name: what is broken, what the check says, under which faults
    "filter": (no_filter, "", "links"),
    "sync": (acknowledge_before_sync, "", "power"),
    "own copy": (leader_counts_unsynced, "durable on", "power"),
    "vote file": (votes_not_persisted, "has told of its vote", None),
    "votes ahead": (votes_ahead_not_persisted, "has told of its vote", "full-disks"),
    "second vote": (votes_twice, "vote", None),
    "leases": (clock_jumps, "leases were shortened", "kills"),
    "reads": (reads_without_barrier, "not linearizable", "busy"),
    "deduplication": (no_deduplication, "", "kills"),
    "snapshots": (snapshot_loses_rows, "another state", "snapshots"),
    "determinism": (nodes_disagree, "", "links"),
    "tokens": (lock_tokens_are_reused, "token", "links"),
    "confirmed ages": (ages_unconfirmed, "ms old", "links"),
    "pauses": (pauses_make_nothing_older, "ms old", "links"),
    "progress": (elections_end, "acknowledged within", "kills"),
    "one change": (overlapping_changes, "changes of the members", "changes"),
    "one member": (two_at_a_time, "differ by more than one", "changes"),
    "learners": (learners_are_counted, "", "changes"),
    "memory": (in_flight_without_bound, "in flight to", "busy"),
    "undone changes": (members_of_a_cut_log_stay, "", "changes"),
    "failed syncs": (starts_only_sync, "not durable", "bad-starts"),
    "replies": (replies_to_others, "not linearizable", "busy"),
    "own batches": (own_batches_differ, "differently", "busy"),
}


# They change the core, whose compiled functions call each other without looking for another one.
IN_THE_CORE = {"deduplication", "determinism", "tokens"}


@pytest.mark.timeout(600)  # some take thirty seeds
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if COMPILED and name in IN_THE_CORE:
        pytest.skip("the compiled core cannot be changed from outside")
    breakage, words, profile = BROKEN[name]
    breakage(monkeypatch)
    seen = set()
    for seed in range(40):
        # The seeds that show each were found before there were levels.
        failure = simulate(make_plan(seed, profile=profile, level=0)).failure
        if failure is not None and words in failure:
            return
        seen.add(failure)
    pytest.fail(f"not found; instead: {seen}")


def test_damage_that_is_not_noticed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that starts over a damaged disk."""
    monkeypatch.setattr(HardenedNode, "rot", lambda self, where: True)
    failures = [simulate(make_plan(seed, profile="power")).failure for seed in range(10)]
    assert any(failure and "over a damaged disk" in failure for failure in failures)


def test_an_error_in_a_node_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ReplicatedStateMachine, index: int, term: int, data: bytes) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ReplicatedStateMachine, "apply", broken)
    result = World(make_plan(0)).run()
    assert result.failure is not None
    assert "a bug" in result.failure
