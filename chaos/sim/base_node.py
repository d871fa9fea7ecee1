"""What all simulated nodes have in common, whatever engine drives them: a disk, a clock, a service,
and that they can be started, killed, stalled and started again. Between runs only the disk stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from chaos.sim.clock import NodeClock, SimClock
from chaos.sim.disk import SimDisk, SimulatedCrash
from chaos.sim.plan import SimPlan
from chaos.sim.scheduler import NodeScheduler, SimOutcome
from chaos.sim.service import THE_PRODUCT, Service, SimBuild
from coord.core.batch import Applied
from coord.replication.port import Member

TICK_S = 0.025
Entry = tuple[bytes, int, int]  # command, index, term
DIRECTORY = "/node"


def member_of(node_id: str) -> Member:
    """A simulated node as a member."""
    return Member(node_id, node_id, f"{node_id} for clients")


class NodeWatcher(Protocol):
    """Who watches the nodes and carries their messages."""

    def node_sends(self, node: SimNode, peer_id: str, message: dict[str, Any]) -> bool: ...
    def node_changed(self, node: SimNode) -> None: ...
    def node_stamped(self, node: SimNode, data: bytes) -> None: ...
    def node_applied(
        self, node: SimNode, index: int, term: int, data: bytes, applied: Applied
    ) -> None: ...
    def node_acknowledges(self, node: SimNode, index: int, term: int) -> None: ...
    def node_froze(self, node: SimNode, index: int) -> None:
        """A snapshot of what is applied is being taken."""
        ...

    def node_restored(self, node: SimNode, index: int) -> None: ...
    def node_recovered(self, node: SimNode, at_stake: list[str]) -> None:
        """It has read its log; a power cut now would change these files of it."""
        ...

    def node_reconfigured(
        self, node: SimNode, index: int, term: int, members: tuple[Member, ...]
    ) -> None:
        """It has applied a change of the members."""
        ...

    def node_peers_changed(self, node: SimNode) -> None:
        """It talks to others than before."""
        ...

    def node_crashed(self, node: SimNode, *, power_loss: bool) -> None:
        """It died in the middle of something, as a fault had it."""
        ...

    def node_failed(self, node: SimNode, error: Exception) -> None:
        """It stopped itself."""
        ...

    def node_refused(self, node: SimNode, error: Exception) -> None:
        """It does not start."""
        ...


class SimNode(ABC):
    """See the module. `run` counts starts; what an earlier run left behind is void."""

    def __init__(
        self,
        node_id: str,
        plan: SimPlan,
        clock: SimClock,
        watcher: NodeWatcher,
        build: SimBuild = THE_PRODUCT,
    ) -> None:
        self.node_id = node_id
        self.plan = plan
        self.build = build
        self.peers = [peer for peer in plan.node_ids if peer != node_id]  # at first
        self.watcher = watcher
        self.disk = SimDisk()
        self.sync_delay_s = 0.001
        self.run = 0
        self.alive = False
        self.stalled_until = 0.0
        self.power_at_write = True  # whether a crash set on the disk takes the unsynced data along
        self.dies_at_send: int | None = None
        self.lost_power = False  # when it died the last time
        self.service: Service | None = None
        self.witnesses: set[str] = set()  # defects of the published engine that were seen at work
        self._rng = Random(f"node/{plan.seed}/{node_id}")
        rate = self._rng.uniform(0.98, 1.02) if plan.drift else 1.0
        self.clock = NodeClock(clock, self._rng.uniform(0, 1_000), rate)
        self._sim_clock = clock
        self.scheduler = NodeScheduler(self)

    # Life

    def start(self) -> None:
        """Recover from the disk and take part."""
        self.run += 1
        self.alive = True
        self.dies_at_send = None
        run = self.run
        self.service = Service(self, self.plan, self.build)
        try:
            self._boot()
        except Exception as error:
            if self.disk.crashed or isinstance(error, SimulatedCrash):
                self.watcher.node_crashed(self, power_loss=self.power_at_write)
            else:
                self.alive = False
                self.watcher.node_refused(self, error)
            return
        if self.run == run:
            self._tick(run)

    def kill(self, *, power_loss: bool) -> None:
        """End the run at once. With the power, unsynced data is lost as well."""
        self.alive = False
        self.run += 1
        self.lost_power = power_loss
        self._stop()
        if power_loss:
            self.disk.crash(self._rng)
        else:
            self.disk.revive()

    def guard(self, action: Callable[[], Any]) -> Any:
        """Do something inside the node; whatever it raises ends the run."""
        if not self.alive:
            return None
        run = self.run
        try:
            result = action()
        except SimulatedCrash:
            self.watcher.node_crashed(self, power_loss=self.power_at_write)
            return None
        except Exception as error:
            if self.disk.crashed:
                self.watcher.node_crashed(self, power_loss=self.power_at_write)
            else:
                self.fail(error)
            return None
        if self.disk.crashed and self.run == run:  # what was raised may have been swallowed
            self.watcher.node_crashed(self, power_loss=self.power_at_write)
        return result

    def fail(self, error: BaseException) -> None:
        """The node stopped itself: it has to be started again, as a process."""
        if self.alive and isinstance(error, Exception):
            self.watcher.node_failed(self, error)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it then by this node's clock, if this run lasts and the node is not stalled."""
        self._at(self._sim_clock.now + self.clock.real(delay_s), self.run, action)

    def _at(self, time_s: float, run: int, action: Callable[[], None]) -> None:
        def act() -> None:
            if self.run != run:
                return
            if self.stalled_until > self._sim_clock.now:
                self._at(self.stalled_until, run, action)
            else:
                action()

        self._sim_clock.at(time_s, act)

    def deliver(self, peer_id: str, message: Any) -> None:
        """A message has arrived; it waits while the node is stalled."""
        if self.stalled_until > self._sim_clock.now:
            self._at(
                self.stalled_until,
                self.run,
                lambda: self.guard(lambda: self.receive(peer_id, message)),
            )
        else:
            self.guard(lambda: self.receive(peer_id, message))

    def request(self, action: Callable[[Service], None]) -> None:
        """Something a client asks; it waits while the node is stalled."""

        def ask() -> None:
            if self.service is not None:
                action(self.service)

        self._at(self._sim_clock.now, self.run, lambda: self.guard(ask))

    # For the service

    def local_now(self) -> float:
        return self.clock.now()

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.clock.now() * 1000)

    def stamped(self, data: bytes) -> None:
        self.watcher.node_stamped(self, data)

    def machine_applied(self, index: int, term: int, data: bytes, applied: Applied) -> None:
        self.watcher.node_applied(self, index, term, data, applied)

    def machine_froze(self) -> None:
        self.watcher.node_froze(self, self.applied_index)

    def digest(self) -> str:
        """Of the applied state."""
        assert self.service is not None
        return self.service.host.digest()

    def send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """On to the network; a fault may have it that the node dies before the n-th message."""
        if self.dies_at_send is not None:
            self.dies_at_send -= 1
            if self.dies_at_send < 0:
                self.dies_at_send = None
                self.power_at_write = False
                self.disk.crashed = True
                raise SimulatedCrash("before a message was sent")
        return self.watcher.node_sends(self, peer_id, message)

    def _tick(self, run: int) -> None:
        if self.run != run:
            return
        self.guard(self.tick)
        if self.run == run:
            self.later(TICK_S, lambda: self._tick(run))

    # By engine

    @abstractmethod
    def _boot(self) -> None:
        """Read the disk and begin. Raises what makes a node refuse to start."""

    @abstractmethod
    def _stop(self) -> None:
        """Forget everything in memory."""

    @abstractmethod
    def tick(self) -> None: ...
    @abstractmethod
    def receive(self, peer_id: str, message: Any) -> None: ...
    @abstractmethod
    def connected(self, peer_id: str) -> None: ...
    @abstractmethod
    def disconnected(self, peer_id: str) -> None: ...
    @abstractmethod
    def leads(self) -> bool: ...
    @abstractmethod
    def leader_hint(self) -> str | None: ...
    @abstractmethod
    def propose(self, data: bytes) -> SimOutcome:
        """See `coord.replication.port.Replicator.propose`."""

    @property
    def write_block_reason(self) -> str | None:
        """See `Replicator.write_block_reason`."""
        return None

    @property
    def growth_block_reason(self) -> str | None:
        """See `Replicator.growth_block_reason`."""
        return None

    @property
    def member_levels(self) -> dict[str, int | None]:
        """See `Replicator.member_levels`."""
        return dict.fromkeys(self.members, self.plan.level)

    @abstractmethod
    def require_level(self, level: int) -> None:
        """See `Replicator.require_level`."""

    @property
    def membership_now(self) -> dict[str, Member]:
        """The members as far as it knows."""
        return {node_id: member_of(node_id) for node_id in self.members}

    @abstractmethod
    def barrier(self, done: Callable[[bool], None]) -> None: ...
    @abstractmethod
    def flush(self) -> None: ...
    @abstractmethod
    def machine_restored(self) -> None: ...
    @abstractmethod
    def transfer(self) -> None: ...
    @property
    @abstractmethod
    def term(self) -> int: ...
    @property
    @abstractmethod
    def commit_index(self) -> int: ...
    @property
    @abstractmethod
    def applied_index(self) -> int: ...
    @abstractmethod
    def log(self) -> list[Entry]:
        """The log in memory; the command of the first entry has no meaning."""

    @abstractmethod
    def holds(self, index: int, term: int) -> bool:
        """Whether it counts this entry as durable here (also within a snapshot)."""

    def knows(self, peer_id: str) -> bool:
        """Whether it takes connections of that node, and dials it."""
        return True

    def uncommitted_changes(self) -> int:
        """Changes of the members in its log that it does not know to be committed."""
        return 0

    @property
    def voters(self) -> tuple[str, ...]:
        """Whose acknowledgements it counts."""
        return self.plan.node_ids

    @property
    def members(self) -> tuple[str, ...]:
        """All members as far as it knows."""
        return self.plan.node_ids

    def age_s(self) -> float | None:
        """How old it says that its state can be, by its own clock; None: it does not say."""
        return None

    def takes_part(self) -> bool:
        """Whether it votes by now."""
        return self.alive

    def lose_disk(self) -> None:
        """It is down, and gets a new, empty disk."""
        self.disk = SimDisk()

    @abstractmethod
    def stored_vote(self) -> tuple[int, str | None]:
        """Term and vote as the disk would give them after a power cut."""

    @abstractmethod
    def rot(self, where: float) -> bool:
        """Flip a bit of durable data that a restart has to find damaged; False: there is none."""

    def starts(self) -> bool:
        """Whether it would start from its disk as it is; it is down before and after."""
        self.run += 1
        self.service = Service(self, self.plan, self.build)
        try:
            self._boot()
        except Exception:
            return False
        finally:
            self._stop()
            self.disk.revive()
        return True
