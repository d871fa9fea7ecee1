"""The feature level, as far as replication is concerned: which levels the builds of the nodes
support, and the level in force, below which a build may not take part. Pure.

What a level means is the state machine's business. A build that was made before there were levels
advertises none, which is level 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

MAX_LEVEL: Final = 2**31 - 1


class Levels:
    """`own`: the highest level that this build supports; `required`: the level in force."""

    def __init__(self, own: int = 0) -> None:
        self.own = own
        self.required = 0
        self._heard: dict[str, int] = {}

    def heard(self, peer_id: str, level: int) -> None:
        """A peer advertised its level on a connection that was made now."""
        self._heard[peer_id] = level

    def require(self, level: int) -> bool:
        """This level is in force from now on; True if that is more than before."""
        raised = level > self.required
        self.required = max(self.required, level)
        return raised

    def is_too_low(self, level: int) -> bool:
        """Whether a build that supports `level` at most may not take part."""
        return level < self.required

    def behind(self) -> Collection[str]:
        """The peers whose builds are known to be too old."""
        return {peer for peer, level in self._heard.items() if level < self.required}

    def of(self, self_id: str, node_ids: Iterable[str]) -> dict[str, int | None]:
        """What each of these nodes advertised last; None: nothing was heard of it yet."""
        return {
            node_id: self.own if node_id == self_id else self._heard.get(node_id)
            for node_id in node_ids
        }

    def keep(self, peer_ids: Collection[str]) -> None:
        """Forget all other peers."""
        self._heard = {peer: level for peer, level in self._heard.items() if peer in peer_ids}


def too_low(node_id: str, level: int, required: int) -> str:
    """What is wrong with a node's build, and what to do."""
    return (
        f"the build of node {node_id!r} supports feature level {level}, and the cluster is at "
        f"level {required}: upgrade {node_id!r} to a build that supports level {required}"
    )
