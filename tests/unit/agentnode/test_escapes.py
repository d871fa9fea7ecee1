"""Nothing that a handler does gets out of its attempt: each ends with a clear error, none hangs."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentnode import logs
from agentnode.context import TaskContext
from agentnode.errors import RetryLater
from agentnode.loop import WorkerLoop, guarded
from agentnode.registry import MAX_RESULT_BYTES, Registry
from coord.client import TaskState
from tests.support.agentnode import FakeClient, FakeTasks, running_worker
from tests.support.waiting import eventually


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class MuteAtTheCoreError(BaseException):
    def __str__(self) -> str:
        raise SystemExit(4)


class LyingText(str):
    def __getitem__(self, _: object) -> str:
        raise RuntimeError("not even a part")

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("no bytes")


class LyingError(Exception):
    def __str__(self) -> str:
        return LyingText("a lie")


class FacelessError(Exception):
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("no class")


class NoNumberLater(RetryLater):
    def __init__(self) -> None:
        self.after_ms = "soon"  # type: ignore[assignment]


class MuteResult:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BadBytes(bytes):
    def __len__(self) -> int:
        raise RuntimeError("no length")


def raises(error: BaseException | type[BaseException]) -> Callable[[], object]:
    def handler() -> object:
        raise error

    return handler


def recursion() -> object:
    return recursion()


def own_cycle() -> object:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


def deep() -> object:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


async def coroutine() -> int:
    return 1


def dies() -> object:
    """Another thread raises SystemExit in this one."""
    this = ctypes.c_ulong(threading.get_ident())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(this, ctypes.py_object(SystemExit))
    for _ in range(10_000_000):
        pass
    return "lived on"


class FalseFileError(Exception):
    """Its traceback names source lines that cannot be had."""


def no_source() -> object:
    class Loader:
        def get_source(self, _: str) -> str:
            raise SystemExit(5)

    names = {"__loader__": Loader(), "__name__": "ghost", "FalseFileError": FalseFileError}
    exec(compile("raise FalseFileError('ghost')", "<ghost>.py", "exec"), names)
    return None


ESCAPES: dict[str, tuple[Callable[[], object], str]] = {
    "raising str": (raises(MuteError()), "MuteError: (its text cannot be had"),
    "raising str, BaseException": (raises(MuteAtTheCoreError()), "MuteAtTheCoreError: (its text"),
    "text that lies": (raises(LyingError()), "LyingError: a lie"),
    "exception without a class": (raises(FacelessError("f")), "the handler raised FacelessError"),
    "RetryLater without a number": (raises(NoNumberLater()), "RetryLater needs after_ms"),
    "SystemExit": (raises(SystemExit(3)), "SystemExit: 3"),
    "KeyboardInterrupt": (raises(KeyboardInterrupt), "KeyboardInterrupt:"),
    "GeneratorExit": (raises(GeneratorExit), "GeneratorExit:"),
    "CancelledError": (raises(asyncio.CancelledError), "CancelledError:"),
    "StopIteration": (raises(StopIteration(1)), ""),
    "StopAsyncIteration": (raises(StopAsyncIteration), ""),
    "MemoryError": (raises(MemoryError), "MemoryError:"),
    "recursion": (recursion, "RecursionError: maximum recursion depth"),
    "huge error text": (raises(ValueError("x" * 100_000_000)), "ValueError: xxx"),
    "surrogates": (raises(ValueError("\ud800 is no text")), "ValueError: ? is no text"),
    "group": (raises(BaseExceptionGroup("many", [MuteAtTheCoreError()])), "BaseExceptionGroup:"),
    "traceback without source": (no_source, "FalseFileError: ghost"),
    "result without repr": (MuteResult, "PermanentError: the result of handler 'work' is not JSON"),
    "bytes without length": (lambda: BadBytes(b"fine"), ""),
    "cycle": (own_cycle, "PermanentError: the result of handler 'work' is not JSON"),
    "deep result": (deep, "PermanentError: the result of handler 'work' is not JSON"),
    "NaN": (lambda: [float("nan")], "PermanentError: the result of handler 'work' is not JSON"),
    "Infinity": (lambda: {"a": float("-inf")}, "PermanentError: the result of handler 'work'"),
    "coroutine": (coroutine, "PermanentError: handler 'work' returned something to await"),
    "one byte too many": (
        lambda: b"x" * (MAX_RESULT_BYTES + 1),
        f"PermanentError: the result of handler 'work' has {MAX_RESULT_BYTES + 1} bytes",
    ),
    "far too large": (lambda: "x" * 50_000_000, "PermanentError: the result of handler 'work' has"),
}


def handled(act: Callable[[], object], form: str) -> Callable[..., Any]:
    def in_thread(_: object) -> object:
        return act()

    async def on_loop(_: object) -> object:
        return act()

    return in_thread if form == "thread" else on_loop


@pytest.mark.parametrize("form", ["thread", "coroutine"])
@pytest.mark.parametrize("name", list(ESCAPES))
async def test_an_attempt_ends_whatever_its_handler_does(name: str, form: str) -> None:
    act, expected = ESCAPES[name]
    registry, client = Registry(), FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    registry.task("work")(handled(act, form))
    task = client.tasks.add()
    async with running_worker(client, registry, slots=2, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: task.state in {"dead", "completed"})
        await eventually(lambda: worker.running == 0)
        # The worker goes on.
        other = client.tasks.add(type="work")
        await eventually(lambda: other.state in {"dead", "completed"})
    if task.state == "completed":
        assert (name, task.results) == ("bytes without length", [b"fine"])
        return
    error = task.errors[0][0]
    assert error.startswith(expected), error
    assert len(error.encode()) <= 8_192


async def test_a_result_of_the_largest_size_is_committed() -> None:
    registry, client = Registry(), FakeClient()
    registry.task("work")(lambda _: b"x" * MAX_RESULT_BYTES)
    task = client.tasks.add()
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")


async def test_an_exception_from_another_thread_ends_the_attempt() -> None:
    registry, client = Registry(), FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    registry.task("work")(lambda _: dies())
    task = client.tasks.add()
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0].startswith("SystemExit:")


async def test_no_thread_to_be_had_fails_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, client = Registry(), FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    registry.task("work")(lambda _: 1)
    task = client.tasks.add()
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("task-"):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0].startswith("no thread could be started")


async def test_a_runner_that_raises_fails_the_attempt() -> None:
    class Broken:
        def timeout_ms(self, _: object) -> int:
            return 0

        async def run(self, *_: object) -> Any:
            raise LookupError("a bug")

    client = FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    task = client.tasks.add()
    async with running_worker(client, Broken()):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0].startswith("the attempt could not be made: LookupError: a bug")


async def test_an_outcome_that_cannot_be_sent_fails_the_attempt() -> None:
    registry, client = Registry(), FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    registry.task("work")(lambda _: 1)
    task = client.tasks.add()

    async def refuse(*_: object) -> None:
        raise TypeError("not of this kind")

    client.tasks.complete = refuse  # type: ignore[method-assign, assignment]
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0].startswith("the outcome could not be settled: TypeError")


@pytest.mark.parametrize("form", ["thread", "coroutine"])
async def test_a_handler_that_swallows_everything_is_still_cancelled(form: str) -> None:
    registry, client = Registry(), FakeClient()
    ended = threading.Event()

    def in_thread(_: object, ctx: TaskContext) -> None:
        try:
            ctx.cancelled.wait(10)
            ctx.check_cancelled()
        except BaseException:
            ended.set()
            raise MuteError from None

    async def on_loop(_: object) -> None:
        try:
            await asyncio.Event().wait()
        except BaseException:
            ended.set()
            raise MuteError from None

    registry.task("work")(in_thread if form == "thread" else on_loop)
    task = client.tasks.add()
    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: worker.running == 1)
        client.tasks.tell_lost(task, TaskState.CANCELLED, "not wanted")
        await eventually(lambda: ended.is_set() and worker.running == 0)


async def test_an_async_handler_that_cancels_itself_has_failed() -> None:
    registry, client = Registry(), FakeClient()
    client.tasks = FakeTasks(max_attempts=1)

    @registry.task("work")
    async def work(_: object) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()

    task = client.tasks.add()
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0] == "the handler stopped without being told to"


def test_a_task_of_a_handler_cannot_end_the_event_loop() -> None:
    async def leaves() -> None:
        sys.exit(7)

    async def main() -> str:
        with guarded():
            asyncio.get_running_loop().call_soon(sys.exit, 8)
            beside = asyncio.ensure_future(leaves())
            await asyncio.wait({beside})
            assert isinstance(beside.exception(), SystemExit)
            return "went on"

    with asyncio.Runner(loop_factory=WorkerLoop) as runner:
        assert runner.run(main()) == "went on"


def test_an_unguarded_event_loop_ends_as_always() -> None:
    async def main() -> None:
        sys.exit(7)

    with pytest.raises(SystemExit), asyncio.Runner(loop_factory=WorkerLoop) as runner:
        runner.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_forked_child_that_returns_from_the_handler_ends_there() -> None:
    registry, client = Registry(), FakeClient()
    children: list[int] = []

    @registry.task("work")
    def work(_: object) -> str:
        child = os.fork()
        if not child:
            return "from the child"
        children.append(os.waitpid(child, 0)[1])
        return "from the parent"

    task = client.tasks.add()
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b'"from the parent"']
    assert [os.waitstatus_to_exitcode(status) for status in children] == [70]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_forked_child_cannot_use_the_context_and_is_told_so() -> None:
    registry, client = Registry(), FakeClient()

    @registry.task("work")
    def work(_: object, ctx: TaskContext) -> int:
        child = os.fork()
        if not child:
            told = 0
            for act in (ctx.flush, lambda: ctx.report_progress(0.5), lambda: ctx.once("e", int)):
                try:
                    act()
                except RuntimeError:
                    told += 1
            os._exit(told)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    task = client.tasks.add()
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"3"]


async def test_callables_that_are_coroutines_in_disguise_run_on_the_loop() -> None:
    registry, client = Registry(), FakeClient()

    class Echo:
        async def __call__(self, payload: object) -> object:
            return payload

    async def plus(more: int, payload: int) -> int:
        return payload + more

    registry.task("object")(Echo())
    registry.task("partial")(functools.partial(plus, 2))
    first = client.tasks.add(b"1", type="object")
    second = client.tasks.add(b"1", type="partial")
    async with running_worker(client, registry):
        await eventually(lambda: first.state == second.state == "completed")
    assert (first.results, second.results) == ([b"1"], [b"3"])


def test_an_async_generator_is_no_handler() -> None:
    async def stream(_: object) -> Any:
        yield 1

    with pytest.raises(TypeError, match="asynchronous generator"):
        Registry().task("stream")(stream)


def test_a_closed_log_stops_nothing() -> None:
    class Closed:
        def write(self, _: str) -> int:
            raise ValueError("I/O operation on closed file")

        def flush(self) -> None:
            raise BrokenPipeError

    stream = logs.Unbreakable(Closed())
    print("a line", file=stream)
    stream.flush()
