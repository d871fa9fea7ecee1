"""Three handlers, for `agentnode run examples/hello/tasks.py --queues hello`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentnode import AsyncTaskContext, Registry, TaskContext

registry = Registry()


@dataclass
class Numbers:
    """The payload of `total`: `{"values": [1, 2, 3]}`."""

    values: list[int]


@registry.task("hello")
def hello(name: str, ctx: TaskContext) -> str:
    """A plain function runs in a thread. A task without a type in queue `hello` comes here."""
    ctx.logger.info("greeting", name=name)
    return f"Hello, {name}!"


@registry.task("total")
async def total(payload: Numbers, ctx: AsyncTaskContext) -> dict[str, int]:
    """A coroutine. Adds up number by number and could be killed in between: the next attempt
    starts from the checkpoint."""
    state = ctx.checkpoint_json(default={"done": 0, "total": 0})
    for index in range(state["done"], len(payload.values)):
        state = {"done": index + 1, "total": state["total"] + payload.values[index]}
        ctx.save_checkpoint(state)
        ctx.report_progress(state["done"] / len(payload.values))
        await asyncio.sleep(0)
    return {"total": state["total"]}


@registry.task("announce")
def announce(text: str, ctx: TaskContext) -> str:
    """A side effect (here a log line) that happens once, however often the task is attempted."""
    return ctx.once("log", lambda: _log(text, ctx))


def _log(text: str, ctx: TaskContext) -> str:
    ctx.logger.info("announcement", text=text)
    return f"announced by attempt {ctx.attempt}"
