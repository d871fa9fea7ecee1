"""Snapshots: taking them beside the running node, sending them to a node whose entries are gone
from the log, receiving and installing them. No I/O of its own: a `SnapshotWorker` runs the file
work, in order, away from the event loop.

A snapshot is cut at an applied index. Its file is committed first; only then is the log shortened,
so a crash in between leaves a snapshot and a longer log, which recovery knows to be right.

A transfer is a conversation of one piece at a time: the sender names snapshot, size and offset,
the receiver answers with how much it has (after writing it), so either side can lose the
connection and the transfer goes on where it was. Every byte is verified before the file counts.

A snapshot that cannot be taken is no reason to stop: the log is all there. What the state machine
cannot write, or the store does not take, is given up. What throws doubt on the disk (a failed
write or sync) is another matter: the node has to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from coord.journal import (
    DiskFullError,
    RawSnapshotWriter,
    SnapshotMeta,
    SnapshotRejectedError,
    SnapshotStore,
    SnapshotWriter,
    StorageError,
)
from coord.replication.errors import FatalReplicaError
from coord.replication.messages import Message
from coord.replication.port import SnapshotSource

MAX_CHUNKS_WAITING = 4
KEEP_SNAPSHOTS = 2


class SnapshotWorker(Protocol):
    """Runs jobs on the snapshot store one after the other, then calls back on the event loop with
    what the job returned or raised."""

    def run(self, job: Callable[[SnapshotStore], Any], done: Callable[[Any], None]) -> None: ...


class SnapshotTaker:
    """Writes one snapshot at a time. `on_taken(meta)` after it is durable; `on_given_up(error)`
    when this one cannot be taken; `on_error(error)`: the node has to stop."""

    def __init__(
        self,
        worker: SnapshotWorker,
        on_taken: Callable[[SnapshotMeta], None],
        on_given_up: Callable[[BaseException], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._worker = worker
        self._on_taken = on_taken
        self._on_given_up = on_given_up
        self._on_error = on_error
        self._source: SnapshotSource | None = None
        self._meta: SnapshotMeta | None = None
        self._writer: SnapshotWriter | None = None
        self._waiting = 0
        self.bytes_taken = 0  # of the state, by the snapshot that is or was taken last

    @property
    def busy(self) -> bool:
        return self._meta is not None

    def begin(self, meta: SnapshotMeta, source: SnapshotSource) -> None:
        """Take the snapshot that `source` yields. Not while busy."""
        self._meta, self._source, self._writer, self._waiting = meta, source, None, 0
        self.bytes_taken = 0
        self._submit(meta, lambda store: self._open(store, meta))

    def step(self) -> bool:
        """Read one slice of the state; False when there is nothing to do just now."""
        source, meta = self._source, self._meta
        if source is None or meta is None or self._waiting >= MAX_CHUNKS_WAITING:
            return False
        try:
            chunk = source.next_chunk()
        except Exception as error:
            self._give_up(error)
            return False
        if chunk is None:
            source.close()
            self._source = None
            self._submit(meta, self._commit)
            return False
        self.bytes_taken += len(chunk)
        self._submit(meta, lambda _: self._write(chunk))
        return True

    def cancel(self) -> None:
        """Give up what is being written."""
        if self._source is not None:
            self._source.close()
        self._source = self._meta = None
        writer, self._writer = self._writer, None
        if writer is not None:
            self._worker.run(lambda _: writer.abort(), lambda _: None)

    # On the worker

    def _open(self, store: SnapshotStore, meta: SnapshotMeta) -> None:
        self._writer = store.begin(meta)

    def _write(self, chunk: bytes) -> None:
        if self._writer is not None:
            self._writer.write(chunk)

    def _commit(self, store: SnapshotStore) -> bool:
        if self._writer is None:
            return False
        self._writer.commit()
        store.purge(KEEP_SNAPSHOTS)
        return True

    # Back on the event loop

    def _submit(self, meta: SnapshotMeta, job: Callable[[SnapshotStore], Any]) -> None:
        self._waiting += 1
        self._worker.run(job, lambda result: self._done(meta, result))

    def _done(self, meta: SnapshotMeta, result: Any) -> None:
        if meta is not self._meta:
            return
        self._waiting -= 1
        if isinstance(result, BaseException):
            if _is_fatal(result):
                self.cancel()
                self._on_error(result)
            else:
                self._give_up(result)
        elif result is True:
            self._meta = self._writer = None
            self._on_taken(meta)

    def _give_up(self, error: BaseException) -> None:
        self.cancel()
        self._on_given_up(error)


def _is_fatal(error: BaseException) -> bool:
    """Whether it throws doubt on what is on the disk, or on the replica itself."""
    if isinstance(error, DiskFullError):
        return False
    return isinstance(error, StorageError | OSError | FatalReplicaError)


@dataclass(slots=True)
class SnapshotSender:
    """A leader's side of one transfer. `send(message fields)` posts a piece to the peer."""

    worker: SnapshotWorker
    send: Callable[[dict[str, Any]], None]
    meta: SnapshotMeta
    chunk_bytes: int
    bytes_per_s: int
    resend_s: float
    size: int = -1
    offset: int = 0  # what the peer is known to have
    asked: bool = False  # the peer has answered the first, empty piece
    reading: bool = False
    sent_at: float = -1.0
    due_at: float = 0.0
    awaiting: bool = False
    gone: bool = False  # the file is not there any more

    def tick(self, now: float) -> None:
        """Send what may be sent, or again what was not answered."""
        if self.reading or self.gone or now < self.due_at:
            return
        if self.awaiting and now - self.sent_at < self.resend_s:
            return
        self.reading = True
        meta, offset = self.meta, self.offset
        length = self.chunk_bytes if self.asked else 0
        self.worker.run(
            lambda store: (store.size(meta), store.read_at(meta, offset, length)),
            lambda result: self._read(now, offset, result),
        )

    def _read(self, now: float, offset: int, result: Any) -> None:
        self.reading = False
        if isinstance(result, BaseException):
            self.gone = True
            return
        self.size, data = result
        self.awaiting, self.sent_at = True, now
        self.due_at = now + len(data) / self.bytes_per_s
        self.send(describe(self.meta, self.size, offset, data))

    def acknowledged(self, offset: int, now: float) -> None:
        """The peer has `offset` bytes."""
        if self.size < 0 or offset > self.size:
            return
        self.asked, self.awaiting, self.offset = True, False, offset
        self.tick(now)


def describe(meta: SnapshotMeta, size: int, offset: int, data: bytes) -> dict[str, Any]:
    """The fields of a `snapshot` message."""
    return {
        "index": meta.index,
        "snapshot_term": meta.term,
        "prev_index": meta.prev_index,
        "prev_term": meta.prev_term,
        "members": meta.members,
        "created_wall_ms": meta.created_wall_ms,
        "format": meta.format,
        "size": size,
        "offset": offset,
        "data": data,
    }


def meta_of(message: Message) -> SnapshotMeta:
    """The snapshot a `snapshot` message is about."""
    return SnapshotMeta(
        index=message["index"],
        term=message["snapshot_term"],
        prev_index=message["prev_index"],
        prev_term=message["prev_term"],
        members=message["members"],
        created_wall_ms=message["created_wall_ms"],
        format=message["format"],
    )


class SnapshotReceiver:
    """A follower's side. `answer(meta, offset)` after each piece; `on_complete(meta)` once the
    whole file is verified and durable."""

    def __init__(
        self,
        worker: SnapshotWorker,
        answer: Callable[[SnapshotMeta, int], None],
        on_complete: Callable[[SnapshotMeta], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._worker = worker
        self._answer = answer
        self._on_complete = on_complete
        self._on_error = on_error
        self._meta: SnapshotMeta | None = None
        self._size = 0
        self._offset = 0
        self._writer: RawSnapshotWriter | None = None
        self._busy = False

    def receive(self, message: Message) -> None:
        """A piece. One that does not continue what is here is answered with what is here."""
        if self._busy:
            return
        meta, size = meta_of(message), message["size"]
        if meta != self._meta or size != self._size:
            self._begin(meta, size)
            return
        data: bytes = message["data"]
        if message["offset"] != self._offset or not data:
            self._answer(meta, self._offset)
        elif self._offset + len(data) <= size:
            self._run(lambda _: self._write(data), lambda result: self._wrote(len(data), result))

    def abandon(self) -> None:
        """Give up what was received so far."""
        self._meta = None
        writer, self._writer = self._writer, None
        if writer is not None:
            self._worker.run(lambda _: writer.abort(), lambda _: None)

    def _begin(self, meta: SnapshotMeta, size: int) -> None:
        self.abandon()
        self._meta, self._size, self._offset = meta, size, 0
        self._run(
            lambda store: self._open(store, meta, size), lambda result: self._wrote(0, result)
        )

    def _run(self, job: Callable[[SnapshotStore], Any], done: Callable[[Any], None]) -> None:
        self._busy = True
        self._worker.run(job, done)

    def _open(self, store: SnapshotStore, meta: SnapshotMeta, size: int) -> None:
        self._writer = store.begin_raw(meta, size)

    def _write(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)

    def _commit(self, store: SnapshotStore) -> None:
        if self._writer is not None:
            self._writer.commit()
            store.purge(KEEP_SNAPSHOTS)

    def _wrote(self, count: int, result: Any) -> None:
        self._busy = False
        meta = self._meta
        if isinstance(result, BaseException):
            self._failed(result)
        elif meta is not None:
            self._offset += count
            if count and self._offset == self._size:
                self._run(self._commit, lambda outcome: self._committed(meta, outcome))
            else:
                self._answer(meta, self._offset)

    def _committed(self, meta: SnapshotMeta, result: Any) -> None:
        self._busy = False
        self._writer = None
        self._meta = None
        if isinstance(result, BaseException):
            self._failed(result)
        else:
            self._on_complete(meta)

    def _failed(self, error: BaseException) -> None:
        self._writer = None
        self._meta = None
        if not isinstance(error, DiskFullError | SnapshotRejectedError):  # those: once more
            self._on_error(error)
