"""From moments to steps: which one belongs to which put, and how long each took."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from statistics import median

from bench.timeline.notes import Moment

# (who, moment, what the time up to it is), in the order in which a put waits for them.
CHAIN: tuple[tuple[str, str, str], ...] = (
    ("leader", "request", "client, gRPC, and the leader's event loop"),
    ("leader", "proposed", "leader: decoded, checked, in the log"),
    ("leader", "sent", "leader: append built and sent"),
    ("follower", "message", "network, follower's event loop"),
    ("follower", "message taken", "follower: append checked, in the log"),
    ("follower", "write", "follower: its journal's thread wakes"),
    ("follower", "sync", "follower: record encoded and written"),
    ("follower", "synced", "follower: fdatasync"),
    ("follower", "sync known", "follower: its event loop wakes"),
    ("follower", "acknowledged", "follower: acknowledgement sent"),
    ("leader", "message", "network, leader's event loop"),
    ("leader", "applied", "leader: committed and applied"),
    ("leader", "answer", "leader: answer built"),
    ("client", "answered", "gRPC, the client's event loop, client"),
)


class Track:
    """The moments of one process, by name, each in order of time."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._by_name: dict[str, list[int]] = {}
        for at_ns, name in sorted(moments):
            self._by_name.setdefault(name, []).append(at_ns)

    def next(self, name: str, from_ns: int) -> int | None:
        """The first moment of that name from then on."""
        moments = self._by_name.get(name, [])
        place = bisect_left(moments, from_ns)
        return moments[place] if place < len(moments) else None


def steps_of(tracks: Mapping[str, Track], begun_ns: int, answered_ns: int) -> list[int] | None:
    """How long each step of the chain took, in ns; None if a moment is missing. `tracks`: of the
    client, the leader and one follower."""
    at_ns, steps = begun_ns, []
    for who, name, _ in CHAIN:
        found = tracks[who].next(name, at_ns)
        if found is None or found > answered_ns:
            return None
        steps.append(found - at_ns)
        at_ns = found
    return steps


def table(
    client: Sequence[Moment], leader: Sequence[Moment], followers: Sequence[Sequence[Moment]]
) -> tuple[int, list[float]]:
    """How many puts could be followed, and the median of each step in microseconds. Of several
    followers the one that lets a put go on first counts."""
    own, lead, others = Track(client), Track(leader), [Track(moments) for moments in followers]
    followed: list[list[int]] = []
    for begun_ns in (at_ns for at_ns, name in client if name == "put"):
        answered_ns = own.next("answered", begun_ns)
        if answered_ns is None:
            continue
        ways = [
            steps_of({"client": own, "leader": lead, "follower": one}, begun_ns, answered_ns)
            for one in others
        ]
        known = [way for way in ways if way is not None]
        if known:
            followed.append(min(known, key=lambda way: sum(way[:10])))
    if not followed:
        return 0, []
    return len(followed), [median(step) / 1000 for step in zip(*followed, strict=True)]
