"""Workloads by name."""

from __future__ import annotations

from chaos.workloads.agents import AgentsWorkload
from chaos.workloads.append import AppendWorkload
from chaos.workloads.bank import BankWorkload
from chaos.workloads.base import Workload
from chaos.workloads.leases import LeasesWorkload
from chaos.workloads.locks import LocksWorkload
from chaos.workloads.register import CasRegisterWorkload, RegisterWorkload
from chaos.workloads.sets import SetWorkload
from chaos.workloads.tasks import TasksWorkload

WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload
    for workload in (
        RegisterWorkload,
        CasRegisterWorkload,
        SetWorkload,
        AppendWorkload,
        BankWorkload,
        LocksWorkload,
        LeasesWorkload,
        TasksWorkload,
        AgentsWorkload,
    )
}
