"""The pace of what takes long and is in no hurry (a snapshot, a digest of the state): it is done in
slices, and between them the event loop rests in proportion to what the last one took."""

from __future__ import annotations

import time

IDLE = 24.0  # times as long as the slice: nobody needs the outcome
UNHURRIED = 3.0  # somebody may, in a while
AWAITED = 1.0  # somebody does


def rest_s(began: float, times: float) -> float:
    """How long to rest after a slice begun at `began` (of `time.perf_counter`)."""
    return times * (time.perf_counter() - began)
