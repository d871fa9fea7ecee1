"""The domains of the state machine. What is derived from rows is made again in this order: tasks
look at the settings of the cluster, and at the sessions that hold them."""

from __future__ import annotations

from typing import Final, get_args

from coord.core.base.refusal import Rejected
from coord.core.batch import Command
from coord.core.cluster.domain import CLUSTER
from coord.core.domain import Domain, Registry, check_domains
from coord.core.kv.domain import KV
from coord.core.locks.domain import LOCKS
from coord.core.sessions.domain import SESSIONS
from coord.core.tasks.domain import TASKS

DOMAINS: Final[tuple[Domain, ...]] = (CLUSTER, SESSIONS, LOCKS, TASKS, KV)

check_domains(DOMAINS, get_args(Command))

REGISTRY: Final = Registry(DOMAINS)


def text_of(rejected: Rejected) -> str:
    """A refusal in words, as it is shown."""
    return REGISTRY.wording.text_of(rejected)


def shown_metadata(rejected: Rejected) -> dict[str, str]:
    """The values of a refusal, as a caller is given them."""
    return REGISTRY.wording.shown_metadata(rejected)
