"""What the benchmark knows of every system it measures."""

from __future__ import annotations

import importlib.util
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from bench.errors import NotAvailableError


class System(ABC):
    """Servers on this machine: `start` them, `connect` tells clients where, `stop` ends them and
    may be called at any time, also twice."""

    name: ClassVar[str]
    # What clients of it can do; see `drivers.base.Driver`.
    operations: ClassVar[frozenset[str]]
    # Synced to a majority of several replicas before it is acknowledged.
    replicated: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The name in tables; tells variants apart."""
        return self.name

    @property
    def driver(self) -> str:
        return self.name

    @abstractmethod
    def check(self) -> None:
        """Raises NotAvailableError when it cannot run here."""

    @abstractmethod
    def start(self, directory: Path) -> None:
        """In an empty directory of its own; returns when it serves."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def connect(self) -> dict[str, str]: ...

    @abstractmethod
    def pids(self) -> list[int]:
        """The server processes; those they have started count with them."""

    @abstractmethod
    def configuration(self) -> str:
        """One line: version, replicas, what is on disk before an acknowledgement."""

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        """Worker processes with `slots` places in all; what a client must know beside `connect`.
        Only for systems that can do `end_to_end`."""
        raise NotImplementedError
        yield {}


def find_program(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        raise NotAvailableError(f"the program {name} is not installed")
    return path


def need_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise NotAvailableError(f"the Python package {name} is not installed")
