"""Histories in short: one line a call, in order of its call, with the moments of call and end."""

from __future__ import annotations

from typing import Any

from chaos.histories.history import EventType, HistoryEvent


def history(*made: tuple[int, int, str, str | None, Any, EventType, Any]) -> list[HistoryEvent]:
    """Of calls (called at, ended at, f, key, asked, outcome, told); each by its own process."""
    moments: list[tuple[int, int, HistoryEvent]] = []
    for process, (called, ended, f, key, asked, outcome, told) in enumerate(made):
        moments.append((called, 1, HistoryEvent(0, process, "invoke", f, key, asked, called)))
        moments.append((ended, 0, HistoryEvent(0, process, outcome, f, key, told, ended)))
    moments.sort(key=lambda moment: moment[:2])
    return [
        HistoryEvent(i, e.process, e.type, e.f, e.key, e.value, e.t)
        for i, (_, _, e) in enumerate(moments)
    ]
