"""Refusals about keys in words; see `coord.core.base.sentences`. Some are etcd's own
(its api/v3rpc/rpctypes/error.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coord.core.base.refusal import Metadata, Reason
from coord.core.base.sentences import Case, Earlier, Sentence, Values

_ADVICE: Final = {
    "max_txn_rows": "name fewer keys, or do it in several requests",
    "max_range_keys": "set a limit and read page by page, at one revision",
    "max_answer_bytes": "set a smaller limit, or keys_only, and read page by page",
    "max_reply_bytes": "ask for fewer or smaller pairs, or leave out prev_kv",
}


def _compacted(values: Values) -> str:
    return "etcdserver: mvcc: required revision has been compacted"


def _in_future(values: Values) -> str:
    return "etcdserver: mvcc: required revision is a future revision"


def _lease_not_found(values: Values) -> str:
    return "etcdserver: requested lease not found"


def _key_not_found(values: Values) -> str:
    return "etcdserver: key not found"


def _too_large(values: Values) -> str:
    size, unit, limit, bound = values["size"], values["unit"], values["limit"], values["bound"]
    return (
        f"the request touches at least {size} {unit}; at most {limit} are allowed "
        f"({bound}): {_ADVICE[bound]}"
    )


def _with_advice(metadata: Metadata) -> Metadata:
    return (("advice", _ADVICE[dict(metadata)["bound"]]), *metadata)


SENTENCES: Final[Mapping[Case, Sentence]] = {
    Reason.REVISION_COMPACTED: _compacted,
    Reason.REVISION_IN_FUTURE: _in_future,
    Reason.LEASE_NOT_FOUND: _lease_not_found,
    Reason.KEY_NOT_FOUND: _key_not_found,
    Reason.TOO_LARGE: _too_large,
}

EARLIER: Final[Mapping[Case, Earlier]] = {Reason.TOO_LARGE: _with_advice}
