"""The snapshots of one node: written and received under temporary names, verified, then named.

A snapshot that has its name is complete and was synced; one that does not verify is damage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from coord.journal.errors import SnapshotRejectedError, StorageDamagedError, StorageError
from coord.journal.filesystem import FileSystem
from coord.journal.io import (
    TEMPORARY_SUFFIX,
    create_file,
    list_directory,
    make_directory,
    name_anew,
    publish,
    put_back,
    read_part,
    remove_quietly,
    sync_directory,
    sync_file,
    write_fully,
)
from coord.journal.snapshot_format import (
    SEAL_PREFIX_BYTES,
    ChunkEncoder,
    SnapshotDecoder,
    SnapshotFormatError,
    SnapshotMeta,
    decode_header,
    encode_header,
    header_size,
)

READ_BYTES = 1024 * 1024
_NAME = re.compile(r"(\d{20})-(\d{20})\.snapshot")


class _NewFile:
    """A file that gets its name when it is complete; any error drops it."""

    def __init__(self, fs: FileSystem, path: str, suffix: str) -> None:
        self._fs = fs
        self._path = path
        self._temporary = path + suffix
        self._file = create_file(fs, self._temporary)
        self._open = True

    def write(self, data: bytes) -> None:
        if not self._open:
            raise ValueError("the snapshot is closed")
        try:
            write_fully(self._file, self._temporary, data)
        except StorageError:
            self.drop()
            raise

    def publish(self) -> None:
        if not self._open:
            raise ValueError("the snapshot is closed")
        try:
            sync_file(self._file, self._temporary)
            publish(self._fs, self._temporary, self._path)
        except StorageError:
            self.drop()
            raise
        self._open = False
        self._file.close()

    def drop(self) -> None:
        if self._open:
            self._open = False
            self._file.close()
            remove_quietly(self._fs, self._temporary)


class SnapshotWriter:
    """A snapshot in the making. Each method may raise DiskFullError or SyncFailedError; the
    unfinished snapshot is dropped then."""

    def __init__(self, fs: FileSystem, path: str, meta: SnapshotMeta) -> None:
        header = encode_header(meta)
        self._encoder = ChunkEncoder(header)
        self._file = _NewFile(fs, path, TEMPORARY_SUFFIX)
        self._file.write(header)

    def write(self, chunk: bytes) -> None:
        """Add a chunk; `read_chunks` gives it back as one."""
        self._file.write(self._encoder.frame(chunk))
        self._file.write(chunk)

    def commit(self) -> None:
        """Durable and the latest, in one step."""
        self._file.write(self._encoder.end())
        self._file.publish()

    def abort(self) -> None:
        """Drop it. Idempotent; nothing after `commit`."""
        self._file.drop()


class RawSnapshotWriter:
    """The receiving side of a transfer: bytes as another node's `read_at` gave them, in order."""

    def __init__(self, fs: FileSystem, path: str, meta: SnapshotMeta, size: int) -> None:
        self._meta = meta
        self._size = size
        self._decoder = SnapshotDecoder()
        self._file = _NewFile(fs, path, ".raw" + TEMPORARY_SUFFIX)
        self._offset = 0

    @property
    def offset(self) -> int:
        """How many bytes are here; the next write continues there."""
        return self._offset

    def write(self, data: bytes) -> None:
        """Add bytes at `offset`. Raises SnapshotRejectedError, DiskFullError, SyncFailedError;
        what was received is dropped then."""
        try:
            self._verify(data)
        except SnapshotFormatError as error:
            self._file.drop()
            raise SnapshotRejectedError(f"received snapshot refused: {error}") from error
        self._file.write(data)
        self._offset += len(data)

    def commit(self) -> None:
        """Durable and the latest, in one step; SnapshotRejectedError if it is not complete."""
        if not self._decoder.complete or self._offset != self._size:
            self._file.drop()
            what = f"{self._offset} of {self._size} bytes"
            raise SnapshotRejectedError(f"received snapshot refused: incomplete, {what}")
        self._file.publish()

    def abort(self) -> None:
        """Drop it. Idempotent; nothing after `commit`."""
        self._file.drop()

    def _verify(self, data: bytes) -> None:
        if self._offset + len(data) > self._size:
            raise SnapshotFormatError(f"it is larger than the announced {self._size} bytes")
        self._decoder.feed(data)
        if self._decoder.meta is not None and self._decoder.meta != self._meta:
            raise SnapshotFormatError("it is not the announced one")


class SnapshotStore:
    """All snapshots in a directory. Opening removes what an interrupted write left; it may raise
    SyncFailedError."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self._fs = fs
        self._directory = directory
        make_directory(fs, directory)
        put_back(fs, directory)
        for name in list_directory(fs, directory):
            if name.endswith(TEMPORARY_SUFFIX):
                remove_quietly(fs, f"{directory}/{name}")
        sync_directory(fs, directory)  # a process killed before that left names that may vanish

    def begin(self, meta: SnapshotMeta) -> SnapshotWriter:
        """Start writing a snapshot. Raises DiskFullError."""
        return SnapshotWriter(self._fs, self._path(meta.index, meta.term), meta)

    def begin_raw(self, meta: SnapshotMeta, size: int) -> RawSnapshotWriter:
        """Start receiving a snapshot of `size` bytes. Raises DiskFullError."""
        return RawSnapshotWriter(self._fs, self._path(meta.index, meta.term), meta, size)

    def latest(self) -> SnapshotMeta | None:
        """The newest snapshot (its header verified), if any. Raises StorageDamagedError."""
        positions = self._positions()
        return self._read_meta(self._path(*positions[-1])) if positions else None

    def confirm(self, meta: SnapshotMeta) -> None:
        """Make sure that a snapshot found at the start of a node is durable. Its content is: it was
        synced before it got its name."""
        name_anew(self._fs, self._path(meta.index, meta.term))

    def all(self) -> list[SnapshotMeta]:
        """All snapshots, oldest first. Raises StorageDamagedError."""
        return [self._read_meta(self._path(*position)) for position in self._positions()]

    def size(self, meta: SnapshotMeta) -> int:
        """Bytes of the file, as transferred. OSError if it has been purged."""
        return self._fs.size(self._path(meta.index, meta.term))

    def read_at(self, meta: SnapshotMeta, offset: int, length: int) -> bytes:
        """Raw bytes for a transfer; fewer only at the end. OSError if it has been purged."""
        return self._fs.read_at(self._path(meta.index, meta.term), offset, length)

    def read_chunks(self, meta: SnapshotMeta) -> Iterator[bytes]:
        """The chunks as written. A chunk is given out only after its checksum was right; whether
        the snapshot is complete shows at the end. Raises StorageDamagedError."""
        path = self._path(meta.index, meta.term)
        decoder = SnapshotDecoder()
        offset = 0
        while data := self._read(path, offset):
            try:
                chunks = decoder.feed(data)
            except SnapshotFormatError as error:
                raise StorageDamagedError(path, offset, str(error)) from error
            offset += len(data)
            yield from chunks
        if not decoder.complete:
            raise StorageDamagedError(path, offset, "the snapshot ends too early")
        if decoder.meta != meta:
            raise StorageDamagedError(path, 0, "the snapshot is another one")

    def purge(self, keep: int = 2) -> int:
        """Remove all but the newest `keep`; returns how many. Raises SyncFailedError."""
        if keep < 1:
            raise ValueError("the newest snapshot has to stay")
        old = self._positions()[:-keep]
        for position in old:
            remove_quietly(self._fs, self._path(*position))
        if old:
            sync_directory(self._fs, self._directory)
        return len(old)

    def _positions(self) -> list[tuple[int, int]]:
        matches = map(_NAME.fullmatch, list_directory(self._fs, self._directory))
        return sorted((int(match[1]), int(match[2])) for match in matches if match)

    def _path(self, index: int, term: int) -> str:
        return f"{self._directory}/{index:020d}-{term:020d}.snapshot"

    def _read(self, path: str, offset: int, length: int = READ_BYTES) -> bytes:
        return read_part(self._fs, path, offset, length)

    def _read_meta(self, path: str) -> SnapshotMeta:
        try:
            size = header_size(self._read(path, 0, SEAL_PREFIX_BYTES))
            meta = decode_header(self._read(path, 0, size))
        except SnapshotFormatError as error:
            raise StorageDamagedError(path, 0, str(error)) from error
        if path != self._path(meta.index, meta.term):
            raise StorageDamagedError(path, 0, "the snapshot is of another position")
        return meta
