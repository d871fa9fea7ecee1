"""A data directory that is removed or replaced under a running node stops it within seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coord.journal import DataDirectory, DataDirectoryLostError, OsFileSystem
from tests.support.replication import RealCluster
from tests.support.waiting import eventually


def replaced(path: Path) -> None:
    os.rename(path, path.with_name("moved"))
    shutil.copytree(path.with_name("moved"), path)


def without(name: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    return remove


LOSSES: dict[str, Callable[[Path], None]] = {
    "removed": shutil.rmtree,
    "moved": lambda path: os.rename(path, path.with_name("elsewhere")),
    "replaced": replaced,
    "without its journal": without("journal"),
    "without its vote": without("vote"),
    "without its identity": without("IDENTITY"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_directory_that_is_not_there_any_more_is_told(tmp_path: Path, loss: str) -> None:
    path = tmp_path / "data"
    directory = DataDirectory.open(str(path), "c", "n1")
    (path / "vote").write_bytes(b"v")
    (path / "journal").mkdir()
    segment = path / "journal" / "1.wal"
    segment.write_bytes(b"s")
    directory.mark_initialized()
    directory.check_in_place(lambda: str(segment))
    LOSSES[loss](path)
    with pytest.raises(DataDirectoryLostError, match="while this node was running") as lost:
        directory.check_in_place(lambda: str(segment))
    assert str(path) in str(lost.value)
    directory.close()


def test_a_segment_that_was_dropped_meanwhile_is_no_loss(tmp_path: Path) -> None:
    directory = DataDirectory.open(str(tmp_path / "data"), "c", "n1")
    present = tmp_path / "data" / "2.wal"
    present.write_bytes(b"")
    answers = [str(tmp_path / "data" / "1.wal"), str(present)]
    directory.check_in_place(lambda: answers.pop(0))
    directory.close()


def test_a_lock_knows_whether_it_is_in_place(tmp_path: Path) -> None:
    fs = OsFileSystem()
    lock = fs.lock(str(tmp_path / "LOCK"))
    assert lock.is_in_place()
    (tmp_path / "LOCK").unlink()
    assert not lock.is_in_place()
    (tmp_path / "LOCK").write_bytes(b"")
    assert not lock.is_in_place(), "another file of that name"
    lock.release()


@pytest.mark.parametrize("which", ["leader", "follower"])
@pytest.mark.parametrize("loss", ["removed", "replaced"])
async def test_a_node_without_its_directory_stops_and_says_so(
    tmp_path: Path, which: str, loss: str
) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        leader = cluster.leader_id()
        victim = next(i for i in cluster.ids if (i == leader) == (which == "leader"))
        LOSSES[loss](tmp_path / victim)
        await eventually(lambda: victim in cluster.failures, 5.0, what="it notices")
        error = cluster.failures[victim]
        assert isinstance(error, DataDirectoryLostError)
        assert "move it back" in str(error)
        await cluster.stop(victim)
        shutil.rmtree(tmp_path / victim, ignore_errors=True)
        await cluster.propose(b"b")
        cluster.failures.clear()
        await cluster.start(victim)
        await cluster.converged()
        assert cluster.failures == {}
