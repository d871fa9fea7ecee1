"""A local cluster of this store whose nodes watch their own event loops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.state.nodes import ProbedCluster, wait_for
from bench.systems.coord import CoordSystem

ELECTED_S = 30.0


class ProbedSystem(CoordSystem):
    """`settings` are configuration entries of every node, beside the defaults; the last `away`
    nodes are down when it has begun. Its nodes are `probed.nodes`; they are killed in the end."""

    def __init__(
        self, nodes: int = 3, settings: Mapping[str, Any] | None = None, away: int = 0
    ) -> None:
        super().__init__(nodes, settings)
        self._away = away
        self._probed: ProbedCluster | None = None

    @property
    def probed(self) -> ProbedCluster:
        assert self._probed is not None, "start first"
        return self._probed

    def start(self, directory: Path) -> None:
        self._probed = ProbedCluster(directory / "cluster", self.nodes, self.settings)
        self._probed.start_all()
        for node in self._probed.nodes[self.nodes - self._away :]:
            node.kill()

    def stop(self) -> None:
        if self._probed is not None:
            self._probed.kill_all()

    def connect(self) -> dict[str, str]:
        return {"endpoints": self.probed.endpoints, "leader": self.probed.leader().client}

    def pids(self) -> list[int]:
        return [node.pid for node in self.probed.nodes if node.process is not None]

    def term(self) -> int:
        """The highest term, when there is a leader."""
        self.probed.leader()

        def look() -> int | None:
            statuses = [node.status() for node in self.probed.nodes]
            return max((one.member.term for one in statuses if one is not None), default=None)

        return wait_for("a term", look, ELECTED_S)
