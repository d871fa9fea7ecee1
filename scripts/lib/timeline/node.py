"""`python -m scripts.lib.timeline.node CONFIG FILE`: `coord serve`, its moments written to FILE at
the end."""

from __future__ import annotations

import sys
from pathlib import Path

from coord.grpc_io import poll_in_place

poll_in_place()

from coord.config import load_config  # noqa: E402
from coord.replication.replica import Replica  # noqa: E402
from coord.replication.replicator import PySyncObjReplicator  # noqa: E402
from coord.replication.storage import _LogWorker  # noqa: E402
from coord.replication.storage_ops import LogWriter  # noqa: E402
from coord.rpc.call_stream import _Stream  # noqa: E402
from coord.rpc.outgoing import Outgoing  # noqa: E402
from coord.rpc.proposer import Proposer  # noqa: E402
from coord.serve import run  # noqa: E402
from scripts.lib.timeline.notes import Notes  # noqa: E402


def main(config: Path, file: Path) -> int:
    notes = Notes()
    notes.before(_Stream, "_begin", "request")
    notes.after(Proposer, "_propose", "proposed")
    notes.after(PySyncObjReplicator, "_flush", "sent")
    notes.before(PySyncObjReplicator, "_on_message", "message")
    notes.after(PySyncObjReplicator, "_on_message", "message taken")
    notes.before(_LogWorker, "_write", "write")
    notes.before(LogWriter, "sync", "sync")
    notes.after(LogWriter, "sync", "synced")
    notes.before(PySyncObjReplicator, "_synced", "sync known")
    notes.after(PySyncObjReplicator, "_synced", "acknowledged")
    notes.after(Replica, "engine_apply", "applied")
    notes.before(Outgoing, "_next_message", "answer")
    try:
        return run(load_config(config_file=config))
    finally:
        notes.write(file)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
