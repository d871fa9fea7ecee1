"""The feature level: which rules the state machine follows.

Nodes of different builds apply the same log, so a changed rule must take effect at one place in it.
The level stands in the replicated state. A new cluster's first leader raises it to what all members
support; a running cluster stays at its level until an operator raises it, which the leader refuses
while any member's build does not support the new one. It never goes down.

    level 0   everything as in the first released form
    level 1   bounds on the work of each request, quotas, kept digests of requests, tombstones,
              a bound of its own for lost leases, reasons of releases, stuck slots
    level 2   no sentences in what is stored: kept refusals hold the reason and its values, tasks
              the cause of what ended them

A rule that came with a level asks `state.level >= N` where it acts, and the rule of the levels
below stays beside it: old logs are replayed with it.
"""

from __future__ import annotations

from typing import Final

HIGHEST_LEVEL: Final = 2
"""The highest level that this build supports."""
