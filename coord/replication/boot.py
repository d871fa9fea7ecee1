"""Opening a node's data directory: what is on disk becomes what a replica starts with. Blocking."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import structlog

from coord.journal import (
    DEFAULT_SEGMENT_BYTES,
    MAX_OWN_RUNS,
    Admission,
    CleanStop,
    DataDirectory,
    FileSystem,
    Journal,
    PeerRunsFile,
    SnapshotStore,
    Standing,
    StorageError,
    Vote,
    VoteFile,
)
from coord.replication.recovery import recover_log
from coord.replication.replica_ports import Boot
from coord.replication.storage.operations import LogWriter

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """A node's storage, locked for this process until `close`."""

    directory: DataDirectory
    writer: LogWriter
    snapshots: SnapshotStore
    boot: Boot
    peer_runs: PeerRunsFile
    clean_stop: CleanStop

    def check_in_place(self) -> None:
        """Raises DataDirectoryLostError, or OSError if nothing was found out."""
        self.directory.check_in_place(lambda: self.writer.active_segment)

    def note_clean_stop(self) -> None:
        """Note where the journal ends, if nothing is on its way to it any more: nothing may be
        written to it after this. A mark that cannot be written is left out."""
        if (end := self.writer.durable_end) is not None:
            with contextlib.suppress(StorageError):
                self.clean_stop.write(end)

    def note_run(self, run_id: str) -> None:
        """Remember the id of this run beside those before, if there is room."""
        if run_id:
            file = self.peer_runs
            file.own = (*file.own, (self.boot.boot_id, run_id))[-MAX_OWN_RUNS:]
            with contextlib.suppress(StorageError):
                file.store(self.boot.peer_runs)

    def mark_copied(self, why: str) -> None:
        """Have later starts refused. What cannot be written is left out."""
        with contextlib.suppress(StorageError):
            self.directory.mark_copied(why)

    def close(self) -> None:
        """Close the files and give up the lock. Idempotent."""
        self.writer.close()
        self.directory.close()


def open_storage(
    path: str,
    cluster_id: str,
    node_id: str,
    *,
    wall_ms: int,
    incarnation: int,
    fs: FileSystem,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    reserve_bytes: int = 0,
    run_id: str = "",
) -> OpenStorage:
    """Lock the directory, recover, and note durably that this is the next run of the node. A new
    directory gets `incarnation`, drawn at random by the caller, as `run_id` is for each run.

    Raises DataDirectoryError, StorageDamagedError, DiskFullError, SyncFailedError."""
    directory = DataDirectory.open(path, cluster_id, node_id, wall_ms=wall_ms, fs=fs)
    try:
        storage = _open(
            directory, fs, segment_bytes, reserve_bytes, _first_vote(wall_ms, incarnation)
        )
        storage.note_run(run_id)
    except BaseException:
        directory.close()
        raise
    return storage


def _first_vote(wall_ms: int, incarnation: int) -> Vote:
    """Of a new directory. Peers ignore runs before the last they knew, so the first run must count
    from above all that a directory lost before may have had. If the clock is wrong, peers say so
    (`AdmissionProtocol`)."""
    return Vote(0, boot_count=wall_ms, admission=Admission(incarnation, Standing.SILENT))


def _open(
    directory: DataDirectory, fs: FileSystem, segment_bytes: int, reserve_bytes: int, first: Vote
) -> OpenStorage:
    known = directory.initialized
    votes = VoteFile(fs, directory.vote_path, must_exist=known)
    last = votes.load() or first
    vote = replace(last, boot_count=last.boot_count + 1)
    if votes.repaired:
        why = "a store was not finished, or the disk damaged a copy; the other one is intact"
        logger.warning("vote_copy_repaired", why=why, path=directory.vote_path)
    clean_stop = CleanStop(fs, directory.clean_stop_path)
    journal = Journal.open(
        fs,
        directory.journal_directory,
        segment_bytes,
        reserve_bytes=reserve_bytes,
        must_exist=known,
        stopped_at=clean_stop.read(),
    )
    found = journal.recovery
    if found.torn_bytes:
        logger.warning(
            "journal_tail_cut",
            why="the last write was not finished",
            path=found.torn_path,
            offset=found.torn_offset,
            bytes=found.torn_bytes,
        )
    try:
        store = SnapshotStore(fs, directory.snapshot_directory)
        meta = store.latest()
        if meta is not None:
            store.confirm(meta)
        log = recover_log(
            directory.journal_directory,
            journal.take_recovered(),
            (meta.index, meta.term) if meta else None,
        )
        peer_runs = PeerRunsFile(fs, directory.peers_path)
        known_runs = peer_runs.load()
        if peer_runs.damage:
            why = f"{peer_runs.damage}; an older copy of a peer may go unnoticed once"
            logger.warning("peer_runs_forgotten", path=peer_runs.path, why=why)
        clean_stop.remove()
        votes.store(vote)
        directory.mark_initialized()
    except BaseException:
        journal.close()
        raise
    boot = Boot(
        boot_id=vote.boot_count,
        entries=log.entries,
        reset=log.reset,
        commit_index=log.commit_index,
        term=vote.term,
        voted_for=vote.voted_for,
        snapshot=meta,
        admission=vote.admission,
        peer_runs=known_runs,
    )
    writer = LogWriter(journal, votes, vote)
    return OpenStorage(directory, writer, store, boot, peer_runs, clean_stop)
