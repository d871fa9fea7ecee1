"""Faults of agents: real worker processes that crash with tasks in their hands, or wake up after
their leases are over and go on as if nothing had been. They need a workload with agents."""

from __future__ import annotations

from typing import ClassVar

from chaos.nemeses.base import Nemesis, names

AGENTS = "agents"


class _Agents(Nemesis):
    variants: ClassVar[tuple[str, ...]] = ("one", "all")
    often: ClassVar[tuple[str, ...]] = ("one", "one", "all")
    needs: ClassVar[frozenset[str]] = frozenset({AGENTS})

    def pick(self) -> list[str]:
        every = self.cluster.agents.names
        chosen = self.rng.choice(every)
        self.victims = []  # of the nodes
        return [chosen] if self.variant == "one" else every

    async def end(self) -> None:
        self.cluster.agents.heal()


class AgentKill(_Agents):
    """SIGKILL to agents while they hold tasks, and a start when it is over."""

    name: ClassVar[str] = "agent-kill"
    hold_s: ClassVar[tuple[float, float]] = (0.5, 3.0)

    async def begin(self) -> str:
        agents = self.pick()
        await self.cluster.agents.kill(*agents)
        return f"SIGKILL to {names(agents)}"


class AgentZombie(_Agents):
    """SIGSTOP to agents for longer than their leases last: when they wake up they try to commit
    what others have been given meanwhile."""

    name: ClassVar[str] = "agent-zombie"
    hold_s: ClassVar[tuple[float, float]] = (2.5, 4.0)

    async def begin(self) -> str:
        agents = self.pick()
        self.cluster.agents.pause(*agents)
        return f"SIGSTOP to {names(agents)}, for longer than their leases"
