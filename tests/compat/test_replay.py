"""Logs of the old build are replayed by this one to the same state, and the other way round.

Nodes of a cluster apply the same log from snapshots at different indexes, some of them with one
build and some with the other. If a rule in apply differed at the same feature level, they would
diverge; the digests here would tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.old_build import NEW, Build

TOOL = str(Path(__file__).with_name("log_tool.py"))
HERE = Path(__file__).parent

Found = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Recording:
    """`found`: what each entry gave in the build that wrote it. `snapshots`: their indexes."""

    folder: Path
    found: Found
    counts: dict[str, int]
    snapshots: tuple[int, ...]


def recorded(old: Build, folder: Path, seed: int, entries: int, *snapshots: int) -> Recording:
    script = f"import sys; sys.path.append({str(HERE)!r}); import log_tool"
    at = ", ".join(map(repr, map(str, (folder, seed, entries, old.level, *snapshots))))
    told = json.loads(old.run("-c", f"{script}; log_tool.main(iter(['record', {at}]))"))
    return Recording(folder, told["found"], told["counts"], snapshots)


@pytest.fixture(scope="module")
def recording(old: Build, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recorded(old, tmp_path_factory.mktemp("recorded"), 1, 370, 171, 300)


def replayed(build: Build, *data: Path) -> list[Found]:
    found: list[Found] = json.loads(build.run(TOOL, "replay", *map(str, data), timeout_s=600))
    return found


def same_from(index: int, found: Found, expected: Found) -> None:
    wanted = {at: result for at, result in expected.items() if int(at) > index}
    assert list(found) == list(wanted)
    first = next((at for at in wanted if found[at] != wanted[at]), None)
    assert first is None, f"entry {first}: {found[first or '']}, expected {wanted[first or '']}"


def test_the_load_has_everything_in_it(recording: Recording, old: Build) -> None:
    """Every kind of command, and the refusals that depend on state."""
    kinds = {kind for kind in recording.counts if kind.isupper()}
    assert {
        *("OPEN_SESSION", "KEEP_ALIVE", "CLOSE_SESSION"),
        *("SUBMIT_TASKS", "CLAIM_TASKS", "HEARTBEAT_TASKS", "COMPLETE_TASKS", "FAIL_TASKS"),
        *("RELEASE_TASKS", "CANCEL_TASK", "RETRY_TASK", "REDRIVE_QUEUE", "PAUSE_QUEUE"),
        *("ACQUIRE_LOCK", "RELEASE_LOCK", "REFRESH_LOCK", "CANCEL_LOCK_WAIT"),
        *("KV_PUT", "KV_DELETE", "KV_TXN", "KV_COMPACT"),
    } <= kinds
    assert {
        *("SESSION_NOT_FOUND", "SEQUENCE_FORGOTTEN", "STALE_FENCING_TOKEN", "LOCK_NOT_HELD"),
        *("TASK_NOT_FINISHED", "TASK_FINISHED", "TOO_LARGE", "INVALID_ARGUMENT"),
        *("REVISION_COMPACTED", "REVISION_IN_FUTURE", "LEASE_NOT_FOUND", "DUPLICATE_KEY"),
    } <= kinds
    if old.level:
        assert {"SET_QUEUE", "DELETE_QUEUE", "RAISE_LEVEL"} <= kinds
        assert {"QUOTA_EXCEEDED", "IDEMPOTENCY_CONFLICT", "QUEUE_NOT_EMPTY"} <= kinds
    assert sum("digest" in result for result in recording.found.values()) >= 12


def test_this_build_replays_a_log_of_the_old_one(recording: Recording) -> None:
    starts = (0, *recording.snapshots)
    found = replayed(NEW, *(recording.folder / str(at) for at in starts))
    for at, results in zip(starts, found, strict=True):
        same_from(at, results, recording.found)


def test_the_old_build_replays_a_log_of_this_one(
    recording: Recording, old: Build, tmp_path: Path
) -> None:
    """Its journal, vote and snapshots: what this build writes before the level is raised."""
    NEW.run(TOOL, "copy", str(recording.folder / "0"), str(tmp_path / "copy"), "250")
    (found,) = replayed(old, tmp_path / "copy")
    same_from(250, found, recording.found)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(2, 12))
def test_long_logs(seed: int, old: Build, tmp_path: Path) -> None:
    recording = recorded(old, tmp_path / "old", seed, 2_000, 1_111)
    first, second = replayed(NEW, tmp_path / "old" / "0", tmp_path / "old" / "1111")
    same_from(0, first, recording.found)
    same_from(1_111, second, recording.found)
    NEW.run(TOOL, "copy", str(tmp_path / "old" / "0"), str(tmp_path / "new"), "777")
    same_from(777, replayed(old, tmp_path / "new")[0], recording.found)
