"""Bytes written by an earlier version of the program still mean the same.

`--rewrite` writes the files anew. A diff in them is a change of format: what is on disks out there
would be read differently, so it needs a new format version, not a new golden file."""

from __future__ import annotations

from pathlib import Path

import pytest

from coord.codec.envelope import EnvelopeItem, encode_envelope, to_batch
from coord.codec.kinds import KIND_LEVEL, CommandKind
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Request
from coord.core.machine import Machine
from tests.support.codec_samples import SAMPLES, raw
from tests.support.row_source import ListSource, NamedRow

HERE = Path(__file__).parent
ENTRY_FILE = HERE / "envelope_v1.hex"
SNAPSHOT_FILE = HERE / "snapshot_v1.hex"

# Kinds that came with a later level stand behind all others, so that those keep their bytes.
KINDS = sorted(CommandKind, key=lambda kind: KIND_LEVEL.get(kind, 0))
ITEMS = [
    EnvelopeItem(int(kind), "someone", 5, 10 + at, 3, raw(kind)) for at, kind in enumerate(KINDS)
]
BATCH = Batch(
    1_000,
    1_700_000_000_000,
    [Request(SAMPLES[kind][1], RequestId(5, 10 + at, 3)) for at, kind in enumerate(KINDS)],
)
ROWS: list[NamedRow] = [
    ("meta", (1, 2, 3, 1_700_000_000_000)),
    ("kv", (b"k", b"\x00\xff", 2, 3, 4, 0)),
    ("kv", (b"l", b"", 3, 3, 1, 0)),
    ("kv_history", (3, b"k", (b"k", b"old", 2, 2, 1, 0))),
    ("kv_history", (3, b"l", None)),
    ("names", ("ü", True, False, -1, 2**64 - 1, (("a", "b"), ()))),
]


def chunks() -> list[bytes]:
    encoder = SnapshotEncoder(ListSource(ROWS))
    return list(iter(encoder.next_chunk, None))  # type: ignore[arg-type]


@pytest.fixture(autouse=True, scope="module")
def _rewrite(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        _write(ENTRY_FILE, [encode_envelope(BATCH.now_ms, BATCH.wall_ms, ITEMS)])
        _write(SNAPSHOT_FILE, chunks())


def _write(path: Path, parts: list[bytes]) -> None:
    """One part after the other, 40 bytes to the line, parts apart by an empty line."""
    path.write_text("\n\n".join(_lines(part.hex()) for part in parts) + "\n", "ascii")


def _lines(text: str) -> str:
    return "\n".join(text[at : at + 80] for at in range(0, len(text), 80))


def _read(path: Path) -> list[bytes]:
    return [bytes.fromhex(part) for part in path.read_text("ascii").split("\n\n")]


def test_the_entry_means_what_it_meant() -> None:
    (data,) = _read(ENTRY_FILE)
    assert to_batch(data) == BATCH


def test_the_entry_is_still_written_the_same() -> None:
    assert [encode_envelope(BATCH.now_ms, BATCH.wall_ms, ITEMS)] == _read(ENTRY_FILE)


def test_the_snapshot_means_what_it_meant() -> None:
    assert list(decode_snapshot(_read(SNAPSHOT_FILE))) == ROWS


def test_the_snapshot_is_still_written_the_same() -> None:
    assert chunks() == _read(SNAPSHOT_FILE)


def test_every_command_of_the_entry_can_be_applied() -> None:
    machine = Machine()
    replies = machine.apply(to_batch(_read(ENTRY_FILE)[0])).replies
    assert len(replies) == len(CommandKind)
