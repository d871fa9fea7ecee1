"""The runs of the other nodes: who comes as one that it cannot be any more is refused.

Each run of a node has a number, one more than the last in its data directory, and an id drawn at
random. So a peer that comes as an earlier run than the last that was seen was started from an older
copy of its directory: what it promised since then it has forgotten, and it would vote twice or lose
entries that it had confirmed. Two ids for one number mean that two copies of a directory were
started. The runs of a copy are counted as well, so a node also says which ids its last runs had. A
node whose directory is new has promised nothing: it may count from anywhere, and is told from where
(`AdmissionProtocol`). Builds that draw no id are not judged. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coord.journal import PeerRun
from coord.replication.peers.handshake import Hello, Refusal, RefusedError
from coord.replication.peers.plausibility import latest_run

MAX_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class OwnRun:
    """This node's own. `is_new`: its directory is, and it takes no part yet. `runs`: the last ones
    with this directory."""

    boot_id: int
    run_id: str = ""
    is_new: bool = False
    runs: tuple[PeerRun, ...] = ()


class PeerRuns:
    """What is known of them. `changed()` is called when there is something to be remembered.
    `wall_ms()`: this machine's clock."""

    def __init__(
        self,
        known: Mapping[str, PeerRun] | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        wall_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._known = dict(known or {})
        self._changed = changed
        self._wall_ms = wall_ms

    @property
    def known(self) -> dict[str, PeerRun]:
        """By node id."""
        return dict(self._known)

    def take(self, hello: Hello, own: OwnRun) -> None:
        """A peer wants to connect. Raises RefusedError if it must not be the one it says."""
        node_id, number = hello.node_id, hello.boot_id
        last, drawn = self._known.get(node_id, (0, ""))
        limit = latest_run(self._wall_ms(), own.boot_id, last)
        if number > limit:
            raise RefusedError(Refusal.BEYOND_REASON, _beyond(node_id, number, limit))
        if not hello.run_id:
            return
        if not hello.is_new:
            if number < last:
                raise RefusedError(Refusal.OLDER_COPY, _older(node_id, number, last))
            if number == last and hello.run_id != drawn:
                raise RefusedError(Refusal.CLONE, _clone(node_id, number))
            if any(other == last and its_id != drawn for other, its_id in hello.runs):
                raise RefusedError(Refusal.OLDER_COPY, _branched(node_id, number, last))
        if number >= last and (number, hello.run_id) != (last, drawn):
            self._remember(node_id, (number, hello.run_id))

    def _remember(self, node_id: str, run: PeerRun) -> None:
        self._known.pop(node_id, None)
        while len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]  # unheard of for longest
        self._known[node_id] = run
        self._changed()


def _older(node_id: str, number: int, last: int) -> str:
    return (
        f"node {node_id!r} was in run {last} already and comes as run {number}: its data directory "
        f"is an older copy (a backup or machine image put back), or two processes run as "
        f"{node_id!r}, each with a copy of it"
    )


def _branched(node_id: str, number: int, last: int) -> str:
    return (
        f"node {node_id!r} comes as run {number}, and its run {last} was another one than the run "
        f"{last} that was seen: its data directory is an older copy that was started several times"
    )


def _clone(node_id: str, number: int) -> str:
    return (
        f"another process was seen in run {number} of node {node_id!r}: two copies of its data "
        "directory were started, one of which may be a backup or machine image that was put back"
    )


def _beyond(node_id: str, number: int, limit: int) -> str:
    return (
        f"run {number} of node {node_id!r} is beyond reason ({limit} at most can be right): the "
        "runs of a new data directory count from the clock, so compare the clocks of the machines"
    )


COPY_ADVICE = (
    "This node stops, since it has forgotten what it promised after the copy was made. What to do: "
    "if another process runs as this node, find out which of the two has the right directory, stop "
    "the other and never start it again; then start the right one again. If the directory was put "
    "back from a backup or an image, move it away and start this node with an empty one: it copies "
    "the state from the other nodes, and votes again when that is safe"
)
