"""The cluster itself: requests to commands, replies to responses."""

from __future__ import annotations

from typing import Final

from coord.codec.errors import UnknownCommandError
from coord.codec.kinds import CommandKind, Decoder
from coord.codec.lookup import ReplyBuilder, header_only
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.pb import cluster_pb2

K = CommandKind


def _raise_level(m: cluster_pb2.RaiseLevelRequest) -> RaiseLevel:
    if m.level > HIGHEST_LEVEL:
        raise UnknownCommandError(
            f"feature level {m.level} is not supported by this build, which supports levels up to "
            f"{HIGHEST_LEVEL}: start a newer build"
        )
    return RaiseLevel(m.level)


def _set_quota(m: cluster_pb2.SetQuotaRequest) -> SetQuota:
    return SetQuota(m.limit_bytes)


DECODERS: Final[dict[CommandKind, Decoder]] = {
    K.RAISE_LEVEL: _raise_level,
    K.SET_QUOTA: _set_quota,
}
ENCODERS: Final[dict[CommandKind, ReplyBuilder]] = {
    # The service answers with the level, or the quota, as it reads it afterwards.
    K.RAISE_LEVEL: header_only(cluster_pb2.LevelResponse),
    K.SET_QUOTA: header_only(cluster_pb2.QuotaResponse),
}
