"""`python -m bench.timeline.node CONFIG FILE`: `coord serve`, its moments written to FILE at
the end."""

from __future__ import annotations

import sys
from pathlib import Path

from coord.node.grpc_io import poll_in_place

poll_in_place()

from bench.timeline.notes import Notes  # noqa: E402
from coord.node.config import load_config  # noqa: E402
from coord.node.serve import run  # noqa: E402
from coord.replication.driver import ReplicaDriver  # noqa: E402
from coord.replication.engine_owner import EngineOwner  # noqa: E402
from coord.replication.storage.operations import LogWriter  # noqa: E402
from coord.replication.storage.storage import _LogWorker  # noqa: E402
from coord.rpc.streams.calls import _ClientStream  # noqa: E402
from coord.rpc.streams.outgoing import Outgoing  # noqa: E402
from coord.runtime.proposer import Proposer  # noqa: E402


def main(config: Path, file: Path) -> int:
    notes = Notes()
    notes.calls(_ClientStream, "_begin", begun="request")
    notes.calls(Proposer, "_propose", ended="proposed")
    notes.calls(ReplicaDriver, "_flush", ended="sent")
    notes.calls(ReplicaDriver, "on_message", begun="message", ended="message taken")
    notes.calls(_LogWorker, "_write", begun="write")
    notes.calls(LogWriter, "sync", begun="sync", ended="synced")
    notes.calls(ReplicaDriver, "on_synced", begun="sync known", ended="acknowledged")
    notes.calls(EngineOwner, "engine_apply", ended="applied")
    notes.calls(Outgoing, "_next_message", begun="answer")
    try:
        return run(load_config(config_file=config))
    finally:
        notes.write(file)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
