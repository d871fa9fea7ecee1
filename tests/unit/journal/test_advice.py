"""Errors of the operating system: each is told with what to do about it, and none is taken for
damage. Injected below storage, as permissions do not hold root back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coord.journal import (
    AppendFile,
    DataDirectoryError,
    DiskFullError,
    FileLock,
    OsFileSystem,
    SnapshotMeta,
    StorageError,
    StorageUnusableError,
    SyncFailedError,
)
from coord.journal.advice import advice_on
from coord.node.config import load_config
from coord.node.node import CannotStartError, Hardware, Node
from coord.replication.boot import open_storage
from tests.support.rpc import free_port

# A word of the advice on each error that nothing else is advised with.
ADVICE = {
    errno.EACCES: "chmod",
    errno.EPERM: "lsattr",
    errno.EROFS: "read-only",
    errno.EMFILE: "LimitNOFILE",
    errno.ENFILE: "fs.file-max",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "quota",
    errno.EFBIG: "ulimit -f",
    errno.EIO: "smartctl",
    errno.ENXIO: "smartctl",
    errno.ENODEV: "smartctl",
    errno.ENOENT: "right file system is mounted",
    errno.ENOTDIR: "no directory",
    errno.EISDIR: "a directory is where a file has to be",
    errno.ELOOP: "circle",
    errno.ENAMETOOLONG: "shorter",
    errno.ESTALE: "network file system",
    errno.ETIMEDOUT: "does not answer",
    errno.EBUSY: "fuser",
    errno.ENOMEM: "free memory",
    errno.ENOLCK: "offer locks",
    errno.EOPNOTSUPP: "cannot do what a node needs",
    errno.EPROTO: "nothing says that it is damaged",  # one of those without advice of their own
}
FULL = (errno.ENOSPC, errno.EDQUOT)
# Operations of the port, and the files that one fails on when a node starts again.
READS = [
    ("read_all", "/IDENTITY"),
    ("read_all", "/vote"),
    ("read_all", ".wal"),
    ("read_at", ".wal"),
    ("read_at", ".snapshot"),
    ("size", ".wal"),
    ("exists", "/IDENTITY"),
    ("exists", "/vote"),
    ("exists", "/stopped"),
    ("read_all", "/stopped"),
    ("listdir", "/journal"),
    ("listdir", "/snapshots"),
]
WRITES = [
    ("open_append", "/IDENTITY.tmp"),
    ("open_append", "/vote.tmp"),
    ("open_append", ".wal.tmp"),
    ("open_append", "/vote"),
    ("write", "/vote.tmp"),
    ("overwrite", "/vote"),
    ("fdatasync", "/vote"),
    ("fdatasync", ".wal.tmp"),
    ("rename", "/vote"),
    ("rename", ".snapshot"),
    ("fsync_dir", "/journal"),
    ("fsync_dir", "/snapshots"),
]
DIRECTORY = [("mkdir", "/data"), ("lock", "/LOCK")]


class FailingFile:
    def __init__(self, fs: FailingFileSystem, path: str, inner: AppendFile) -> None:
        self._fs = fs
        self._path = path
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return self._fs.checked(name, getattr(self._inner, name), self._path)


class FailingFileSystem(OsFileSystem):
    """The real one, but for one operation on the files whose path ends with something."""

    def __init__(self, operation: str, ending: str, number: int) -> None:
        self._operation = operation
        self._ending = ending
        self._number = number

    def checked(self, name: str, action: Callable[..., Any], path: str) -> Callable[..., Any]:
        if name == self._operation and path.endswith(self._ending):

            def fail(*_: Any) -> Any:
                raise OSError(self._number, os.strerror(self._number), path)

            return fail
        return action

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        opened = super().open_append
        inner = self.checked("open_append", lambda: opened(path, create=create), path)()
        return FailingFile(self, path, inner)  # type: ignore[return-value]

    def read_all(self, path: str) -> bytes:
        return self.checked("read_all", super().read_all, path)(path)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        return self.checked("read_at", super().read_at, path)(path, offset, length)

    def size(self, path: str) -> int:
        return self.checked("size", super().size, path)(path)

    def exists(self, path: str) -> bool:
        return self.checked("exists", super().exists, path)(path)

    def listdir(self, path: str) -> list[str]:
        return self.checked("listdir", super().listdir, path)(path)

    def mkdir(self, path: str) -> None:
        self.checked("mkdir", super().mkdir, path)(path)

    def rename(self, source: str, target: str) -> None:
        self.checked("rename", super().rename, target)(source, target)

    def fsync_dir(self, path: str) -> None:
        self.checked("fsync_dir", super().fsync_dir, path)(path)

    def lock(self, path: str) -> FileLock:
        return self.checked("lock", super().lock, path)(path)


def start(fs: OsFileSystem, path: Path) -> None:
    storage = open_storage(str(path), "c", "n1", wall_ms=1, incarnation=1, fs=fs)
    storage.note_clean_stop()
    storage.close()


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with everything in it."""
    path = tmp_path_factory.mktemp("advice") / "data"
    storage = open_storage(str(path), "c", "n1", wall_ms=1, incarnation=1, fs=OsFileSystem())
    snapshot = storage.snapshots.begin(SnapshotMeta(1, 1, 0, 0, b"", 0))
    snapshot.write(b"state")
    snapshot.commit()
    storage.note_clean_stop()
    storage.close()
    return path


def content(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def failure(fs: OsFileSystem, path: Path) -> StorageError | None:
    """Why the node does not start; None if it does."""
    try:
        start(fs, path)
    except StorageError as error:
        return error
    return None


def expected(operation: str, ending: str, number: int) -> type[StorageError]:
    if (operation, ending) in READS:
        return StorageUnusableError
    if (operation, ending) in DIRECTORY:
        return DataDirectoryError
    if number in FULL and operation not in ("fdatasync", "fsync_dir"):
        return DiskFullError
    return SyncFailedError


# Every error in one place of each kind, and some errors in every place.
CASES = sorted(
    {(*place, number) for place in (READS[2], WRITES[6], DIRECTORY[1]) for number in ADVICE}
    | {
        (*place, number)
        for place in (*READS, *WRITES, *DIRECTORY)
        for number in (errno.EACCES, errno.EIO, errno.ENOSPC)
    }
)


@pytest.mark.parametrize(("operation", "ending", "number"), CASES)
def test_each_error_is_told_with_its_own_advice(
    used: Path, operation: str, ending: str, number: int
) -> None:
    error = failure(FailingFileSystem(operation, ending, number), used)
    if error is None:
        # Where there is no room for a copy, what is there is written over.
        assert number in FULL
        assert ending.endswith(".tmp") or operation in ("write", "rename")
    else:
        assert type(error) is expected(operation, ending, number)
        told = str(error)
        assert "What to do: " in told
        assert ADVICE[number] in told
        assert str(used) in told
        assert "away" not in told
        assert "is damaged:" not in told
    start(OsFileSystem(), used)


def test_the_advice_on_each_error_is_its_own() -> None:
    told = {number: advice_on(OSError(number, "x")) for number in ADVICE}
    for number, word in ADVICE.items():
        same = {other for other, text in told.items() if word in text}
        assert same == {other for other in ADVICE if ADVICE[other] == word}, errno.errorcode[number]
    assert all("\n" not in text and not text.endswith(".") for text in told.values())


async def test_a_node_that_cannot_read_its_journal_says_so_in_one_line(tmp_path: Path) -> None:
    peer, client = free_port(), free_port()
    config = load_config(
        {
            "node_id": "n1",
            "members": f"n1=127.0.0.1:{peer},127.0.0.1:{client}",
            "data_dir": str(tmp_path / "data"),
            "shutdown_grace_ms": 0,
        }
    )
    node = Node(config)
    await node.start()
    await node.stop()
    before = content(tmp_path / "data")
    machine = Hardware(fs=FailingFileSystem("read_all", ".wal", errno.EACCES))
    with pytest.raises(CannotStartError) as caught:
        await Node(config, machine).start()
    told = str(caught.value)
    assert f"cannot read {tmp_path}/data/journal/" in told
    assert "Permission denied" in told
    assert "chmod" in told
    assert "away" not in told
    assert "\n" not in told
    after = content(tmp_path / "data")
    assert {name: data for name, data in after.items() if name != "vote"} == {
        name: data for name, data in before.items() if name != "vote"
    }


def test_names_that_are_in_the_way(tmp_path: Path) -> None:
    """Found out by the file system itself."""
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for name, word in (("file", "no directory"), ("file/below", "no directory"), ("circle", "")):
        with pytest.raises(DataDirectoryError) as caught:
            start(OsFileSystem(), tmp_path / name)
        assert word in str(caught.value)
        assert "away" not in str(caught.value)
    with pytest.raises(DataDirectoryError):
        start(OsFileSystem(), tmp_path / "nowhere")
    start(OsFileSystem(), tmp_path / "data")
    vote = tmp_path / "data" / "vote"
    kept = vote.read_bytes()
    vote.unlink()
    vote.mkdir()
    with pytest.raises(StorageUnusableError, match="a directory is where a file has to be"):
        start(OsFileSystem(), tmp_path / "data")
    vote.rmdir()
    vote.write_bytes(kept)
    start(OsFileSystem(), tmp_path / "data")
