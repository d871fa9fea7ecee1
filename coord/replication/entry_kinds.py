"""What an entry of the log is for: the first byte of its command. Stored, so never renumbered; they
are the kinds of PySyncObj's own commands."""

from __future__ import annotations

from typing import Final

REGULAR: Final = b"\x00"  # for the state machine
NO_OP: Final = b"\x01"  # a new leader's first entry; also stands for the base of a log
MEMBERS: Final = b"\x02"  # the members of the cluster from here on
