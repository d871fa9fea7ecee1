"""What must hold in every simulated run, watched while it runs.

Checked: at most one leader a term; one vote a node and term, across restarts; the same entry at the
same index on every node that applies it (state machine safety); the same digest at equal applied
indexes, also after a snapshot; no acknowledged proposal lost; a read sees all that was acknowledged
before it was asked. Not checked here: that anything happens at all (the run's last phase does).
"""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818 - a finding, not a failure of the simulator
    """A promise was broken; the text says which and where."""


class Checks:
    """The record of one run."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}  # term -> node
        self.votes: dict[tuple[str, int], str] = {}  # (node, term) -> candidate
        self.applied: dict[int, tuple[int, bytes]] = {}  # index -> (term, command)
        self.digests: dict[int, bytes] = {}
        self.acknowledged: dict[int, bytes] = {}
        self.highest_acknowledged = 0
        self.reads = 0

    def leader(self, node_id: str, term: int) -> None:
        """A node leads in a term."""
        known = self.leaders.setdefault(term, node_id)
        if known != node_id:
            raise Violation(f"two leaders in term {term}: {known} and {node_id}")

    def vote(self, node_id: str, term: int, candidate: str) -> None:
        """A vote (or the candidacy of a node itself) has left the node."""
        known = self.votes.setdefault((node_id, term), candidate)
        if known != candidate:
            raise Violation(f"{node_id} voted twice in term {term}: {known} and {candidate}")

    def apply(self, node_id: str, index: int, term: int, command: bytes, digest: bytes) -> None:
        """A node has applied an entry, and has this digest then."""
        known = self.applied.setdefault(index, (term, command))
        if known != (term, command):
            raise Violation(f"{node_id} applied another entry {index}: {(term, command)}, {known}")
        self.state(node_id, index, digest)

    def state(self, node_id: str, index: int, digest: bytes) -> None:
        """A node has this digest after `index`."""
        if self.digests.setdefault(index, digest) != digest:
            raise Violation(f"{node_id} has another state after entry {index}")

    def acknowledge(self, index: int, command: bytes) -> None:
        """A proposer was told that its command is at this index."""
        self.acknowledged[index] = command
        self.highest_acknowledged = max(self.highest_acknowledged, index)

    def read(self, node_id: str, index: int, acknowledged_before: int) -> None:
        """A read was allowed at an index."""
        self.reads += 1
        if index < acknowledged_before:
            raise Violation(
                f"{node_id} read at {index}, entry {acknowledged_before} had been acknowledged"
            )

    def finish(self, node_id: str, commands: list[tuple[int, bytes]]) -> None:
        """A node's whole state at the end, when all have converged."""
        present = dict(commands)
        for index, command in self.acknowledged.items():
            if present.get(index) != command:
                raise Violation(f"{node_id} lost the acknowledged entry {index}")
