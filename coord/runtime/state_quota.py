"""The quota on the state: how large it may become, and what is refused when it is that large.

The size is an account that all nodes keep alike (`coord.core.account`); the limit is a setting of
the cluster or, if there is none, a share of this machine's memory. Only the leader compares the
two, before it proposes anything: what is in the log is applied whatever it takes. If nodes differ
in memory, the limit is to be set by hand to what the smallest can hold.

At the limit, tasks and keys are refused; reads, deletes, results, heartbeats, releases and
compactions go on, since they make room or end something. At a tenth more, sessions and locks are
refused, too. The alarm is over when a tenth of the limit is free again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from coord.codec.kinds import CommandKind
from coord.core.account import state_size
from coord.core.base.refusal import Reason, Rejected
from coord.core.batch import Command
from coord.core.cluster.settings import quota_bytes
from coord.core.kv.commands import KvTxn
from coord.core.state import State
from coord.replication.port import Member
from coord.runtime.growth import grows

# A node that is given a snapshot holds two states for a while, and the log needs room, too.
_SHARE_OF_MEMORY: Final = 3
_GROWTH: Final = frozenset({CommandKind.SUBMIT_TASKS, CommandKind.KV_PUT, CommandKind.KV_TXN})
# No request makes the state grow by more than that, and so many are taken between two looks at it.
_LARGEST_STEP_BYTES: Final = 32 * 1024 * 1024
_MAX_UNSEEN: Final = 16
_LAST: Final = frozenset({CommandKind.OPEN_SESSION, CommandKind.ACQUIRE_LOCK})


class StateQuota:
    """See the module. `memory_bytes`: what this machine has for all nodes on it."""

    def __init__(self, node_id: str, memory_bytes: int) -> None:
        self._node_id = node_id
        self._memory_bytes = memory_bytes
        self._alarm = False
        self._members: tuple[Member, ...] = ()
        self._own_share = 0  # bytes, with these members
        self._unseen_left = 0  # requests that cannot reach the limit, whatever they are
        self._set_bytes = 0  # the limit set for the cluster, as of the last look

    def limit_bytes(self, state: State, members: Collection[Member]) -> tuple[int, bool]:
        """How large the state may become, and whether that is this machine's own measure."""
        limit = quota_bytes(state.settings)
        if limit:
            return limit, False
        # Asked for every write, and hardly ever anew.
        now = tuple(members)
        if now != self._members or not self._own_share:
            self._members = now
            self._own_share = self._memory_bytes // _SHARE_OF_MEMORY // self._nodes_here(now)
        return self._own_share, True

    def alarm(self, state: State, members: Collection[Member]) -> bool:
        """Whether growth is refused now."""
        size, limit = state_size(state), self.limit_bytes(state, members)[0]
        self._alarm = size >= (limit - limit // 10 if self._alarm else limit)
        spare = 0 if self._alarm else (limit - size) // _LARGEST_STEP_BYTES
        self._unseen_left = min(spare, _MAX_UNSEEN)
        self._set_bytes = quota_bytes(state.settings)
        return self._alarm

    def check(
        self, state: State, members: Collection[Member], kind: CommandKind, command: Command
    ) -> Rejected | None:
        """Why the state has no room for a command of this kind, or None."""
        if kind not in _GROWTH and kind not in _LAST:
            return None
        if self._unseen_left and quota_bytes(state.settings) == self._set_bytes:
            self._unseen_left -= 1
            return None
        if not self.alarm(state, members) or (isinstance(command, KvTxn) and not grows(command)):
            return None
        size, limit = state_size(state), self.limit_bytes(state, members)[0]
        if kind in _LAST and size < limit + limit // 10:
            return None
        return _exceeded(size, limit)

    def _nodes_here(self, members: Collection[Member]) -> int:
        """Members on the same host, by the addresses that they are known by."""
        own = next((one for one in members if one.node_id == self._node_id), None)
        if own is None:
            return 1
        return sum(1 for one in members if _host(one) == _host(own))


def _host(member: Member) -> str:
    return (member.peer_address or member.client_address).rpartition(":")[0]


def _exceeded(size: int, limit: int) -> Rejected:
    return Rejected(
        Reason.QUOTA_EXCEEDED,
        f"the state takes {size} of {limit} bytes, so nothing new is taken: delete keys or queues, "
        "compact the history of keys, let retentions end, or raise the limit with "
        "`coord quota set`",
        (("limit", str(limit)), ("scope", "cluster"), ("used", str(size))),
    )
