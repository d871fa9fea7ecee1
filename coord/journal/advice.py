"""What to do about each error of the operating system. Only a disk that is lost is a reason to give
a data directory up: after every other error the data are as good as they were."""

from __future__ import annotations

import errno
from typing import Final

_KEEP: Final = "keep the data directory as it is"
_BROKEN_DISK: Final = (
    "look in the system's log (dmesg) and at the health of the disk (smartctl) for what is broken, "
    f"repair that and start this node again, and {_KEEP} meanwhile; if the disk is lost, start the "
    "node with an empty directory on another one, and it copies the state from the other nodes"
)
_NO_MEMORY: Final = "free memory on this machine, then start this node again"

_ADVICE: Final[dict[int, str]] = {
    errno.EACCES: (
        "let the user that runs this node read and write the data directory and all in it, and "
        "enter the directories above it (ls -ld, chown, chmod), then start the node again"
    ),
    errno.EPERM: (
        "find out what forbids it (an immutable attribute: lsattr; a security module: the system's "
        "log; another owner: chown), allow it, then start this node again"
    ),
    errno.EROFS: (
        "the file system is mounted read-only: look in the system's log (dmesg) whether an error "
        "made it so, repair that, mount it for writing, then start this node again"
    ),
    errno.EMFILE: (
        "this process has too many open files: raise its limit (ulimit -n, or LimitNOFILE of its "
        "service), then start this node again"
    ),
    errno.ENFILE: (
        "this machine has too many open files: stop what has opened them, or raise the limit "
        "(sysctl fs.file-max), then start this node again"
    ),
    errno.ENOSPC: "make room on the file system, or let it grow",
    errno.EDQUOT: "raise the quota of the user that runs this node, or remove files of that user",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), then start this node again",
    errno.EIO: _BROKEN_DISK,
    errno.ENXIO: _BROKEN_DISK,
    errno.ENODEV: _BROKEN_DISK,
    errno.ENOENT: (
        "it was there, or has to be: look whether the right file system is mounted, whether the "
        "path is right, and who else removes files there, then start this node again"
    ),
    errno.ENOTDIR: (
        "a part of this path is a file and no directory: correct the path (data_dir), or put the "
        "file somewhere else, then start this node again"
    ),
    errno.EISDIR: (
        "a directory is where a file has to be: put it somewhere else, put the file back if there "
        "was one, then start this node again"
    ),
    errno.ELOOP: (
        "symbolic links on this path lead in a circle: correct them, then start this node again"
    ),
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one (data_dir)",
    errno.ESTALE: (
        "the network file system does not know this file any more: mount it anew, then start this "
        "node again; a local disk is the better place for a data directory"
    ),
    errno.ETIMEDOUT: (
        "the storage behind this file system does not answer: look at its connection, then start "
        "this node again"
    ),
    errno.EBUSY: "find out what uses it (fuser, lsof, mount), then start this node again",
    errno.ENOMEM: _NO_MEMORY,
    errno.ENOLCK: "let the file system offer locks (mount options), or use a local disk",
    errno.EOPNOTSUPP: "use a local disk: this file system cannot do what a node needs",
}
_OTHERWISE: Final = (
    f"look in the system's log for the cause, and {_KEEP}: nothing says that it is damaged; start "
    "this node again when the cause is gone"
)


def advice_on(error: OSError) -> str:
    """One clause, without a full stop."""
    return _ADVICE.get(error.errno or 0, _OTHERWISE)
