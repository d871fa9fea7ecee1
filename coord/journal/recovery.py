"""Reads a journal directory back into entries and decides what a bad byte means.

A crash can leave, and recovery repairs: temporary files, segments below one that starts anew, an
empty segment after an unsealed one, and a torn tail. Zeros to the end of a segment are room that
was reserved and not used. Everything else is damage. A bad record is a torn tail if nothing valid
follows it. If valid records follow, it is one only if none of them was
written after the bad one had been synced, and a lost sector (all zeros) shows that the system had
not written all of it yet; otherwise bytes that were durable have changed.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from coord.journal.errors import StorageDamagedError
from coord.journal.filesystem import FileSystem
from coord.journal.format import (
    RECORD_MAGIC,
    SEGMENT_HEADER_BYTES,
    Record,
    RecordKind,
    SegmentHeader,
    UnknownFormatError,
    decode_record,
    decode_segment_header,
    record_end,
)
from coord.journal.io import (
    TEMPORARY_SUFFIX,
    file_size,
    list_directory,
    put_back,
    read_file,
    read_part,
    rewrite,
    storage_error,
    sync_directory,
)

Entry = tuple[bytes, int, int]  # command, index, term

SECTOR_BYTES = 512
UPGRADE_ADVICE = "start the version of this program that wrote it, or a newer one"
_SEGMENT_NAME = re.compile(r"(\d{20})\.wal")


@dataclass(slots=True)
class Segment:
    """A segment file. All its bytes below `size` are whole records.

    `max_index` >= every index that a record in it names."""

    header: SegmentHeader
    path: str
    size: int
    max_index: int = 0
    sealed: bool = False

    @property
    def has_records(self) -> bool:
        return self.size > SEGMENT_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What opening found. `torn_bytes` > 0: an unfinished write at the end was cut off at
    `torn_offset` of `torn_path`; nothing that had been synced was in it."""

    entries: int = 0
    first_index: int = 0  # 0: no entries
    last_index: int = 0
    segments: int = 0
    size_bytes: int = 0
    torn_path: str = ""
    torn_offset: int = 0
    torn_bytes: int = 0
    removed_files: tuple[str, ...] = ()


@dataclass(slots=True)
class Recovered:
    """The journal as it stands. The last of `segments` is the active one; none: a new journal."""

    segments: list[Segment] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    sequence: int = 0  # of the last record
    next_index: int = 0  # the next entry's index; 0: any
    report: RecoveryReport = field(default_factory=RecoveryReport)


def segment_path(directory: str, number: int) -> str:
    return f"{directory}/{number:020d}.wal"


def recover(fs: FileSystem, directory: str, stopped_at: int = 0) -> Recovered:
    """Read and, where a crash left something unfinished, repair. `stopped_at`: the last record when
    the journal was stopped in order, 0 if it was not. Raises StorageDamagedError."""
    state = Recovered()
    put_back(fs, directory)
    removed = _remove_temporaries(fs, directory)
    segments, leftovers = _live_segments(_read_headers(fs, directory))
    removed += _remove(fs, directory, [segment.path for segment in leftovers])
    for position, segment in enumerate(segments):
        following = segments[position + 1 :]
        _replay_segment(fs, state, segment, following)
        if following and not segment.sealed:
            removed += _remove(fs, directory, [following[0].path])
            break
    _check_end(directory, state, stopped_at)
    _finish(fs, state)
    sync_directory(fs, directory)  # a process killed before it did so left names that may vanish
    state.report = replace(
        state.report,
        entries=len(state.entries),
        first_index=state.entries[0][1] if state.entries else 0,
        last_index=state.entries[-1][1] if state.entries else 0,
        segments=len(state.segments),
        size_bytes=sum(segment.size for segment in state.segments),
        removed_files=tuple(posixpath.basename(path) for path in removed),
    )
    return state


def _remove_temporaries(fs: FileSystem, directory: str) -> list[str]:
    names = [name for name in list_directory(fs, directory) if name.endswith(TEMPORARY_SUFFIX)]
    return _remove(fs, directory, [f"{directory}/{name}" for name in names])


def _remove(fs: FileSystem, directory: str, paths: list[str]) -> list[str]:
    for path in paths:
        try:
            fs.remove(path)
        except OSError as error:
            raise storage_error(path, "remove", error) from error
    if paths:
        sync_directory(fs, directory)
    return paths


def _read_headers(fs: FileSystem, directory: str) -> list[Segment]:
    segments = []
    for name in list_directory(fs, directory):
        match = _SEGMENT_NAME.fullmatch(name)
        if match is None:
            continue
        path = f"{directory}/{name}"
        size = file_size(fs, path)
        try:
            header = decode_segment_header(read_part(fs, path, 0, SEGMENT_HEADER_BYTES))
        except UnknownFormatError as error:
            raise StorageDamagedError(path, 0, str(error), UPGRADE_ADVICE) from error
        if header is None or header.number != int(match[1]):
            raise StorageDamagedError(path, 0, "the segment header is not intact")
        segments.append(Segment(header, path, size))
    return segments


def _live_segments(segments: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Those that count, contiguous in number, and those that an interrupted reset left behind."""
    start = 0
    for position, segment in enumerate(segments):
        if segment.header.starts_anew:
            start = position
    live = segments[start:]
    for before, after in itertools.pairwise(live):
        if after.header.number != before.header.number + 1:
            missing = segment_path(posixpath.dirname(after.path), before.header.number + 1)
            raise StorageDamagedError(missing, -1, "a segment of the journal is missing")
    return live, segments[:start]


def _replay_segment(
    fs: FileSystem, state: Recovered, segment: Segment, following: list[Segment]
) -> None:
    """Add one segment's records to the state; a torn tail is noted in the report, not yet cut."""
    header, path = segment.header, segment.path
    if not state.segments:
        state.sequence, state.next_index = header.first_sequence - 1, header.next_index
    elif (header.first_sequence, header.next_index) != (state.sequence + 1, state.next_index):
        raise StorageDamagedError(path, 0, "the segment does not continue the one before it")
    state.segments.append(segment)
    data = read_file(fs, path)
    try:
        end = _replay_records(state, segment, data)
        torn_bytes = len(data[end:].rstrip(b"\0"))
        if torn_bytes:
            _judge_bad_record(path, data, end, header.crc, state.sequence + 1, segment.sealed)
            state.report = RecoveryReport(torn_path=path, torn_offset=end, torn_bytes=torn_bytes)
    except UnknownFormatError as error:
        raise StorageDamagedError(path, -1, str(error), UPGRADE_ADVICE) from error
    segment.size = end
    _check_seal(segment, following)


def _replay_records(state: Recovered, segment: Segment, data: bytes) -> int:
    """Apply records up to the first bad one; returns its offset."""
    view = memoryview(data)
    offset, seed = SEGMENT_HEADER_BYTES, segment.header.crc
    while not segment.sealed and (record := decode_record(view, offset, seed)) is not None:
        if record.sequence != state.sequence + 1:
            what = f"record {record.sequence} stands where {state.sequence + 1} should be"
            raise StorageDamagedError(segment.path, offset, what)
        _replay_record(state, segment, record, view, offset)
        state.sequence = record.sequence
        offset = record.end
    return offset


def _replay_record(
    state: Recovered, segment: Segment, record: Record, view: memoryview, offset: int
) -> None:
    segment.max_index = max(segment.max_index, record.index)
    if record.kind is RecordKind.ENTRY:
        if state.next_index not in {0, record.index}:
            what = f"entry {record.index} stands where entry {state.next_index} should be"
            raise StorageDamagedError(segment.path, offset, what)
        body = bytes(view[record.body_start : record.end])
        state.entries.append((body, record.index, record.term))
        state.next_index = record.index + 1
    elif record.kind is RecordKind.TRUNCATE:
        if record.index > state.next_index:
            what = f"a cut at {record.index} stands where the log ends at {state.next_index}"
            raise StorageDamagedError(segment.path, offset, what)
        keep = max(0, len(state.entries) - (state.next_index - record.index))
        del state.entries[keep:]
        state.next_index = record.index
    else:
        segment.sealed = True


def _check_seal(segment: Segment, following: list[Segment]) -> None:
    """A sealed segment has a successor; an unsealed one has none, or (rolling over was
    interrupted) one without records, which nothing depends on."""
    if segment.sealed and not following:
        path = segment_path(posixpath.dirname(segment.path), segment.header.number + 1)
        raise StorageDamagedError(path, -1, "a segment of the journal is missing")
    if not segment.sealed and following and (len(following) > 1 or following[0].has_records):
        raise StorageDamagedError(
            segment.path, segment.size, "the end of the segment is not intact"
        )


def _judge_bad_record(
    path: str, data: bytes, offset: int, seed: int, sequence: int, sealed: bool
) -> None:
    """Raise if the bytes at `offset`, where record `sequence` should be, were durable once."""
    if sealed:
        raise StorageDamagedError(path, offset, "there are bytes after the seal of the segment")
    first_valid = 0
    for start, record in _later_records(data, offset, seed, sequence):
        first_valid = first_valid or start
        if record.synced >= sequence:
            what = f"record {sequence} is not intact, and it was on disk once"
            raise StorageDamagedError(path, offset, what)
    if first_valid and not _has_lost_sector(data, offset, first_valid):
        raise StorageDamagedError(path, offset, f"record {sequence} is not intact")


def _later_records(
    data: bytes, offset: int, seed: int, sequence: int
) -> Iterator[tuple[int, Record]]:
    """Valid records with a sequence above `sequence`, wherever they start after `offset`."""
    view = memoryview(data)
    position = record_end(view, offset, seed) or offset + 1
    while (position := data.find(RECORD_MAGIC, position)) >= 0:
        record = decode_record(view, position, seed)
        if record is not None and record.sequence > sequence:
            yield position, record
            position = record.end
        else:
            position += 1


def _has_lost_sector(data: bytes, start: int, end: int) -> bool:
    while start < end:
        stop = min(end, start - start % SECTOR_BYTES + SECTOR_BYTES)
        if not any(data[start:stop]):
            return True
        start = stop
    return False


def _check_end(directory: str, state: Recovered, stopped_at: int) -> None:
    """Before anything is repaired: what is missing here is no torn tail."""
    if state.sequence >= stopped_at:
        return
    last = state.segments[-1] if state.segments else None
    raise StorageDamagedError(
        last.path if last else directory,
        last.size if last else -1,
        f"it ends after record {state.sequence}, and this node was stopped in order when record "
        f"{stopped_at} was the last: its end was cut off",
    )


def _finish(fs: FileSystem, state: Recovered) -> None:
    """Make durable what was read, without the torn tail: it counts as durable from here. That can
    include the seal before an active segment without records."""
    for segment in state.segments[-2:]:
        rewrite(fs, segment.path, read_file(fs, segment.path)[: segment.size], cut=True)
