"""What a fault finds of a simulated run: what it breaks, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from chaos.sim.base_node import SimNode
from chaos.sim.clock import SimClock
from chaos.sim.invariants import Invariants
from chaos.sim.links import SimNetwork
from chaos.sim.plan import SimPlan
from chaos.sim.promises import Promises


class Stage(Protocol):
    """The run itself, `chaos.sim.world.World`, is one."""

    plan: SimPlan
    clock: SimClock
    invariants: Invariants
    promises: Promises
    nodes: dict[str, SimNode]
    network: SimNetwork

    def start(self, node: SimNode) -> None:
        """Start a node that is down."""

    def kill(self, node: SimNode, *, power_loss: bool) -> None:
        """End a node; with the power goes what its disk has not synced."""

    def leader(self) -> SimNode | None:
        """The node that leads in the latest term, if one does."""

    def guard(self, check: Callable[..., None], *arguments: Any) -> None:
        """Run a check; what it raises ends the run."""

    def note(self, text: str) -> None:
        """Write a line into the log of the run."""
