"""Runs `coord` in this process against a stand-in for the client."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from coord.cli import main as cli_main
from coord.cli import remote
from coord.client.transport.errors import UnavailableError
from coord.client.types import MemberStatus, NodeDigest, Task, TaskSpec, TaskState

ENVIRONMENT = ("COORD_ENDPOINTS", "NO_COLOR", "FORCE_COLOR", "COLUMNS")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class FakeClient:
    """Answers calls from `replies`: name ("tasks.get") -> value, exception or function. What was
    asked is in `calls`; how clients were made is in `made`."""

    def __init__(self) -> None:
        # Asked when there is no leader, to say how many members answer.
        self.replies: dict[str, Any] = {
            "cluster.status": UnavailableError("no node", "UNREACHABLE")
        }
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.made: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, endpoints: str, **settings: Any) -> FakeClient:
        self.made.append((endpoints, settings))
        return self

    async def __aenter__(self) -> FakeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def on_session_lost(self, callback: Callable[..., None]) -> None:
        self.session_lost = callback

    def __getattr__(self, group: str) -> Any:
        if group.startswith("_"):
            raise AttributeError(group)
        return _Group(self, group)

    def answer(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self.calls.append((name, arguments, options))
        reply = self.replies[name]
        if isinstance(reply, list) and reply and isinstance(reply[0], Exception):
            reply = reply.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply(*arguments, **options) if callable(reply) else reply


class _Group:
    def __init__(self, client: FakeClient, group: str) -> None:
        self._client = client
        self._group = group

    @asynccontextmanager
    async def lock(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        yield self._client.answer(f"{self._group}.lock", arguments, options)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            return self._client.answer(f"{self._group}.{name}", arguments, options)

        return call


class Cli:
    """`cli("task", "get", "t1")` runs the command; `cli.client` stands for the cluster."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.client = FakeClient()
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(remote, "Client", self.client)

    def __call__(self, *arguments: str) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["coord", *arguments])
        self._capsys.readouterr()
        code: Any = 0
        try:
            cli_main.main()
        except SystemExit as end:
            code = end.code
        out, err = self._capsys.readouterr()
        return Result(code or 0, out, err)


def make_task(task_id: str = "t1", **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "task_id": task_id,
        "spec": TaskSpec("q", b"payload", max_attempts=3, labels={"a": "b"}),
        "state": TaskState.READY,
        "attempt": 1,
        "create_revision": 1,
        "mod_revision": 2,
        "fencing_token": 0,
        "session_id": 0,
        "worker": "",
        "lease_remaining_ms": 0,
        "checkpoint": b"",
        "progress_permille": 0,
        "result": b"",
        "last_error": "",
        "ready_in_ms": 0,
        "submitted_unix_ms": 1_700_000_000_000,
        "finished_unix_ms": 0,
        "lost_leases": 0,
    }
    return Task(**(fields | changes))


def make_member(node: int, **changes: Any) -> MemberStatus:
    fields: dict[str, Any] = {
        "id": f"n{node}",
        "address": f"h:{node}",
        "role": "follower",
        "term": 3,
        "commit_index": 10,
        "applied_index": 9,
        "reachable": True,
        "version": "0.1.0",
        "peer_address": f"h:10{node}",
    }
    return MemberStatus(**(fields | changes))


def make_digest(node: int, index: int = 5, digest: str = "aa", **changes: Any) -> NodeDigest:
    return NodeDigest(f"n{node}", f"h:{node}", index, 4, digest, **changes)
