"""The write-ahead log of one node: entries (command, index, term), appended, cut and compacted.

Theory of operation. Records are only ever appended; cutting the tail is itself a record, and
compaction deletes whole segments from the front, each deletion durable before the next, so a
crash anywhere leaves a contiguous run. A segment is created in full under a temporary name, then
named, then its predecessor is sealed, and only then written to: a seal without a successor, or
records after an unsealed segment, cannot come from a crash. A reset writes a segment that says
"everything before me is dropped" and names it in one step.

Room for what is to come is reserved ahead, a piece at a time, where the file system can: a sync
then has no new size of the file to write. So the segment in use ends in zeros. They are no records
and no damage; a sealed segment has none. The last of the room is spare: when no more can be had,
the disk counts as full, and only records with next to no command are still written. Such are a new
leader's first entry, without which nobody could read, and cuts.

All calls come from one thread at a time. After SyncFailedError every call raises it again.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Sequence

from coord.journal.advice import advice_on
from coord.journal.errors import DiskFullError, StorageDamagedError, SyncFailedError
from coord.journal.filesystem import AppendFile, FileSystem
from coord.journal.format import (
    RECORD_HEADER_BYTES,
    RecordKind,
    SegmentHeader,
    encode_record_header,
    encode_segment_header,
)
from coord.journal.io import (
    TEMPORARY_SUFFIX,
    create_file,
    is_full,
    make_directory,
    open_file,
    publish,
    remove_quietly,
    storage_error,
    sync_directory,
    sync_file,
    write_fully,
)
from coord.journal.recovery import Entry, Recovered, RecoveryReport, Segment, recover, segment_path

DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024
SPARE_BYTES = 4096  # some 80 small records
SMALL_BYTES = RECORD_HEADER_BYTES + 8


class Journal:
    """An open journal. Use `Journal.open`."""

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        segment_bytes: int,
        reserve_bytes: int,
        recovered: Recovered,
    ) -> None:
        self._fs = fs
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._spare_bytes = min(SPARE_BYTES, reserve_bytes // 4)
        self._reserved = 0  # up to where the active segment's file has room
        self._segments = recovered.segments
        self._entries = recovered.entries
        self._report = recovered.report
        self._next_index = recovered.next_index
        self._sequence = self._synced = recovered.sequence  # _synced <= _sequence
        self._synced_size = recovered.segments[-1].size if recovered.segments else 0
        self._failure: SyncFailedError | None = None
        self._file: AppendFile | None = None

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        directory: str,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        *,
        reserve_bytes: int = 0,
        must_exist: bool = False,
        stopped_at: int = 0,
    ) -> Journal:
        """Recover what is there, or begin a new journal. `reserve_bytes`: how much room is reserved
        at a time; 0: none. `stopped_at`: the last record when it was stopped in order.

        Raises StorageDamagedError (also when `must_exist` and there is none),
        StorageUnusableError, DiskFullError, SyncFailedError."""
        make_directory(fs, directory)
        journal = cls(
            fs, directory, segment_bytes, reserve_bytes, recover(fs, directory, stopped_at)
        )
        if journal._segments:
            active = journal._segments[-1]
            journal._file = open_file(fs, active.path)
        elif must_exist:
            raise StorageDamagedError(directory, -1, "the journal of this node is missing")
        else:
            header = SegmentHeader(number=1, first_sequence=1, next_index=0, starts_anew=False)
            segment, journal._file = journal._create_segment(header, ())
            journal._segments.append(segment)
            journal._synced_size = segment.size
        return journal

    @property
    def recovered(self) -> list[Entry]:
        """The entries found at opening, contiguous in index; empty after `take_recovered`."""
        return self._entries

    def take_recovered(self) -> list[Entry]:
        """Hand the recovered entries over, so that the journal does not keep them in memory."""
        entries, self._entries = self._entries, []
        return entries

    @property
    def recovery(self) -> RecoveryReport:
        """What opening found and repaired."""
        return self._report

    @property
    def next_index(self) -> int:
        """The index the next appended entry must have; 0: any (nothing was ever appended)."""
        return self._next_index

    @property
    def last_sequence(self) -> int:
        """The number of the last record, which only grows; see `CleanStop`."""
        return self._sequence

    @property
    def active_path(self) -> str:
        """The file that is written to now."""
        return self._segments[-1].path

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self._segments)

    @property
    def segment_count(self) -> int:
        return len(self._segments)

    @property
    def unsynced(self) -> bool:
        """Whether something was written since the last successful `sync`."""
        return self._synced < self._sequence

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries (command, index, term) behind the last; durable only after `sync`.

        Raises DiskFullError (definite, none of them is kept), SyncFailedError, ValueError for an
        index that does not continue the log."""
        self._check_usable()
        if not entries:
            return
        self._check_contiguous(entries, self._next_index)
        size = sum(len(command) for command, _, _ in entries) + RECORD_HEADER_BYTES * len(entries)
        self._roll_over_before(size)
        data = self._encode_entries(self._segments[-1].header, self._sequence, entries)
        self._write(data)
        self._wrote(len(data), len(entries), entries[-1][1])
        self._next_index = entries[-1][1] + 1

    def truncate_from(self, index: int) -> None:
        """Drop the entries from `index` on, by a record that says so; durable only after `sync`.

        Raises DiskFullError (definite), SyncFailedError."""
        self._check_usable()
        if index < 1:
            raise ValueError(f"cannot cut a log at index {index}")
        if index >= self._next_index:
            return
        self._roll_over_before(RECORD_HEADER_BYTES)
        data = self._encode(RecordKind.TRUNCATE, index)
        self._write(data)
        self._wrote(len(data), 1, index)
        self._next_index = index

    def reset(self, first_entries: Sequence[Entry] = (), *, next_index: int = 0) -> None:
        """Durably drop everything and begin anew with `first_entries` (a snapshot's last ones).

        Atomic: after a crash there is the old log or the new one. Without entries, `next_index`
        is the index of the entry to come (0: any). Raises DiskFullError (definite: the old log
        stands), SyncFailedError."""
        self._check_usable()
        if first_entries:
            next_index = first_entries[0][1]
            self._check_contiguous(first_entries, next_index)
        active = self._segments[-1].header
        header = SegmentHeader(active.number + 1, self._sequence + 1, next_index, starts_anew=True)
        segment, file = self._create_segment(header, first_entries)
        dropped, self._segments = self._segments, [segment]
        self._use(file)
        self._sequence += len(first_entries)
        self._synced, self._synced_size = self._sequence, segment.size
        self._next_index = first_entries[-1][1] + 1 if first_entries else next_index
        for old in dropped:
            self._remove_segment(old)

    def drop_before(self, index: int) -> int:
        """Delete sealed segments in which every record is about indexes below `index`.

        Entries below `index` that share a segment with later ones stay. Returns how many segments
        were deleted. Raises SyncFailedError."""
        self._check_usable()
        dropped = 0
        while len(self._segments) > 1 and self._segments[0].max_index < index:
            self._remove_segment(self._segments[0])
            del self._segments[0]
            dropped += 1
        return dropped

    def sync(self) -> None:
        """Make everything written so far durable, with one fdatasync (none if nothing is new).

        Raises SyncFailedError; the journal is of no use afterwards."""
        self._check_usable()
        if self.unsynced:
            self._sync_active()

    def close(self) -> None:
        """Close the files, without syncing. Idempotent."""
        self._close_file()

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._file is None:
            raise ValueError("the journal is closed")

    @staticmethod
    def _check_contiguous(entries: Sequence[Entry], next_index: int) -> None:
        expected = next_index or entries[0][1]
        if expected < 1:
            raise ValueError(f"log indexes start at 1, not at {expected}")
        for _, index, _ in entries:
            if index != expected:
                raise ValueError(f"entry {index} does not continue the log at {expected}")
            expected += 1

    def _encode_entries(
        self, header: SegmentHeader, sequence: int, entries: Sequence[Entry]
    ) -> bytes:
        parts: list[bytes] = []
        synced, seed, kind = self._synced, header.crc, RecordKind.ENTRY
        for command, index, term in entries:
            sequence += 1
            parts.append(encode_record_header(kind, sequence, synced, index, term, command, seed))
            parts.append(command)
        return b"".join(parts)

    def _encode(self, kind: RecordKind, index: int) -> bytes:
        seed = self._segments[-1].header.crc
        return encode_record_header(kind, self._sequence + 1, self._synced, index, 0, b"", seed)

    def _wrote(self, size: int, records: int, max_index: int) -> None:
        active = self._segments[-1]
        active.size += size
        active.max_index = max(active.max_index, max_index)
        self._sequence += records

    def _write(self, data: bytes) -> None:
        """Write to the active segment, all or nothing."""
        path = self._segments[-1].path
        if self._reserve_bytes:
            self._reserve_for(len(data))
        try:
            write_fully(self._active_file(), path, data)
        except DiskFullError:
            self._roll_back()
            raise
        except SyncFailedError as error:
            self._failure = error
            raise

    def _reserve_for(self, size: int) -> None:
        """Have room for `size` bytes and the spare, or (small records) for them alone. Raises
        DiskFullError. Not every file system can reserve; the write will say what is wrong then."""
        active = self._segments[-1]
        wanted = active.size + size
        if wanted + self._spare_bytes <= self._reserved:
            return
        for ahead in (self._reserve_bytes, self._spare_bytes):
            try:
                self._active_file().reserve(wanted + ahead)
            except OSError as error:
                if not is_full(error):
                    return
            else:
                self._reserved = wanted + ahead
                return
        if size > SMALL_BYTES:
            raise DiskFullError(active.path)

    def _roll_back(self) -> None:
        """Cut off what a failed write left. Synced, so that no crash brings a part of it back."""
        self._cut_off()
        self._sync_active()

    def _cut_off(self) -> None:
        """End the active file with its last record."""
        active = self._segments[-1]
        try:
            self._active_file().truncate(active.size)
        except OSError as error:
            reason = error.strerror or str(error)
            self._failure = SyncFailedError(active.path, "truncate", reason, advice_on(error))
            raise self._failure from error
        self._reserved = active.size

    def _sync_active(self) -> None:
        active, file = self._segments[-1], self._active_file()
        try:
            sync_file(file, active.path)
        except SyncFailedError as error:
            self._failure = error
            # What may exist in the page cache only must not look durable to the next process.
            with contextlib.suppress(OSError):
                file.truncate(self._synced_size)
            raise
        self._synced, self._synced_size = self._sequence, active.size

    def _roll_over_before(self, size: int) -> None:
        """Begin a new segment if `size` more bytes would make the active one too large."""
        active = self._segments[-1]
        if not active.has_records or active.size + size <= self._segment_bytes:
            return
        header = SegmentHeader(
            active.header.number + 1, self._sequence + 2, self._next_index, starts_anew=False
        )
        segment, file = self._create_segment(header, ())
        try:
            self._seal()
        except BaseException:
            file.close()
            remove_quietly(self._fs, segment.path)
            raise
        self._segments.append(segment)
        self._use(file)
        self._synced_size = segment.size

    def _seal(self) -> None:
        data = self._encode(RecordKind.SEAL, 0)
        self._write(data)
        self._wrote(len(data), 1, 0)
        if self._reserved:
            self._cut_off()
        self._sync_active()
        self._segments[-1].sealed = True

    def _create_segment(
        self, header: SegmentHeader, entries: Sequence[Entry]
    ) -> tuple[Segment, AppendFile]:
        """A durable segment with these entries: there in full after a crash, or not at all."""
        encoded, crc = encode_segment_header(header)
        header = SegmentHeader(
            header.number, header.first_sequence, header.next_index, header.starts_anew, crc
        )
        data = encoded + self._encode_entries(header, header.first_sequence - 1, entries)
        path = segment_path(self._directory, header.number)
        temporary = path + TEMPORARY_SUFFIX
        file = create_file(self._fs, temporary)
        try:
            write_fully(file, temporary, data)
            sync_file(file, temporary)
            publish(self._fs, temporary, path)
        except DiskFullError:
            file.close()
            remove_quietly(self._fs, temporary)
            raise
        except SyncFailedError as error:
            file.close()
            self._failure = error
            raise
        max_index = entries[-1][1] if entries else 0
        return Segment(header, path, len(data), max_index), file

    def _remove_segment(self, segment: Segment) -> None:
        """Durably delete a segment file; the next one may go only after that."""
        try:
            try:
                self._fs.remove(segment.path)
            except OSError as error:
                raise storage_error(segment.path, "remove", error) from error
            sync_directory(self._fs, posixpath.dirname(segment.path))
        except SyncFailedError as error:
            self._failure = error
            raise

    def _active_file(self) -> AppendFile:
        if self._file is None:
            raise ValueError("the journal is closed")
        return self._file

    def _use(self, file: AppendFile) -> None:
        """Go on in another segment."""
        self._close_file()
        self._file, self._reserved = file, 0

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
