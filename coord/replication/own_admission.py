"""This node's own admission to its cluster, as the roles of its replica need it."""

from __future__ import annotations

from coord.journal import Admission, Standing


class OwnAdmission:
    """`stored`: as in the vote file. `votes`: this node takes part in elections. `follows`: it may
    take appends and snapshots, and acknowledge them. `waits_for`: why it does not vote yet, for
    people."""

    def __init__(self, stored: Admission) -> None:
        self.waits_for = ""
        self.note(stored)

    def note(self, stored: Admission) -> None:
        """Take the admission that is being stored."""
        self.stored = stored
        self.votes = stored.standing is Standing.VOTES
        self.follows = stored.standing is not Standing.SILENT
