"""The cluster itself: its feature level and its settings."""

from __future__ import annotations

from typing import Final

from coord.core.cluster.bounds import BOUNDS
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.cluster.digests import DIGESTS
from coord.core.cluster.levels import raise_level
from coord.core.cluster.settings import check, make_tables, rebuild, set_quota
from coord.core.domain import Domain

CLUSTER: Final = Domain(
    "cluster",
    tables=make_tables,
    handlers={RaiseLevel: raise_level, SetQuota: set_quota},
    bounds=BOUNDS,
    digests=DIGESTS,
    rebuild=rebuild,
    check=check,
)
