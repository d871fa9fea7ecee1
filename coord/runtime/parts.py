"""What a part of a node is told: what was applied, that the state was replaced, who leads.

Whoever wires a node registers its parts once; none of them is named where things happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from coord.core.base.request import Event
from coord.replication.port import Member


class Leadership(Protocol):
    """What is known of who leads; see `LeaderView`."""

    @property
    def is_leader(self) -> bool: ...
    @property
    def leader_id(self) -> str | None: ...
    @property
    def members(self) -> Mapping[str, Member]: ...


class Part:
    """A part of a node. It overrides what concerns it. None of these may raise."""

    def on_applied(self, events: Iterable[Event]) -> None:
        """An entry was applied, and these happened."""

    def on_restored(self) -> None:
        """The whole state was replaced."""

    def on_leader_change(self, leadership: Leadership) -> None:
        """The role of this node, the term or the known leader has changed."""

    def end_waits(self, error: Exception) -> None:
        """This node serves no calls any more: end with `error` what waits here."""
