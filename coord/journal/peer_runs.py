"""What a node remembers of its peers' runs and of its own last ones: a small file beside its vote,
with a checksum.

Nothing this node promised depends on it: a damaged file is begun anew, and a node without one knows
no less than one that never met its peers."""

from __future__ import annotations

from collections.abc import Mapping

from coord.journal.filesystem import FileSystem
from coord.journal.io import replace_file
from coord.journal.sealed import SealError, seal, unseal

_MAGIC = b"COORDPRS"
MAX_PEERS = 64
MAX_OWN_RUNS = 16
MAX_BYTES = 64 * 1024

PeerRun = tuple[int, str]
"""The number of a node's run, and what was drawn at random for it."""


class PeerRunsFile:
    """The file. `damage`: why what was there could not be used; empty: nothing was wrong. `own`:
    the last runs with this directory, oldest first; as loaded, or set before a store."""

    def __init__(self, fs: FileSystem, path: str) -> None:
        self._fs = fs
        self.path = path
        self.damage = ""
        self.own: tuple[PeerRun, ...] = ()

    def load(self) -> dict[str, PeerRun]:
        """What is known, by node id; nothing if there is no file, or none that is intact."""
        try:
            if not self._fs.exists(self.path):
                return {}
            runs, self.own = _decode(self._fs.read_at(self.path, 0, MAX_BYTES))
        except OSError as error:
            self.damage = error.strerror or str(error)
        except (SealError, ValueError, TypeError, KeyError) as error:
            self.damage = str(error)
        else:
            return runs
        return {}

    def store(self, runs: Mapping[str, PeerRun]) -> None:
        """Replace the file, durably. Raises DiskFullError, SyncFailedError (the old file stands),
        ValueError for too many."""
        if len(runs) > MAX_PEERS:
            raise ValueError(f"runs of {len(runs)} peers; {MAX_PEERS} at most")
        rows = [[peer, number, drawn] for peer, (number, drawn) in sorted(runs.items())]
        own = [list(run) for run in self.own]
        replace_file(self._fs, self.path, seal(_MAGIC, {"runs": rows, "own": own}))


def _decode(data: bytes) -> tuple[dict[str, PeerRun], tuple[PeerRun, ...]]:
    values = unseal(_MAGIC, data)
    rows, own = values["runs"], values["own"]
    if len(rows) > MAX_PEERS or len(own) > MAX_OWN_RUNS:
        raise ValueError("it names too many runs")
    runs = {str(peer): (int(number), str(drawn)) for peer, number, drawn in rows}
    return runs, tuple((int(number), str(drawn)) for number, drawn in own)
