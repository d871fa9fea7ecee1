"""gRPC's own support for forks, switched off unless the user has chosen; imported before gRPC is.

It is made for gRPC's synchronous form. In a process that uses the asynchronous one, as this client
does, about every tenth forked child crashes in its handlers, also one that never touches gRPC.
"""

from __future__ import annotations

import os

VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"

os.environ.setdefault(VARIABLE, "0")
