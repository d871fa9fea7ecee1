"""Runs registered handlers: coroutines on the event loop, plain functions in threads.

Each attempt of a plain function gets a daemon thread of its own, named after its task; the worker's
slots bound how many there are. A pool would be joined when the interpreter ends, so one handler
that never returns could keep a stopped worker from exiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Protocol

from agentnode.context import AsyncTaskContext, ContextServices, TaskContext
from agentnode.held import HeldTask
from agentnode.outcome import Done, Failed, Outcome, Stopped, Unhandled, from_exception
from agentnode.registry import Handler, Registry

_EXIT_FORKED = 70


class Runner(Protocol):
    """Runs one attempt and says how it ended."""

    async def run(self, held: HeldTask, services: ContextServices) -> Outcome:
        """Return when the handler has ended, also after `held` was cancelled. Never raises."""

    def timeout_ms(self, held: HeldTask) -> int:
        """How long this attempt may take; 0 = as long as it likes."""


class RegistryRunner:
    """Runs the handlers of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def handles(self, held: HeldTask) -> bool:
        """Whether there is a handler for this task."""
        return self._registry.find(held.claim.type, held.claim.queue) is not None

    def timeout_ms(self, held: HeldTask) -> int:
        handler = self._registry.find(held.claim.type, held.claim.queue)
        return handler.timeout_ms if handler is not None else 0

    async def run(self, held: HeldTask, services: ContextServices) -> Outcome:
        handler = self._registry.find(held.claim.type, held.claim.queue)
        if handler is None:
            return Unhandled(f"no handler for type {held.claim.type!r}")
        if handler.is_async:
            return await _run_coroutine(handler, held, services)
        return await _run_in_thread(handler, held, services)


async def _run_coroutine(handler: Handler, held: HeldTask, services: ContextServices) -> Outcome:
    process = os.getpid()

    async def attempt() -> Outcome:
        try:
            arguments = (handler.decode(held.claim.payload), AsyncTaskContext(held, services))
            value = await handler.function(*arguments[: handler.parameters])
            return Done(handler.encode(value))
        except asyncio.CancelledError as error:
            if held.cancelled.is_set():
                return Stopped()
            return from_exception(error, handler.permanent)
        except BaseException as error:
            return from_exception(error, handler.permanent)
        finally:
            _end_a_fork(process)

    task = asyncio.ensure_future(attempt())
    held.on_cancel(task.cancel)
    return await _ended(task)


async def _ended(task: asyncio.Task[Outcome]) -> Outcome:
    """The outcome of the task, which may be cancelled before it ran at all, or by itself."""
    await asyncio.wait({task})
    return Stopped() if task.cancelled() else task.result()


async def _run_in_thread(handler: Handler, held: HeldTask, services: ContextServices) -> Outcome:
    def attempt() -> Outcome:
        try:
            arguments = (handler.decode(held.claim.payload), TaskContext(held, services))
            return Done(handler.encode(handler.function(*arguments[: handler.parameters])))
        except BaseException as error:
            return from_exception(error, handler.permanent)

    return await _in_thread(attempt, name=f"task-{held.claim.task_id}")


async def _in_thread(work: Callable[[], Outcome], *, name: str) -> Outcome:
    """Run `work` in a new daemon thread. However the thread ends, there is an outcome."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Outcome] = loop.create_future()
    process = os.getpid()

    def settle(outcome: Outcome) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def body() -> None:
        outcome: Outcome = Failed("the handler's thread ended without an outcome")
        try:
            outcome = work()
        except BaseException as error:  # one that another thread raised in this one, say
            outcome = from_exception(error, ())
        finally:
            _end_a_fork(process)
            # The worker may be gone and its event loop closed: then nobody waits for this.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, outcome)

    try:
        threading.Thread(target=body, name=name, daemon=True).start()
    except RuntimeError as error:
        return Failed(f"no thread could be started for the handler: {error}")
    return await ended


def _end_a_fork(process: int) -> None:
    """A child that a handler forked off, and let return from there, is not a second worker."""
    if os.getpid() != process:
        os._exit(_EXIT_FORKED)
