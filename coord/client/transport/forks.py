"""Processes that were forked: what they can use of this client, and what they must not touch.

gRPC's threads do not survive a fork, and its asynchronous form cannot be begun anew in a child
whose parent has used it: calls hang there, or the child crashes. That holds also when the parent
has closed all its clients, and whatever GRPC_ENABLE_FORK_SUPPORT says. So a child can make clients
exactly if no ancestor has used one.
"""

from __future__ import annotations

import os

from coord.client.transport.errors import ClientClosedError

_MADE_BEFORE = "the client was made before a fork; make a new one in this process"
_USED_BEFORE = (
    "this process was forked from one that had used a coord client, which gRPC does not survive:"
    " fork before the first client is used, or start processes with the spawn method"
)


class _Lineage:
    """What is known of this process and its ancestors."""

    def __init__(self) -> None:
        self.forks = 0  # that this process descends from: counting them costs less than getpid
        self.used_after: int | None = None  # how many there had been when gRPC was first used

    def forked(self) -> None:
        self.forks += 1


_lineage = _Lineage()
os.register_at_fork(after_in_child=_lineage.forked)


def forks() -> int:
    """Another number in a process forked after this was asked than in its parent."""
    return _lineage.forks


def note_use() -> None:
    """gRPC is used in this process from now on."""
    if _lineage.used_after is None:
        _lineage.used_after = _lineage.forks


def check_same_process(made_after: int) -> None:
    """Raise ClientClosedError in a child of the process where `forks` gave `made_after`."""
    if made_after != _lineage.forks:
        raise ClientClosedError(_USED_BEFORE if _is_spoiled() else _MADE_BEFORE, "FORKED")


def check_new() -> None:
    """Raise ClientClosedError where no new client can work."""
    if _is_spoiled():
        raise ClientClosedError(_USED_BEFORE, "FORKED")


def _is_spoiled() -> bool:
    return _lineage.used_after not in {None, _lineage.forks}
