"""What the `agentnode` command chooses for its process before anything else is imported. A program
that imports this package as a library is left alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

from coord.node.grpc_io import poll_in_place


def is_command(arguments: Sequence[str]) -> bool:
    """Whether a process started so (`sys.orig_argv`) is the `agentnode` command."""
    script = next((one for one in arguments[1:] if not one.startswith("-")), "")
    as_module = ("-m", "agentnode") in pairwise(arguments)
    return as_module or PurePath(script).stem == "agentnode"


if is_command(sys.orig_argv):
    poll_in_place()
