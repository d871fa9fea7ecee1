"""Checkers by name: what `chaos check --model` takes and what workloads are judged by."""

from __future__ import annotations

from chaos.checkers.agents import check_agents
from chaos.checkers.append import check_append
from chaos.checkers.bank import check_bank
from chaos.checkers.fenced_lock import check_fenced_locks
from chaos.checkers.lease import check_leases
from chaos.checkers.models import MODELS
from chaos.checkers.queue import check_queue
from chaos.checkers.register import linearizable_as
from chaos.checkers.result import Checker
from chaos.checkers.sets import check_sets

CHECKERS: dict[str, Checker] = {
    **{name: linearizable_as(model) for name, model in MODELS.items()},
    "set": check_sets,
    "bank": check_bank,
    "fenced-lock": check_fenced_locks,
    "append": check_append,
    "lease": check_leases,
    "queue": check_queue,
    "agents": check_agents,
}
