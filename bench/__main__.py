"""`python -m bench`."""

from __future__ import annotations

import sys

from coord.node.grpc_io import poll_in_place

poll_in_place()  # for all systems whose clients use gRPC: what is started inherits it

from bench.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
