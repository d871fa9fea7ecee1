"""The handlers of the agents: `agentnode run examples.stdlib_report.tasks:registry ...`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentnode import Registry
from examples.stdlib_report.analysis import analyse_source
from examples.stdlib_report.corpus import Module, library_folder
from examples.stdlib_report.reduction import reduce_package, render_report

registry = Registry()


@dataclass(frozen=True, slots=True)
class PackageOrder:
    """Add up these modules' figures."""

    package: str
    modules: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """Write the report on these packages to the file at `path`."""

    path: str
    python_version: str
    packages: list[dict[str, Any]]


@registry.task("analyse")
def analyse(module: Module) -> dict[str, Any]:
    """The figures of one module of this interpreter's library."""
    return analyse_source(module.name, (library_folder() / module.path).read_bytes())


@registry.task("reduce")
def reduce(order: PackageOrder) -> dict[str, Any]:
    """The figures of one package."""
    return reduce_package(order.package, order.modules)


@registry.task("report")
def report(order: ReportOrder) -> dict[str, Any]:
    """Writes the report. A repeated attempt replaces the file by the same one."""
    text = render_report(order.packages, order.python_version)
    path = Path(order.path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return {"path": str(path), "bytes": len(text.encode())}
