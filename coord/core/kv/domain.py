"""Keys and values, with the meaning of etcd v3's KV service."""

from __future__ import annotations

from typing import Final

from coord.core.domain import Chore, Domain
from coord.core.kv.bounds import BOUNDS
from coord.core.kv.commands import KvCompact, KvDelete, KvPut, KvTxn
from coord.core.kv.digests import DIGESTS
from coord.core.kv.handlers import change_keys, check, is_untidy, make_tables, rebuild, tidy
from coord.core.kv.sentences import EARLIER, SENTENCES

KV: Final = Domain(
    "kv",
    tables=make_tables,
    handlers={
        KvPut: change_keys,
        KvDelete: change_keys,
        KvTxn: change_keys,
        KvCompact: change_keys,
    },
    bounds=BOUNDS,
    digests=DIGESTS,
    rebuild=rebuild,
    sentences=SENTENCES,
    earlier=EARLIER,
    check=check,
    chore=Chore(1, is_untidy, tidy),
)
