"""Snapshots in the life of a replica: when one is taken, what of the log it replaces, sending it to
followers, and installing one that was received."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coord.journal import DiskFullError, SnapshotMeta
from coord.replication.background import AWAITED, UNHURRIED
from coord.replication.loading import load
from coord.replication.membership import encode_members
from coord.replication.messages import Message
from coord.replication.port import Role, StateMachine
from coord.replication.progress import LeaderProgress
from coord.replication.recovery import BASE_COMMAND, membership_of
from coord.replication.replica_context import ReplicaContext
from coord.replication.snapshots import (
    SnapshotReceiver,
    SnapshotSender,
    SnapshotTaker,
    SnapshotWorker,
    meta_of,
)

FEWEST_ENTRIES = 10_000  # between two snapshots, however small
RETRY_S = 1.0  # after the first attempt that failed; twice as long after each further one
MAX_RETRY_S = 300.0
MAX_FULL_RETRY_S = 30.0  # if it was a full disk: room can come at any time
SNAPSHOT_FAILED = "SNAPSHOT_FAILED"
LOG_TOO_LARGE = "LOG_TOO_LARGE"


class SnapshotExchange:
    """See the module. `latest`: the newest durable one. `state_replaced(index)`: a snapshot was
    installed; `settle()`: something was done outside of a call into the replica."""

    def __init__(
        self,
        context: ReplicaContext,
        machine: StateMachine,
        worker: SnapshotWorker,
        latest: SnapshotMeta | None,
        state_replaced: Callable[[int], None],
        settle: Callable[[], None],
    ) -> None:
        self._settings = context.settings
        self._ports = context.ports
        self._outbox = context.outbox
        self._engine = context.engine
        self._journal = context.journal
        self._account = context.account
        self._connected = context.connected
        self._first = context.first
        self._machine = machine
        self._worker = worker
        self._state_replaced = state_replaced
        self._settle = settle
        self.latest = latest
        self._compacted = (self._engine.commit_index, 0)  # index, and bytes of the log up to it
        self._taker = SnapshotTaker(worker, self._taken, self._given_up, context.ports.failed)
        self._failures = 0  # attempts since the last snapshot that was taken
        self._retry_at = 0.0
        self.problem = ""  # why the last attempt failed; empty if it did not
        self._receiver = SnapshotReceiver(
            worker, self._answer, self._install_received, context.ports.failed
        )
        self._sending_from: str | None = None  # the leader whose snapshot is being received
        self._installing: SnapshotMeta | None = None  # received, and being loaded

    # Taking

    def take_if_due(self) -> None:
        """Begin to take one if enough has been written since the last."""
        if self._taker.busy or self._sending_from is not None:
            return
        if self._failures and self._ports.now() < self._retry_at:
            return
        index = self._engine.applied_index
        done, _ = self._compacted
        if index > done and self._is_due(index - done):
            self.take()

    def _is_due(self, entries: int) -> bool:
        if entries >= self._settings.snapshot_entries:
            return True
        grown_bytes = self._journal.size_bytes - self._compacted[1]
        if not self._is_worth_it(entries, grown_bytes):
            return False
        # What is not applied yet, as after a restart, is in no snapshot taken now.
        grown_bytes -= self._journal.bytes_after(self._engine.applied_index)
        return self._is_worth_it(entries, grown_bytes)

    def _is_worth_it(self, entries: int, grown_bytes: int) -> bool:
        return grown_bytes >= self._settings.snapshot_bytes or self._is_cheap(entries, grown_bytes)

    def _is_cheap(self, entries: int, grown_bytes: int) -> bool:
        """Writing a small state costs less than applying a long log again after a restart: a node
        that does so is of little use, and slow to lead. As much is written as the log has grown."""
        fewest = max(FEWEST_ENTRIES, self._settings.snapshot_entries // 10)
        return entries >= fewest and grown_bytes >= self._taker.bytes_taken

    def take(self) -> None:
        """Begin to take a snapshot of what is applied now. Not while one is under way."""
        index = self._engine.applied_index
        try:
            source = self._machine.begin_snapshot()
        except Exception as error:
            self._given_up(error)
            return
        meta = SnapshotMeta(
            index=index,
            term=self._journal.term_at(index) or 0,
            prev_index=index - 1,
            prev_term=self._journal.term_at(index - 1) or 0,
            members=self._members_at(index),
            created_wall_ms=self._ports.wall_ms(),
        )
        self._taker.begin(meta, source)

    @property
    def alarms(self) -> list[str]:
        """What is wrong: words for programs, see `problem` for people."""
        alarms = [SNAPSHOT_FAILED] if self._failures else []
        return [*alarms, LOG_TOO_LARGE] if self.log_is_too_large else alarms

    @property
    def why_nothing_grows(self) -> str | None:
        """Why no write is taken that makes the state larger: the log has to get shorter first."""
        return LOG_TOO_LARGE if self.log_is_too_large else None

    @property
    def log_is_too_large(self) -> bool:
        """Whether only what makes the state no larger may still be written: the log is held in
        memory and on the disk until a snapshot replaces it."""
        return self._journal.size_bytes >= self._settings.max_log_bytes

    @property
    def rest(self) -> float:
        """How many times as long as a slice to rest after it: one that has to succeed at last may
        take more of the node, so that less changes meanwhile."""
        return AWAITED if self._failures else UNHURRIED

    def _given_up(self, error: BaseException) -> None:
        """The log stays as it is, and another attempt follows."""
        longest_s = MAX_FULL_RETRY_S if isinstance(error, DiskFullError) else MAX_RETRY_S
        wait_s = min(RETRY_S * 2 ** min(self._failures, 20), longest_s)
        self._failures += 1
        self._retry_at = self._ports.now() + wait_s
        why = str(error) or type(error).__name__
        self.problem = (
            f"attempt {self._failures} to take a snapshot failed: {why}; "
            f"the log keeps everything, and the next attempt is in {wait_s:.0f} s"
        )

    def _succeeded(self) -> None:
        self._failures = 0
        self.problem = ""

    def _members_at(self, index: int) -> bytes:
        """Empty while they were never changed."""
        membership = self._journal.memberships.at(index)
        return encode_members(membership.members) if membership.index else b""

    def step(self) -> bool:
        """Do a slice of taking a snapshot; True if there is more to do at once."""
        return self._taker.step()

    def _taken(self, meta: SnapshotMeta) -> None:
        self._succeeded()
        if self.latest is None or meta.index > self.latest.index:
            self.latest = meta
        self._compact(meta.index)

    def _compact(self, index: int) -> None:
        """Drop what the snapshot covers, but for a tail for those who are a little behind."""
        keep_from = index - self._settings.keep_entries
        for sender in self._account.current().snapshots.values():
            keep_from = min(keep_from, sender.meta.index)
        if self._journal.bytes_after(keep_from) > self._settings.snapshot_bytes // 2:
            keep_from = index  # large entries: the tail must not keep the log from shrinking
        if self._journal.term_at(keep_from) is not None:
            self._journal.drop_before(keep_from)
        self._note_compacted(index)

    def _note_compacted(self, index: int) -> None:
        size = self._journal.size_bytes - self._journal.bytes_after(index)
        self._compacted = (index, size)

    # Sending

    def tick_senders(self, progress: LeaderProgress, now: float) -> None:
        """Begin the transfers that were asked for, and go on with those under way."""
        for peer_id in sorted(progress.wants_snapshot):
            if self.latest is not None and peer_id in self._connected:
                progress.snapshots.setdefault(peer_id, self._new_sender(peer_id, self.latest))
        progress.wants_snapshot.clear()
        for peer_id, sender in sorted(progress.snapshots.items()):
            if sender.gone:
                del progress.snapshots[peer_id]
            else:
                sender.tick(now)

    def _new_sender(self, peer_id: str, meta: SnapshotMeta) -> SnapshotSender:
        settings = self._settings
        term = self._engine.term

        def send(fields: dict[str, Any]) -> None:
            if self._engine.role is Role.LEADER and self._engine.term == term:
                self._outbox.transmit(peer_id, self._outbox.make("snapshot", **fields))

        return SnapshotSender(
            self._worker,
            send,
            meta,
            settings.snapshot_chunk_bytes,
            settings.snapshot_bytes_per_s,
            settings.snapshot_resend_s,
        )

    def acknowledged(self, progress: LeaderProgress, peer_id: str, message: Message) -> bool:
        """The peer answered a piece; True if it has the whole now, and needs what follows."""
        sender = progress.snapshots.get(peer_id)
        if sender is None:
            return False
        if (message["index"], message["snapshot_term"]) != (sender.meta.index, sender.meta.term):
            return False
        if not message["done"]:
            sender.acknowledged(message["offset"], self._ports.now())
            return False
        del progress.snapshots[peer_id]
        progress.flow(peer_id).lost()
        next_index = max(sender.meta.index, self._engine.match_index(peer_id)) + 1
        self._engine.receive_ack(peer_id, next_index, success=False, reset=True)
        return True

    # Receiving

    def receive(self, peer_id: str, message: Message) -> None:
        """A piece, from the leader that is followed."""
        self._sending_from = peer_id
        if self._installing is not None:
            return  # a piece sent again meanwhile; it is answered when the state is there
        if message["index"] <= self._engine.commit_index:
            self._receiver.abandon()
            self._finish_receiving(meta_of(message))
        else:
            self._receiver.receive(message)

    def role_changed(self, leader_id: str | None, *, stopped_leading: bool) -> None:
        """Forget a transfer of another leader: nobody else's snapshot is of interest."""
        if leader_id != self._sending_from:
            self._sending_from = None

    def _answer(self, meta: SnapshotMeta, offset: int, done: bool = False) -> None:
        if self._sending_from is not None:
            ack = self._outbox.make(
                "snapshot_ack",
                index=meta.index,
                snapshot_term=meta.term,
                offset=offset,
                done=done,
            )
            self._outbox.transmit(self._sending_from, ack)

    def _finish_receiving(self, meta: SnapshotMeta) -> None:
        self._answer(meta, 0, done=True)
        self._sending_from = None

    def _install_received(self, meta: SnapshotMeta) -> None:
        """The file is durable. It replaces the state unless the log has come that far itself."""
        if meta.index > self._engine.commit_index:
            self._taker.cancel()
            self._installing = meta
            self._worker.run(
                lambda store: load(self._machine, store, meta),
                lambda loaded: self._install(meta, loaded),
            )
        else:
            self._finish_receiving(meta)

    def _install(self, meta: SnapshotMeta, loaded: Any) -> None:
        self._installing = None
        if isinstance(loaded, BaseException):
            self._ports.failed(loaded)
            return
        if meta.index > self._engine.commit_index:
            loaded()
            if self._journal.term_at(meta.index) != meta.term:
                base = (BASE_COMMAND, meta.index, meta.term)
                self._journal.reset_to(base, membership_of(meta, self._first))
            self._engine.snapshot_installed(meta.index)
            self.latest = meta
            self._succeeded()
            self._note_compacted(meta.index)
            self._state_replaced(meta.index)
            self._ports.applied_by_snapshot(meta.index)
        self._finish_receiving(meta)
        self._settle()
