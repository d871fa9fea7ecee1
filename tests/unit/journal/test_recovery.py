"""What the journal makes of torn tails, flipped bits, and missing files."""

from __future__ import annotations

import pytest

from chaos.sim.disk import SimDisk
from coord.journal import Journal, StorageDamagedError, StorageUnusableError
from coord.journal.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    RecordKind,
    decode_segment_header,
    encode_record_header,
)
from tests.support.journals import (
    DIRECTORY,
    entries,
    open_journal,
    outcome,
    recovered,
    segments,
)


def written(count: int, *, each_synced: bool = True, size: int = 20) -> SimDisk:
    """A disk with a journal of `count` entries in one segment."""
    disk = SimDisk()
    journal = open_journal(disk)
    for entry in entries(1, count, size=size):
        journal.append([entry])
        if each_synced:
            journal.sync()
    journal.sync()
    journal.close()
    return disk


def test_append_and_reopen() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 3))
    journal.append([(b"", 4, 2)])
    journal.sync()
    journal.close()
    journal = open_journal(disk)
    assert journal.recovered == [*entries(1, 3), (b"", 4, 2)]
    assert journal.next_index == 5
    report = journal.recovery
    assert (report.entries, report.first_index, report.last_index) == (4, 1, 4)
    assert report.torn_bytes == 0
    assert report.size_bytes == journal.size_bytes == disk.size(segments(disk)[0])
    assert journal.take_recovered() == [*entries(1, 3), (b"", 4, 2)]
    assert journal.recovered == []


def test_truncate_and_continue() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 10))
    journal.truncate_from(7)
    journal.append(entries(7, 2, term=2))
    journal.truncate_from(20)  # nothing there
    journal.sync()
    assert recovered(disk.clone()) == [*entries(1, 6), *entries(7, 2, term=2)]
    journal.truncate_from(1)
    journal.append(entries(1, 1, term=3))
    journal.sync()
    assert recovered(disk.clone()) == entries(1, 1, term=3)


def test_the_log_may_begin_anywhere_once() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(100, 2))
    with pytest.raises(ValueError, match="does not continue"):
        journal.append(entries(103, 1))
    with pytest.raises(ValueError, match="does not continue"):
        journal.append([*entries(102, 1), *entries(104, 1)])
    journal.append(entries(102, 1))
    journal.sync()
    assert recovered(disk) == entries(100, 3)


def test_indexes_begin_at_one() -> None:
    journal = open_journal(SimDisk())
    with pytest.raises(ValueError, match="start at 1"):
        journal.append(entries(0, 1))
    with pytest.raises(ValueError, match="index 0"):
        journal.truncate_from(0)


@pytest.mark.parametrize("room", [0, 700])
@pytest.mark.parametrize("last", ["entry", "truncate", "large"])
def test_every_truncation_recovers_a_prefix(last: str, room: int) -> None:
    """`room`: zeros that stand behind, where the rest was never written."""
    disk = written(4)
    ends = [SEGMENT_HEADER_BYTES + n * (RECORD_HEADER_BYTES + 20) for n in range(5)]
    states = [entries(1, n) for n in range(5)]
    journal = open_journal(disk)
    if last == "truncate":
        journal.truncate_from(2)
        states.append(entries(1, 1))
    else:
        more = entries(5, 1, size=1500 if last == "large" else 20)
        journal.append(more)
        states.append(entries(1, 4) + more)
    journal.sync()
    (path,) = segments(disk)
    data = disk.get(path)
    ends.append(len(data))
    for cut in range(SEGMENT_HEADER_BYTES, len(data) + 1):
        copy = disk.clone()
        copy.put(path, data[:cut] + bytes(room))
        survivors = max(n for n, end in enumerate(ends) if end <= cut)
        torn = data[ends[survivors] : cut].rstrip(b"\0")
        journal = open_journal(copy)
        assert journal.recovered == states[survivors], cut
        assert journal.recovery.torn_bytes == len(torn)
        assert copy.size(path) == ends[survivors]
        assert recovered(copy) == states[survivors]


def test_every_truncated_segment_header_is_damage() -> None:
    disk = written(1)
    (path,) = segments(disk)
    data = disk.get(path)
    for cut in range(SEGMENT_HEADER_BYTES):
        disk.put(path, data[:cut])
        assert outcome(disk) == "damaged"


@pytest.mark.parametrize("room", [0, 700])
@pytest.mark.parametrize("kind", ["entry", "truncate", "zeros"])
def test_every_bit_flip_of_the_last_record_recovers_to_before_it(kind: str, room: int) -> None:
    disk = written(3)
    before = disk.size(segments(disk)[0])
    journal = open_journal(disk)
    if kind == "truncate":
        journal.truncate_from(2)
    else:
        journal.append([(b"\x00" * 30 if kind == "zeros" else b"hello world", 4, 1)])
    journal.sync()
    (path,) = segments(disk)
    data = disk.get(path)
    for bit in range(before * 8, len(data) * 8):
        copy = disk.clone()
        copy.put(path, data + bytes(room))
        copy.flip_bit(path, bit)
        journal = open_journal(copy)
        assert journal.recovered == entries(1, 3), bit
        assert journal.recovery.torn_offset == before
        journal.append(entries(4, 1, term=9))
        journal.sync()
        assert recovered(copy) == [*entries(1, 3), *entries(4, 1, term=9)]


@pytest.mark.parametrize("room", [0, 700])
@pytest.mark.parametrize("each_synced", [True, False])
def test_every_bit_flip_before_the_last_record_is_damage(each_synced: bool, room: int) -> None:
    disk = written(3, each_synced=each_synced)
    (path,) = segments(disk)
    data = disk.get(path)
    last = len(data) - RECORD_HEADER_BYTES - 20
    for bit in range(last * 8):
        disk.put(path, data + bytes(room))
        disk.flip_bit(path, bit)
        with pytest.raises(StorageDamagedError) as caught:
            recovered(disk)
        assert caught.value.path == path
        assert "data directory away" in str(caught.value)
        assert 0 <= caught.value.offset <= bit // 8


def test_a_lost_sector_in_the_unsynced_tail_is_cut() -> None:
    disk = written(2)
    journal = open_journal(disk)
    start = journal.size_bytes
    journal.append([*entries(3, 1, size=2000), *entries(4, 1)])
    journal.sync()
    (path,) = segments(disk)
    data = bytearray(disk.get(path))
    data[start + 512 - start % 512 :][:512] = bytes(512)
    sector = start + 512 - start % 512
    data[sector : sector + 512] = bytes(512)
    copy = disk.clone()
    copy.put(path, bytes(data))
    assert recovered(copy) == entries(1, 2)
    # The same loss where a later record says that it had been synced is damage.
    journal.append(entries(5, 1))
    journal.sync()
    disk.put(path, bytes(data) + disk.get(path)[len(data) :])
    assert outcome(disk) == "damaged"


def test_room_behind_the_records_is_no_torn_tail() -> None:
    disk = written(2)
    (path,) = segments(disk)
    whole = disk.get(path)
    disk.put(path, whole + bytes(5000))
    journal = open_journal(disk)
    assert journal.recovered == entries(1, 2)
    assert journal.recovery.torn_bytes == 0
    assert disk.get(path) == whole
    disk.put(path, whole + bytes(5000))
    disk.free_bytes = 10  # so that there is no room for a copy
    open_journal(disk).close()
    assert disk.get(path) == whole


def test_room_is_reserved_ahead_and_given_back_by_a_seal() -> None:
    disk = SimDisk()
    journal = open_journal(disk, 600, reserve_bytes=300)
    calls: list[str] = []
    disk.fault = lambda operation, path: calls.append(operation)
    for entry in entries(1, 4):
        journal.append([entry])
        journal.sync()
    assert calls.count("reserve") == 1
    (path,) = segments(disk)
    assert disk.size(path) == SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 20 + 300
    assert recovered(disk.clone()) == entries(1, 4)
    journal.append(entries(5, 6))
    first, _ = segments(disk)
    assert disk.durable(first) == disk.get(first).rstrip(b"\0")
    journal.sync()
    for room in (0, 100):
        copy = disk.clone()  # the system may have lost the cut behind a seal, but not the seal
        copy.put(first, disk.get(first) + bytes(room))
        assert recovered(copy, 600) == entries(1, 10)
    disk.put(first, disk.get(first) + bytes(100) + b"x")
    assert outcome(disk, 600) == "damaged"


def test_zeros_in_front_of_what_is_durable_are_damage() -> None:
    disk = written(6)
    (path,) = segments(disk)
    data = disk.get(path)
    step = RECORD_HEADER_BYTES + 20
    for first in range(5):
        start = SEGMENT_HEADER_BYTES + first * step
        disk.put(path, data[:start] + bytes(step) + data[start + step :] + bytes(700))
        assert outcome(disk) == "damaged", first


def test_a_forged_record_inside_a_command_is_no_evidence_of_damage() -> None:
    disk = written(1)
    (path,) = segments(disk)
    header = decode_segment_header(disk.get(path))
    assert header is not None
    forged = encode_record_header(RecordKind.ENTRY, 9, 8, 9, 1, b"", header.crc)
    journal = open_journal(disk)
    journal.append([(forged * 3, 2, 1)])
    journal.append([(forged * 3, 3, 1)])
    journal.sync()
    disk.put(path, disk.get(path)[:-1])
    assert recovered(disk) == [*entries(1, 1), (forged * 3, 2, 1)]


def test_records_of_another_segment_are_not_taken() -> None:
    disk = SimDisk()
    journal = open_journal(disk, 200)
    journal.append(entries(1, 2))
    journal.append(entries(3, 2))
    journal.sync()
    first, second = segments(disk)
    disk.put(second, disk.get(second)[:SEGMENT_HEADER_BYTES] + disk.get(first)[48:])
    assert outcome(disk, 200) == entries(1, 2)


def rolled(count: int = 12, segment_bytes: int = 250) -> SimDisk:
    """A disk with a journal over several segments."""
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes)
    for entry in entries(1, count):
        journal.append([entry])
        journal.sync()
    journal.close()
    assert len(segments(disk)) >= 4
    return disk


def test_segments_roll_over() -> None:
    disk = rolled()
    assert recovered(disk, 250) == entries(1, 12)
    journal = open_journal(disk, 250)
    assert journal.recovery.segments == len(segments(disk)) == journal.segment_count


def test_a_batch_larger_than_a_segment_gets_one_of_its_own() -> None:
    disk = SimDisk()
    journal = open_journal(disk, 250)
    journal.append(entries(1, 1))
    journal.append(entries(2, 50))
    journal.append(entries(52, 1))
    journal.sync()
    assert len(segments(disk)) == 3
    assert recovered(disk, 250) == entries(1, 52)


@pytest.mark.parametrize("position", range(1, 4))
def test_a_missing_segment_is_damage(position: int) -> None:
    disk = rolled()
    names = segments(disk)
    missing = names[-1] if position == 3 else names[position]
    disk.remove(missing)
    with pytest.raises(StorageDamagedError, match="missing") as caught:
        recovered(disk, 250)
    assert caught.value.path == missing


def test_every_bit_flip_in_a_sealed_segment_is_damage() -> None:
    disk = rolled()
    path = segments(disk)[1]
    data = disk.get(path)
    for bit in range(len(data) * 8):
        disk.put(path, data)
        disk.flip_bit(path, bit)
        assert outcome(disk, 250) == "damaged", bit


def test_every_truncation_of_a_sealed_segment_is_damage() -> None:
    disk = rolled()
    path = segments(disk)[1]
    data = disk.get(path)
    for cut in range(len(data)):
        disk.put(path, data[:cut])
        assert outcome(disk, 250) == "damaged", cut
    disk.put(path, data + b"x")
    assert outcome(disk, 250) == "damaged"


def test_another_format_version_is_refused_with_advice() -> None:
    import struct
    from zlib import crc32

    disk = written(1)
    (path,) = segments(disk)
    data = bytearray(disk.get(path))
    struct.pack_into("<H", data, 8, 2)
    struct.pack_into("<I", data, 44, crc32(data[:44]))
    disk.put(path, bytes(data))
    with pytest.raises(StorageDamagedError, match=r"journal format 2.*newer"):
        recovered(disk)


def test_an_unreadable_segment_is_no_damage() -> None:
    disk = written(1)

    def fail(path: str) -> bytes:
        raise OSError(5, "Input/output error")

    disk.read_all = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnusableError, match="cannot read") as caught:
        recovered(disk)
    assert "away" not in str(caught.value)


def test_a_journal_that_must_exist() -> None:
    with pytest.raises(StorageDamagedError, match="missing"):
        Journal.open(SimDisk(), DIRECTORY, must_exist=True)
    disk = written(1)
    assert Journal.open(disk, DIRECTORY, must_exist=True).recovered == entries(1, 1)


def test_opening_syncs_what_only_a_killed_process_had_written() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 2))  # no sync; the process is killed, the machine is not
    open_journal(disk).close()
    assert recovered(disk.clone()) == entries(1, 2)
