"""A simulator that finds nothing proves nothing: each breakage of a mend here has to be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from chaos.sim.cluster import SimCluster, SimPlan
from coord.journal import VoteFile
from coord.replication import replica as replica_module
from coord.replication.message_filter import Append, LogView, PeerFlow, Verdict
from coord.replication.outbox import Outbox


def _failure(seed: int) -> str | None:
    return SimCluster(SimPlan(seed, batch_bytes=200, storm_s=12.0, calm_s=5.0)).run().failure


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


def _no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "examine_append", _unfiltered)
    monkeypatch.setattr(PeerFlow, "judge", lambda self, number, answer, *rest: answer)


def _acknowledge_before_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "promise", Outbox.transmit)


def _forget_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    store = VoteFile.store

    def forgetful(self: VoteFile, vote: Any) -> None:
        if vote.term == 0 or vote.voted_for is None:
            store(self, vote)

    monkeypatch.setattr(VoteFile, "store", forgetful)


@pytest.mark.parametrize(
    ("breakage", "seeds"),
    [
        (_no_filter, range(6)),
        (_acknowledge_before_sync, range(6)),
        (_forget_votes, range(4, 8)),
    ],
)
def test_a_broken_mend_is_found(
    monkeypatch: pytest.MonkeyPatch,
    breakage: Callable[[pytest.MonkeyPatch], None],
    seeds: Iterable[int],
) -> None:
    breakage(monkeypatch)
    assert any(_failure(seed) is not None for seed in seeds)
