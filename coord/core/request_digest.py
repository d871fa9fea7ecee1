"""A short number that differs for requests that ask for different things.

It is kept beside the reply of a request, and beside an idempotency key, so that a sequence or a key
that is used again with other content is noticed. It covers the meaning of a command, field by
field, and not its bytes: encodings of equal messages differ between libraries. What a caller may
change when it repeats a request is left out: how long a lock request waits, and everything of a
claim but that it is one.

CRC-32 finds mistakes, which is its purpose here; whoever forges an equal digest fools only his own
session. A request is hashed once, when it is applied, at more than a gigabyte a second."""

from __future__ import annotations

from typing import Final

from coord.core.base.mixing import Mix, started
from coord.core.batch import Command
from coord.core.cluster import digests as cluster
from coord.core.kv import digests as kv
from coord.core.locks import digests as locks
from coord.core.sessions import digests as sessions
from coord.core.tasks import digests as tasks

_MIXERS: Final[dict[type, tuple[int, Mix]]] = started(
    {**sessions.DIGESTS, **tasks.DIGESTS, **locks.DIGESTS, **kv.DIGESTS, **cluster.DIGESTS}
)


def digest_of(command: Command) -> int:
    """The digest of a valid command; never 0."""
    start, mix = _MIXERS[type(command)]
    return mix(start, command) or 1
