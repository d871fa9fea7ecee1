"""What drives the replica of a real node: time, messages and finished writes, on the event loop.

One timer ticks the replica; messages, connections and finished writes call it as they come. What
was proposed within one turn of the loop leaves together at its end. What takes longer (a backlog of
entries to apply, a snapshot, a digest) is done in slices. Whatever the replica raises goes to
`failed`, and the replica is not asked anything again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from coord.replication.background import rest_s
from coord.replication.callers import Callers
from coord.replication.messages import InvalidMessageError
from coord.replication.peers.transport import PeerTransport
from coord.replication.port import (
    NotLeaderError,
    OutcomeUnknownError,
    ReplicationError,
    WriteBlock,
)
from coord.replication.problem_log import ProblemLog
from coord.replication.replica import Replica
from coord.replication.responsive_clock import ResponsiveClock

APPLY_PAUSE_S = 0.001  # in which a follower writes the entry that told it of the commit
RECHECK_S = 0.005  # how soon it is looked whether a majority takes long
BACKLOG_ENTRIES = 64  # with so many to apply there is no time to lose


class ReplicaDriver:
    """`replica`: once it is attached; `active`: the same while this node takes part. `transport`:
    what is flushed at the end of a turn."""

    def __init__(
        self,
        clock: ResponsiveClock,
        tick_s: float,
        callers: Callers,
        failed: Callable[[BaseException], None],
        log: Any,
    ) -> None:
        self._clock = clock
        self._tick_s = tick_s
        self._callers = callers
        self._failed = failed
        self._log = log
        self._now = clock.now()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.replica: Replica | None = None
        self.active: Replica | None = None
        self.transport: PeerTransport | None = None
        self._detached = False
        self._flush_scheduled = False
        self._work_scheduled = False
        self._recheck_scheduled = False
        self._background_due = 0.0  # when the next slice of a snapshot or digest may be taken

    # Life

    def step_clock(self) -> None:
        """Count the time since the last step, as far as this process could act in it."""
        self._clock.step()
        self._now = self._clock.now()

    def attach(self, replica: Replica, transport: PeerTransport) -> None:
        """Drive this replica from now on, unless `detach` was called before."""
        self.replica = replica
        self.active = None if self._detached else replica
        self.transport = transport

    def detach(self) -> None:
        """Ask the replica nothing any more."""
        self._detached = True
        self.active = None

    def usable(self) -> Replica:
        """Return the replica. Raises NotLeaderError if this node takes no part."""
        if (replica := self.active) is None:
            raise NotLeaderError(None)
        return replica

    # Calling the replica

    def now(self) -> float:
        """Stands still while the replica is at work: it asks many times for each message."""
        return self._now

    def take(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Do what a caller asks of the replica. Refusals go to the caller, everything else is
        fatal."""
        self._now = self._clock.now()
        try:
            return action(*arguments)
        except (ReplicationError, ValueError):
            raise
        except Exception as error:
            self._failed(error)
            raise OutcomeUnknownError("the node stopped itself") from error

    def _call(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Let the replica do something; what it returns, None if it failed."""
        self._now = self._clock.now()
        try:
            outcome = action(*arguments)
        except Exception as error:
            self._failed(error)
            return None
        self._after()
        return outcome

    def _after(self) -> None:
        """Wake who waits for an applied index; go on applying what is committed."""
        replica = self.replica
        if replica is None:
            return
        applied = replica.engine.applied_index
        self._callers.wake(applied)
        behind = replica.engine.commit_index - applied
        if behind >= BACKLOG_ENTRIES:
            self._schedule_work()
        elif behind and not self._work_scheduled:
            # The journal's thread, which others wait for, needs the interpreter first.
            self._work_scheduled = True
            self.running_loop().call_later(APPLY_PAUSE_S, self._work)

    # What happens

    async def tick_forever(self, problems: ProblemLog) -> None:
        """Tick the replica while this node takes part."""
        while (replica := self.active) is not None:
            await asyncio.sleep(self._tick_s)
            self._clock.step()
            if self.active is not None:
                self._call(replica.tick)
            self._schedule_work()
            problems.look_at(replica)

    def on_message(self, peer_id: str, message: Any) -> None:
        """A message has come. An InvalidMessageError goes on to the transport, which closes the
        connection."""
        replica = self.active
        if replica is None:
            return
        self._now = self._clock.now()
        try:
            replica.receive(peer_id, message)
        except InvalidMessageError:
            raise
        except Exception as error:
            self._failed(error)
            return
        self._after()

    def on_connected(self, peer_id: str) -> None:
        """Messages can be sent to the peer."""
        if (replica := self.active) is not None:
            self._call(replica.connected, peer_id)

    def on_disconnected(self, peer_id: str) -> None:
        """The connection to the peer has ended."""
        if (replica := self.active) is not None:
            self._call(replica.disconnected, peer_id)

    def on_refused(self, peer_id: str, members: object) -> None:
        """The peer does not know this node."""
        if (replica := self.active) is not None:
            self._call(replica.refused, peer_id, members)

    def on_synced(self, sequence: int) -> None:
        """All writes up to `sequence` are durable."""
        if (replica := self.active) is not None:
            self._call(replica.synced, sequence)
        self._send_now()

    def on_vote_stored(self, sequence: int) -> None:
        """The vote written as `sequence` is durable."""
        if (replica := self.active) is not None:
            self._call(replica.vote_stored, sequence)

    def on_blocked(self, blocked: bool) -> None:
        """The disk is full, or has taken everything again."""
        self._log.warning("disk_full" if blocked else "disk_has_room_again")
        if self.replica is not None:
            self.replica.block_writes(WriteBlock.DISK_FULL if blocked else None)

    # Work and flushes

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop: asking asyncio for it each time costs a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def schedule_flush(self) -> None:
        """Send what was proposed at the end of this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        replica = self.active
        if replica is not None:
            self._call(replica.flush)
        self._send_now()
        replica = self.active
        if not self._recheck_scheduled and replica is not None and replica.leading.waits:
            self._recheck_scheduled = True
            self.running_loop().call_later(RECHECK_S, self._recheck)

    def _recheck(self) -> None:
        """Ask others if those that were asked take long."""
        self._recheck_scheduled = False
        self._flush()

    def _send_now(self) -> None:
        """What others wait for leaves before anything else is done."""
        if self.transport is not None:
            self.transport.flush()

    def _schedule_work(self) -> None:
        if not self._work_scheduled:
            self._work_scheduled = True
            self.running_loop().call_soon(self._work)

    def _work(self) -> None:
        """A slice of what takes longer: applying a backlog, a snapshot, a digest of the state."""
        self._work_scheduled = False
        replica = self.active
        if replica is None:
            return
        if replica.engine.applied_index < replica.engine.commit_index:
            self._call(replica.apply)
        began = time.perf_counter()
        if began < self._background_due or self.active is None:
            return
        if rest := self._call(replica.step_background):
            # This is in no hurry: between its slices the loop is for those who wait.
            pause_s = rest_s(began, rest)
            self._background_due = time.perf_counter() + pause_s
            self.running_loop().call_later(pause_s, self._schedule_work)
