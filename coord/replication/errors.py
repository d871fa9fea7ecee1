"""Why a replica stops itself. None of these is ever ignored or retried."""

from __future__ import annotations


class FatalReplicaError(Exception):
    """Base: the replica must not go on."""


class InvariantError(FatalReplicaError):
    """Something that must hold does not; the text has the values."""


class DivergenceError(FatalReplicaError):
    """A committed entry here differs from the leader's, or the state from that of a majority. The
    node's state can not be trusted."""


class SnapshotUnusableError(FatalReplicaError):
    """A snapshot could not be loaded into the state machine."""


class ApplyFailedError(FatalReplicaError):
    """The state machine raised for a committed entry; the entry is not skipped."""


class RemovedFromClusterError(FatalReplicaError):
    """This node is not a member any more, and that is committed."""


class CopiedDirectoryError(FatalReplicaError):
    """Another run of this node was seen that its data directory knows nothing of."""


class LevelTooHighError(FatalReplicaError):
    """The cluster is at a feature level that this build does not support."""


class EngineVersionError(Exception):
    """The installed PySyncObj is not the one this program was proved against."""
