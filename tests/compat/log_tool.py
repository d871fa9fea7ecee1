"""Writes and reads the logs of single nodes, with whichever build is on the path.

A script of its own: the tests run it in processes of two builds, so it imports only what both have.

    record OUT SEED ENTRIES LEVEL SNAPSHOT_INDEX...   a data directory OUT/INDEX for each snapshot,
                                                and OUT/0 without one, all with the same log
    copy DATA OUT SNAPSHOT_INDEX                the log of DATA in a directory that this build
                                                writes, with a snapshot that this build takes
    replay DATA...                              what every entry behind the snapshot gives, for each

`record` and `replay` print JSON: for each index the digest of the state (every EVERY entries, and
at the end) and a hash of the replies.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from coord.codec.envelope import decode_envelope, encode_envelope, to_batch
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.machine import Machine
from coord.journal import OsFileSystem, SnapshotMeta, SnapshotStore
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.entry_kinds import NO_OP, REGULAR
from coord.replication.membership import encode_members
from coord.replication.port import Member

try:  # where the first build has them
    from coord.replication.write_ops import AppendEntry, StoreVote
except ImportError:
    from coord.replication.storage.writes import AppendEntry, StoreVote

EVERY = 30
TERM = 1
MEMBERS = encode_members([Member("n1", "127.0.0.1:1", "127.0.0.1:2")])

Entry = tuple[bytes, int, int]
Found = dict[str, dict[str, str]]


def open_data(path: str) -> OpenStorage:
    return open_storage(path, "compat", "n1", wall_ms=1, incarnation=7, fs=OsFileSystem())


# ---- replaying


def restored(storage: OpenStorage) -> tuple[Machine, int]:
    """The machine of the latest snapshot, or a new one; and the last index that it has."""
    meta = storage.boot.snapshot
    if meta is None:
        return Machine(), 1
    return Machine.from_rows(decode_snapshot(storage.snapshots.read_chunks(meta))), meta.index


def replay(path: str) -> Found:
    storage = open_data(path)
    try:
        machine, applied = restored(storage)
        entries = [entry for entry in storage.boot.entries if entry[1] > applied]
        return results(machine, entries)
    finally:
        storage.close()


def results(machine: Machine, entries: Sequence[Entry]) -> Found:
    """Apply, and tell what comes of it."""
    found: Found = {}
    for command, index, _ in entries:
        if command[:1] != REGULAR:
            continue
        replies = machine.apply(to_batch(command[1:])).replies
        found[str(index)] = {"replies": told(replies)}
        if index % EVERY == 0 or index == entries[-1][1]:
            found[str(index)]["digest"] = machine.digest()
    return found


def told(replies: Sequence[Any]) -> str:
    return hashlib.sha256(ascii([plain(reply) for reply in replies]).encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """A reply as nested tuples of text, numbers and bytes, with the names of its types."""
    if isinstance(value, tuple):
        return (type(value).__name__, *map(plain, value))
    return str(value) if isinstance(value, str) else value


# ---- writing


def write(path: str, entries: Sequence[Entry], snapshot: tuple[int, Machine] | None) -> None:
    """A data directory with this log, and perhaps a snapshot of what is applied at an index."""
    storage = open_data(path)
    try:
        operations: list[Any] = [StoreVote(TERM, "n1")]
        operations += [AppendEntry((data, index, term)) for data, index, term in entries]
        storage.writer.carry_out(deque(enumerate(operations, 1)))
        storage.writer.sync()
        if snapshot is not None:
            take(storage.snapshots, *snapshot)
    finally:
        storage.close()


def take(store: SnapshotStore, index: int, machine: Machine) -> None:
    meta = SnapshotMeta(index, TERM, index - 1, TERM, MEMBERS, 1)
    writer = store.begin(meta)
    encoder = SnapshotEncoder(machine.freeze())
    while (chunk := encoder.next_chunk()) is not None:
        writer.write(chunk)
    writer.commit()


def machine_at(entries: Sequence[Entry], last: int) -> Machine:
    machine = Machine()
    for command, index, _ in entries:
        if command[:1] == REGULAR and index <= last:
            machine.apply(to_batch(command[1:]))
    return machine


def copy(path: str, out: str, at: int) -> None:
    """Encoded anew by this build, which must give the same bytes."""
    storage = open_data(path)
    entries = list(storage.boot.entries)
    storage.close()
    for command, index, _ in entries:
        if command[:1] == REGULAR:
            envelope = decode_envelope(command[1:])
            again = encode_envelope(envelope.now_ms, envelope.wall_ms, envelope.items)
            assert again == command[1:], f"entry {index} is encoded otherwise"
    write(out, entries, (at, machine_at(entries, at)))


def record(out: str, seed: int, count: int, level: int, snapshots: Sequence[int]) -> dict[str, Any]:
    from varied_load import Load

    load, machine = Load(seed, level), Machine()
    entries: list[Entry] = [(NO_OP, 1, TERM)]
    for index in range(2, count + 2):
        data = encode_envelope(*load.next_entry())
        load.learn(machine.apply(to_batch(data)).replies)
        entries.append((REGULAR + data, index, TERM))
    write(f"{out}/0", entries, None)
    for at in snapshots:
        write(f"{out}/{at}", entries, (at, machine_at(entries, at)))
    return {"found": results(Machine(), entries), "counts": load.counts}


def main(arguments: Iterator[str]) -> None:
    match next(arguments):
        case "record":
            out, *numbers = arguments
            seed, count, level, *snapshots = map(int, numbers)
            print(json.dumps(record(out, seed, count, level, snapshots)))
        case "copy":
            path, out, at = arguments
            copy(path, out, int(at))
        case "replay":
            print(json.dumps([replay(path) for path in arguments]))


if __name__ == "__main__":
    main(iter(sys.argv[1:]))
