"""The tables of sessions, and what other domains have a session hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from coord.core.base.context import Context
from coord.core.base.holdings import SessionEnd
from coord.core.base.limits import Limits
from coord.core.base.table import Table
from coord.core.reply_rows import decode_kept_reply, encode_kept_reply
from coord.core.sessions.records import KeptReply, Session, decode_session, encode_session

LetGo = Callable[[Context, Any, Any, SessionEnd], None]
"""Ends what a session holds: it is given the tables of its domain, the key, and why."""


class Release(NamedTuple):
    """How an ending session lets go of one kind of holdings. `by_key`: in the order of the keys,
    even when it takes several batches; otherwise what it held first goes first then."""

    let_go: LetGo
    tables: Any
    by_key: bool


class SessionTables:
    """Sessions hold keys of other domains, by kind, and know no more of them."""

    __slots__ = (
        "releases",
        "replies",
        "reply_bytes",
        "session_by_nonce",
        "sessions",
        "sessions_by_name",
        "sessions_size",
    )

    def __init__(self) -> None:
        self.sessions: Table[int, Session] = Table(
            "sessions", encode_session, decode_session, place=10
        )
        self.replies: Table[tuple[int, int], KeptReply] = Table(
            "replies", encode_kept_reply, decode_kept_reply, place=20
        )
        # ---- derived
        self.session_by_nonce: dict[bytes, int] = {}
        self.sessions_by_name: dict[str, int] = {}  # how many; none is 0
        self.sessions_size = 0  # bytes of all sessions without what they hold
        self.reply_bytes = 0  # of all kept replies
        # By kind, in the order in which an ending session lets go.
        self.releases: dict[int, Release] = {}

    def tables(self) -> list[Table[Any, Any]]:
        """Those with rows."""
        return [self.sessions, self.replies]

    def release_by(self, releases: Iterable[tuple[int, Release]]) -> None:
        """Set what the domains have sessions hold."""
        self.releases = dict(sorted(releases, key=_kind_of))

    def hold(self, session_id: int, kind: int, key: Any) -> None:
        """The session holds this key from now on."""
        held = self.sessions[session_id].held
        of_kind = held.get(kind)
        if of_kind is None:
            held[kind] = {key: None}
        else:
            of_kind[key] = None

    def let_go(self, session_id: int, kind: int, key: Any) -> None:
        """The session holds it no more."""
        del self.sessions[session_id].held[kind][key]


def _kind_of(pair: tuple[int, Release]) -> int:
    return pair[0]


NO_KEYS: Final[dict[Any, None]] = {}


def held_by(session: Session, kind: int) -> dict[Any, None]:
    """The keys of one kind that a session holds, in the order in which it got them; to be read
    only."""
    return session.held.get(kind, NO_KEYS)


def make_tables(limits: Limits, parts: Mapping[str, Any]) -> SessionTables:
    """Sessions depend on no other domain."""
    return SessionTables()
