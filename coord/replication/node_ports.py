"""What a replica asks of the world, on a real node."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coord.replication.callers import Callers
from coord.replication.driver import ReplicaDriver
from coord.replication.peers.transport import PeerTransport
from coord.replication.port import Role
from coord.replication.responsive_clock import seconds_passed
from coord.replication.storage.storage import LogStorage


class NodePorts:
    """A `ReplicaPorts`. `role_changed()`: tell those who asked for it; `talk_to(addresses)`: let
    the connections follow; `failed(error)`: the node must stop."""

    def __init__(
        self,
        driver: ReplicaDriver,
        callers: Callers,
        transport: PeerTransport,
        storage: LogStorage,
        wall_ms: Callable[[], int],
        role_changed: Callable[[], None],
        talk_to: Callable[[dict[str, str]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._driver = driver
        self._callers = callers
        self._role_changed = role_changed
        self._talk_to = talk_to
        self.now = driver.now
        self.wall_ms = wall_ms
        self.send = transport.send
        self.write = storage.write
        self.applied = callers.applied
        self.failed = failed

    def real_now(self) -> float:
        """See `ReplicaPorts.real_now`."""
        return seconds_passed()

    def applied_by_snapshot(self, index: int) -> None:
        """The results of the entries that it covers will not be known."""
        self._callers.give_up_proposers("a snapshot replaced the log")

    def changed(self) -> None:
        """Leadership lost means that the fate of what is pending is not known any more here."""
        replica = self._driver.replica
        if replica is None:
            return
        self._callers.leads(replica.engine.term if replica.engine.role is Role.LEADER else -1)
        self._role_changed()

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        """Later, as connections that end are reported to the replica, which is at work now."""
        self._driver.running_loop().call_soon(self._talk_to, dict(addresses))
