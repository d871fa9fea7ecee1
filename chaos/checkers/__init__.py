"""Checkers by name: what `chaos check --model` takes and what workloads are judged by."""

from __future__ import annotations

from chaos.checkers.models import MODELS
from chaos.checkers.register import linearizable_as
from chaos.checkers.result import Checker

CHECKERS: dict[str, Checker] = {name: linearizable_as(model) for name, model in MODELS.items()}
