"""Workloads by name."""

from __future__ import annotations

from chaos.workloads.base import Workload
from chaos.workloads.register import CasRegisterWorkload, RegisterWorkload

WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload for workload in (RegisterWorkload, CasRegisterWorkload)
}
